"""A case, a dataset, and the folders they live in: nnU-Net's and MSD's layouts, read as they are.

One image file per channel, `<case>_0000.nii.gz`, `<case>_0001.nii.gz`; with one channel, or with all
channels in one 4-D file, the plain `<case>.nii.gz` will do.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from autoseg.dataset_json import CaseEntry, Declaration, parse_declaration
from autoseg.errors import DataError, Problem, UsageError
from autoseg.files import read_json
from autoseg.labels import Labels

log = logging.getLogger(__name__)

ENDINGS = (
    ".nii.gz", ".nii", ".mha", ".mhd", ".nrrd", ".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp",
)  # fmt: skip
COLOUR_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
CASE_NAME = re.compile(r"[^/\\\x00-\x1f]{1,180}")
CHANNEL_NAME = re.compile(r"(.+)_(\d{4})")
SHOWN = 5  # names in a message before "and n more"


@dataclass(frozen=True)
class Case:
    """One scan: its image files, its labels, and what is known about it."""

    id: str
    images: tuple[Path, ...]  # one per channel in channel order, or one file that holds them all
    labels: Path | None = None  # None when predicting
    annotated: tuple[str, ...] | None = None  # targets that were annotated here; None = all
    group: str | None = None  # patient: cases of one group share a fold
    tags: tuple[str, ...] = ()  # "control", "site-A": folds are stratified by them


@dataclass(frozen=True)
class Dataset:
    """A folder of cases with one meaning."""

    name: str
    folder: Path
    channels: tuple[str, ...]
    labels: Labels
    cases: tuple[Case, ...]
    file_ending: str


@dataclass(frozen=True)
class Found:
    """A dataset as far as it could be understood, with all that is wrong or odd about it."""

    dataset: (
        Dataset | None
    )  # None when `dataset.json` is unusable; else the cases that are complete
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


def ending_of(path: Path) -> str:
    """Return the file type of `path` as one of ENDINGS, or "" when it is none of them.

    >>> ending_of(Path("a.b.nii.gz")), ending_of(Path("notes.txt"))
    ('.nii.gz', '')
    """
    name = path.name.lower()
    for ending in ENDINGS:
        if name.endswith(ending):
            return path.name[-len(ending) :]
    return ""


def load_dataset(folder: Path) -> Dataset:
    """Return the dataset in `folder`; raise DataError listing every problem of its files' names.

    The files themselves are not opened: that is the check's work.
    """
    found = find_dataset(folder)
    for warning in found.warnings:
        log.warning("%s", warning)
    if found.problems or found.dataset is None:
        count = len(found.problems)
        raise DataError(
            f"{count} problem{'s' * (count != 1)} with the dataset",
            place=str(folder),
            problems=found.problems,
        )
    return found.dataset


def find_dataset(folder: Path) -> Found:
    """Return what `dataset.json` and the names of the files say, without raising for bad cases."""
    place = folder / "dataset.json"
    if not place.is_file():
        raise DataError(
            "dataset.json not found",
            place=str(folder),
            remedy="create it with autoseg import, or name the dataset's own folder",
        )
    declaration, problems, warnings = parse_declaration(read_json(place), "dataset.json")
    if declaration is None:
        return Found(None, tuple(problems), tuple(warnings))
    scan = _Scan(folder, declaration.channels)
    if declaration.listed is not None:
        cases = scan.listed(declaration.listed)
        ending = declaration.file_ending or (ending_of(cases[0].images[0]) if cases else "")
    else:
        cases, ending = scan.training(declaration.file_ending)
    cases = [_with_entry(case, declaration.entries) for case in cases]
    warnings += scan.warnings + _counts(declaration, cases)
    dataset = Dataset(
        folder.name, folder, declaration.channels, declaration.labels, tuple(cases), ending
    )
    return Found(dataset, tuple(problems + scan.problems), tuple(warnings))


def find_cases(folder: Path, channels: int, file_ending: str | None = None) -> list[Case]:
    """Return the cases to predict in `folder` (or the one file it is), sorted by name.

    Files of type `file_ending` are taken; when there are none, every readable type.
    Raises UsageError when there is no image, DataError listing every case whose channels are wrong.
    """
    if not folder.exists():
        raise UsageError("not found", place=str(folder), expected="a folder with images")
    names = tuple(f"channel {index}" for index in range(channels))
    if folder.is_file():
        return [Case(_stem(folder), (folder,))]
    scan = _Scan(folder, names)
    paths = scan.images_in(folder)
    chosen = [path for path in paths if ending_of(path) == file_ending] or paths
    if not chosen:
        raise UsageError(
            "no images in this folder",
            place=str(folder),
            expected=f"files ending in {file_ending or ', '.join(ENDINGS)}",
        )
    images = scan.by_case(chosen, ())
    if scan.problems:
        count = len(scan.problems)
        fact = f"{count} problem{'s' * (count != 1)} with the images"
        raise DataError(fact, place=str(folder), problems=scan.problems)
    return [Case(case, files) for case, files in sorted(images.items())]


class _Scan:
    """One look at a folder; what is wrong or odd is collected on the way."""

    def __init__(self, folder: Path, channels: tuple[str, ...]) -> None:
        self.folder, self.channels = folder, channels
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def wrong(self, path: Path | str, found: str, expected: str = "", remedy: str = "") -> None:
        self.problems.append(Problem(self._name(path), found, expected, remedy))

    def training(self, file_ending: str) -> tuple[list[Case], str]:
        """Return the complete cases of imagesTr and labelsTr, and the images' ending."""
        images = self.images_in(self.folder / "imagesTr")
        labels = self.images_in(self.folder / "labelsTr")
        images, ending = self._of_type(images, file_ending)
        label_of = self._labels_by_case(labels, ending)
        files = self.by_case(images, label_of)
        cases = []
        for case in sorted(files):
            if case in label_of:
                cases.append(Case(case, files[case], label_of[case]))
            else:
                remedy = "add the label file, or move the image to imagesTs"
                self.wrong(files[case][0], "has no labels", f"labelsTr/{case}{ending}", remedy)
        named = {*files, *self.incomplete}
        for case in sorted(set(label_of) - named):
            expected = f"imagesTr/{case}{ending} or {case}_0000{ending}"
            self.wrong(label_of[case], "labels without an image", expected)
        if not images and not self.problems:
            self.wrong("imagesTr", "holds no images", f"files ending in {', '.join(ENDINGS)}")
        return cases, ending

    def listed(self, listed: Mapping[str, tuple[tuple[str, ...], str | None]]) -> list[Case]:
        """Return the cases of the `dataset` section; every path must stay inside the folder."""
        cases = []
        for case, (images, label) in sorted(listed.items()):
            before = len(self.problems)
            self._check_name(case, "dataset.json")
            paths = [self._inside(case, text) for text in images]
            label_path = self._inside(case, label) if label else None
            if label_path is None:
                self.wrong("dataset.json", f"dataset.{case} has no label")
            if len(self.problems) == before:
                cases.append(Case(case, tuple(paths), label_path))
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
        self.incomplete = set(found)
        complete = {}
        for case, files in found.items():
            if self._is_complete(case, files):
                complete[case] = tuple(
                    files[index] for index in sorted(files, key=lambda i: i or 0)
                )
        self.incomplete -= set(complete)
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

    def _is_complete(self, case: str, files: Mapping[int | None, Path]) -> bool:
        path = next(iter(files.values()))
        if not self._check_name(case, path):
            return False
        wanted = set(range(len(self.channels)))
        one_file = set(files) == {None} or (
            set(files) == {0} and len(wanted) == 3 and ending_of(path).lower() in COLOUR_ENDINGS
        )
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
            stem = _stem(path)
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
        stems = {_stem(path) for path in images if ending_of(path) == ending}
        others = [path for path in images if ending_of(path) != ending]
        for path in others:
            if _stem(path) in stems:
                fact = f"the same case as {_stem(path)}{ending}"
                self.wrong(path, fact, remedy="keep one of them")
        if others and file_ending in count:
            fact = (
                f"{len(others)} files of another type are ignored: {_some(p.name for p in others)}"
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


def _with_entry(case: Case, entries: Mapping[str, CaseEntry]) -> Case:
    entry = entries.get(case.id, CaseEntry())
    return Case(case.id, case.images, case.labels, entry.annotated, entry.group, entry.tags)


def _counts(declaration: Declaration, cases: list[Case]) -> list[Problem]:
    warnings = []
    if declaration.training is not None and declaration.training != len(cases):
        fact = f"numTraining is {declaration.training}"
        warnings.append(Problem("dataset.json", fact, f"{len(cases)}, the complete cases found"))
    unknown = sorted(set(declaration.entries) - {case.id for case in cases})
    if unknown:
        fact = f"cases describes {len(unknown)} that are not there: {_some(unknown)}"
        warnings.append(Problem("dataset.json", fact))
    return warnings


def _stem(path: Path) -> str:
    return path.name.removesuffix(ending_of(path))


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _none_first(index: int | None) -> int:
    return -1 if index is None else index
