"""A case, a dataset, and the folders they live in: nnU-Net's and MSD's layouts, read as they are.

One image file per channel, `<case>_0000.nii.gz`, `<case>_0001.nii.gz`; with one channel, or with
all channels in one 4-D file, the plain `<case>.nii.gz` will do.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.case_files import ENDINGS, Scan, ending_of, some
from autoseg.dataset_json import CaseEntry, Declaration, parse_declaration
from autoseg.dicom_files import is_series, kind_of
from autoseg.errors import DataError, Problem, UsageError, number_of
from autoseg.files import read_json
from autoseg.labels import Labels

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Case:
    """One scan: its image files, its labels, and what is known about it."""

    id: str
    images: tuple[Path, ...]  # one per channel in channel order, or one file that holds them all
    labels: Path | None = None  # None when predicting
    annotated: tuple[str, ...] | None = None  # targets that were annotated here; None = all
    group: str | None = None  # patient: cases of one group share a fold
    tags: tuple[str, ...] = ()  # "control", "site-A": folds are stratified by them
    previous: Path | None = None  # when predicting: what a cascade's previous stage predicted


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
    """A dataset as far as it could be understood, with all that is wrong or odd about it.

    `dataset` is None when `dataset.json` cannot be used, else it has the cases that are complete.
    The files of the others are in `incomplete`, so that they can be looked at as well.
    """

    dataset: Dataset | None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    incomplete: tuple[Case, ...] = ()


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
            f"{number_of(count, 'problem')} with the dataset",
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
    scan = Scan(folder, declaration.channels)
    if declaration.listed is not None:
        files = scan.listed(declaration.listed)
        ending = declaration.file_ending or next((ending_of(i[0]) for i, _ in files.values()), "")
    else:
        files, ending = scan.training(declaration.file_ending)
    cases = [
        _with_entry(Case(case, images, labels), declaration.entries)
        for case, (images, labels) in sorted(files.items())
    ]
    warnings += scan.warnings + _counts(declaration, cases)
    dataset = Dataset(
        folder.name, folder, declaration.channels, declaration.labels, tuple(cases), ending
    )
    incomplete = tuple(
        Case(case, scan.incomplete.get(case, ()), scan.unpaired.get(case))
        for case in sorted({*scan.incomplete, *scan.unpaired})
    )
    return Found(dataset, tuple(problems + scan.problems), tuple(warnings), incomplete)


def find_cases(
    places: Path | Sequence[Path], channels: int, file_ending: str | None = None
) -> list[Case]:
    """Return the cases to predict in folders, or files, sorted by name.

    Of a folder, files of type `file_ending` are taken; when there are none, DICOM series: the
    folder itself, or the folders in it, named as files would be; then every readable type.
    Raises UsageError when there is no image, DataError listing every case whose channels are wrong.
    """
    places = [places] if isinstance(places, Path) else list(places)
    shown = str(places[0]) if len(places) == 1 else f"{places[0]}, ..."
    folder = places[0] if places[0].is_dir() else places[0].parent
    scan = Scan(folder, tuple(f"channel {index}" for index in range(channels)))
    chosen = [path for place in places for path in _images_at(place, scan, file_ending)]
    images = scan.by_case(chosen, ())
    if scan.problems:
        count = len(scan.problems)
        fact = f"{number_of(count, 'problem')} with the images"
        raise DataError(fact, place=shown, problems=scan.problems)
    return [Case(case, files) for case, files in sorted(images.items())]


def _images_at(place: Path, scan: Scan, file_ending: str | None) -> list[Path]:
    if not place.exists():
        expected = "an image" if ending_of(place) else "a folder with images"
        raise UsageError("not found", place=str(place), expected=expected)
    if not place.is_dir():
        check_is_image(place)
        return [place]
    paths = scan.images_in(place)
    chosen = [path for path in paths if ending_of(path) == file_ending]
    chosen = chosen or _series_in(place) or paths
    if not chosen:
        raise UsageError(
            "no images in this folder",
            place=str(place),
            expected=f"files ending in {file_ending or ', '.join(ENDINGS)}, or DICOM series",
        )
    left_out = [path for path in paths if path not in chosen]
    if left_out:
        others = ", ".join(sorted({ending_of(path) for path in left_out}))
        kind = ending_of(chosen[0]) or "DICOM"
        log.warning("%s: left out, as not %s: %d of type %s", place, kind, len(left_out), others)
    return chosen


def check_is_image(path: Path) -> None:
    """Raise UsageError when the name of an existing path is not that of an image, or a series."""
    if ending_of(path) or is_series(path):
        return
    if kind_of(path) == "image":
        remedy = "name the folder of its series"
        raise UsageError("is a single DICOM file", place=str(path), remedy=remedy)
    raise UsageError("is no image", place=str(path), expected=f"a file ending in {some(ENDINGS)}")


def _series_in(folder: Path) -> list[Path]:
    """Return the DICOM series: the folder when it is one, else the series folders in it."""
    if is_series(folder):
        return [folder.resolve()]  # for its name, also of "."
    below = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in below if not path.name.startswith(".") and is_series(path)]


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
        fact = f"cases describes {len(unknown)} that are not there: {some(unknown)}"
        warnings.append(Problem("dataset.json", fact))
    return warnings
