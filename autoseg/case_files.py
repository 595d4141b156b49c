"""Which files make a case: names, endings, channel numbers, and all that is wrong with them."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from autoseg.errors import Problem

log = logging.getLogger(__name__)

ENDINGS = (
    ".nii.gz", ".nii", ".mha", ".mhd", ".nrrd", ".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp",
)  # fmt: skip
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")  # no trustworthy voxel size inside
CASE_NAME = re.compile(r"[^/\\\x00-\x1f]{1,180}")
CHANNEL_NAME = re.compile(r"(.+)_(\d{4})")
SHOWN = 5  # names in a message before "and n more"


def ending_of(path: Path) -> str:
    """Return the file type of `path` as one of ENDINGS, or "" when it is none of them.

    >>> ending_of(Path("a.b.nii.gz")), ending_of(Path("notes.txt"))
    ('.nii.gz', '')
    """
    name = path.name.lower()
    return next((ending for ending in ENDINGS if name.endswith(ending)), "")


def stem_of(path: Path) -> str:
    """Return the name of a file without its ending."""
    return path.name[: len(path.name) - len(ending_of(path))]


Files = tuple[tuple[Path, ...], Path]  # the images of a case, and its labels


class Scan:
    """One look at a folder; what is wrong or odd is collected on the way."""

    def __init__(self, folder: Path, channels: tuple[str, ...]) -> None:
        self.folder, self.channels = folder, channels
        self.incomplete: dict[str, tuple[Path, ...]] = {}  # images of cases that lack something
        self.unpaired: dict[str, Path] = {}  # labels of such cases
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def wrong(self, path: Path | str, found: str, expected: str = "", remedy: str = "") -> None:
        """Note a problem of the file or folder `path`."""
        self.problems.append(Problem(self._name(path), found, expected, remedy))

    def training(self, file_ending: str) -> tuple[dict[str, Files], str]:
        """Return the complete cases of imagesTr and labelsTr, and the images' ending."""
        images = self.images_in(self.folder / "imagesTr")
        labels = self.images_in(self.folder / "labelsTr")
        images, ending = self._of_type(images, file_ending)
        label_of = self._labels_by_case(labels, ending)
        files = self.by_case(images, label_of)
        cases = {}
        for case in sorted(files):
            if case in label_of:
                cases[case] = (files[case], label_of[case])
            else:
                remedy = "add the label file, or move the image to imagesTs"
                self.wrong(files[case][0], "has no labels", f"labelsTr/{case}{ending}", remedy)
                self.incomplete[case] = files[case]
        self.unpaired = {case: path for case, path in label_of.items() if case not in cases}
        named = {*files, *self.incomplete}
        for case in sorted(set(label_of) - named):
            expected = f"imagesTr/{case}{ending} or {case}_0000{ending}"
            self.wrong(label_of[case], "labels without an image", expected)
        if not images and not self.problems:
            self.wrong("imagesTr", "holds no images", f"files ending in {', '.join(ENDINGS)}")
        return cases, ending

    def listed(self, listed: Mapping[str, tuple[tuple[str, ...], str | None]]) -> dict[str, Files]:
        """Return the cases of the `dataset` section; every path must stay inside the folder."""
        cases = {}
        for case, (images, label) in sorted(listed.items()):
            before = len(self.problems)
            self._check_name(case, "dataset.json")
            paths = [self._inside(case, text) for text in images]
            if label is None:
                self.wrong("dataset.json", f"dataset.{case} has no label")
                continue
            label_path = self._inside(case, label)
            if len(self.problems) == before:
                cases[case] = (tuple(paths), label_path)
        return cases

    def images_in(self, folder: Path) -> list[Path]:
        """Return the image files of a folder by name, hidden ones (`._a.nii.gz`) left out."""
        if not folder.is_dir():
            self.wrong(folder, "the folder is missing")
            return []
        paths = sorted(path for path in folder.iterdir() if ending_of(path))
        hidden = [path for path in paths if path.name.startswith(".")]
        if hidden:
            log.info("%s: %d hidden files ignored", folder, len(hidden))
        return [path for path in paths if not path.name.startswith(".")]

    def by_case(
        self, images: Iterable[Path], label_ids: Collection[str]
    ) -> dict[str, tuple[Path, ...]]:
        """Return the image files of each complete case, in channel order."""
        stems = self._by_stem(images)
        found: dict[str, dict[int | None, Path]] = {}
        for stem, path in stems.items():
            case, channel = self._split(stem, stems, label_ids)
            found.setdefault(case, {})[channel] = path
        complete = {}
        # nnU-Net numbers files that hold all channels too; then nobody has a second one.
        alone = all(set(files) == {0} for files in found.values())
        for case, files in found.items():
            if self._is_complete(case, files, alone):
                complete[case] = tuple(
                    files[index] for index in sorted(files, key=lambda i: i or 0)
                )
        self.incomplete = {
            case: tuple(files.values()) for case, files in found.items() if case not in complete
        }
        return complete

    def _split(
        self, stem: str, stems: Collection[str], label_ids: Collection[str]
    ) -> tuple[str, int | None]:
        """Return case and channel of a file name; the name of a label file is a case as it is."""
        match = CHANNEL_NAME.fullmatch(stem)
        if match is None or stem in label_ids:
            return stem, None
        case, channel = match[1], int(match[2])
        # With one channel, scan_0012 is a number of four digits unless scan_0000 is there too.
        if len(self.channels) == 1 and channel and f"{case}_0000" not in stems:
            return (case, channel) if case in label_ids else (stem, None)
        return case, channel

    def _is_complete(self, case: str, files: Mapping[int | None, Path], alone: bool) -> bool:
        path = next(iter(files.values()))
        if not self._check_name(case, path):
            return False
        wanted = set(range(len(self.channels)))
        colours = len(wanted) == 3 and ending_of(path) in PICTURES
        one_file = set(files) == {None} or (set(files) == {0} and (alone or colours))
        if one_file or set(files) == wanted:
            return True
        has = ", ".join(
            "no number" if i is None else f"{i:04d}" for i in sorted(files, key=_none_first)
        )
        needs = ", ".join(f"{index:04d}" for index in sorted(wanted))
        remedy = "add or remove files, or correct channel_names"
        expected = f"{needs} ({', '.join(self.channels)})"
        self.wrong(path, f"case {case} has the channels {has}", expected, remedy)
        return False

    def _by_stem(self, paths: Iterable[Path]) -> dict[str, Path]:
        """Return the paths by name without ending; names that fall together somewhere are wrong."""
        stems: dict[str, Path] = {}
        folded: dict[str, Path] = {}
        for path in paths:
            stem = stem_of(path)
            key = unicodedata.normalize("NFC", stem).casefold()
            if key in folded:
                remedy = "keep one of them"
                self.wrong(path, f"the same case as {folded[key].name}", remedy=remedy)
            else:
                folded[key] = path
                stems[stem] = path
        return stems

    def _of_type(self, images: list[Path], file_ending: str) -> tuple[list[Path], str]:
        count = Counter(ending_of(path) for path in images)
        if not images:
            return images, file_ending
        common, number = count.most_common(1)[0]
        if not file_ending and len(count) > 1:
            kinds = ", ".join(f"{n} {ending}" for ending, n in count.most_common())
            self.wrong("imagesTr", f"holds several file types ({kinds})", "one")
        if file_ending and file_ending not in count:
            fact = f"no file in imagesTr ends with '{file_ending}', {number} end with '{common}'"
            self.wrong("dataset.json", fact, remedy=f'set "file_ending": "{common}"')
        ending = file_ending if file_ending in count else common
        stems = {stem_of(path) for path in images if ending_of(path) == ending}
        others = [path for path in images if ending_of(path) != ending]
        for path in others:
            if stem_of(path) in stems:
                fact = f"the same case as {stem_of(path)}{ending}"
                self.wrong(path, fact, remedy="keep one of them")
        if others and file_ending in count:
            fact = (
                f"{len(others)} files of another type are ignored: {some(p.name for p in others)}"
            )
            self.warnings.append(Problem("imagesTr", fact, f"files ending with {ending}"))
        return [path for path in images if ending_of(path) == ending], ending

    def _labels_by_case(self, paths: list[Path], ending: str) -> dict[str, Path]:
        preferred = sorted(paths, key=lambda path: ending_of(path) != ending)
        return self._by_stem(preferred)

    def _check_name(self, case: str, path: Path | str) -> bool:
        if CASE_NAME.fullmatch(case) and case not in (".", ".."):
            return True
        expected = "1 to 180 characters without slashes or control characters"
        self.wrong(path, f"{case!r} cannot be the name of a case", expected)
        return False

    def _inside(self, case: str, text: str) -> Path:
        path = self.folder / text
        inside = not Path(text).is_absolute() and ".." not in Path(text).parts
        if not inside or "$" in text or "\0" in text:
            self.wrong(
                "dataset.json",
                f"dataset.{case} points outside: {text}",
                "a path inside the dataset's folder",
                "bring the files in with autoseg import --link symlink",
            )
        elif not path.exists():
            self.wrong(text, "file not found", remedy=f"correct dataset.{case}")
        return path

    def _name(self, path: Path | str) -> str:
        if isinstance(path, Path) and path.is_relative_to(self.folder):
            return str(path.relative_to(self.folder))
        return str(path)


def some(names: Iterable[str], most: int = SHOWN) -> str:
    """Return the first `most` names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _none_first(index: int | None) -> int:
    return -1 if index is None else index
