"""Is a case fit for training? Each file is read once, every finding is kept, nothing is corrected.

`inspect_case` looks at one case and hands its arrays on, so that planning measures them in the same
pass; `conclude` adds what only the whole dataset shows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from autoseg.case_files import some
from autoseg.dataset import Case, Dataset, Found
from autoseg.errors import DataError, Problem
from autoseg.image import Geometry, Image, grid_differences
from autoseg.importing.duplicates import Content, content_of, find_same
from autoseg.io import read_image, read_labels, stack_channels
from autoseg.labels import Labels

LARGEST_VALUE = 1e30  # squares and sums stay finite in float32 statistics
IMAGE_LIKE = 1000  # undeclared values in a label map that is none
SHOWN_VALUES = 10
SHOWN_DECLARED = 30


@dataclass(frozen=True)
class Inspected:
    """One case after the check; the arrays are None where the files could not be read."""

    case: Case
    image: Image | None  # (C, Z, Y, X), as `stack_channels` gives it
    labels: Image | None  # (1, Z, Y, X) integers, only when on the image's grid and as declared
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    values: Mapping[int, int] = field(default_factory=dict)  # label value -> voxels
    content: Content | None = None  # to find the same voxels again; None: unread or constant

    def without_arrays(self) -> Inspected:
        """Return the findings alone: small enough to keep for every case, or to send home."""
        return dataclasses.replace(self, image=None, labels=None)


@dataclass(frozen=True)
class Report:
    """What `check.json` holds."""

    dataset: str
    cases: int
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def inspect_case(case: Case, dataset: Dataset, complete: bool = True) -> Inspected:
    """Read the files of `case` once and return them with everything that is wrong with them.

    Of a case that is not `complete` each file is judged for itself; no arrays are handed on.
    """
    problems: list[Problem] = []
    warnings: list[Problem] = []
    images = []
    grid_of: Path | None = None  # the first image that can be read
    for path in case.images:
        image = _read(read_image, path, dataset, problems)
        if image is not None:
            problems += _bad_numbers(image.array, _place(path, dataset))
            images.append(image)
            grid_of = grid_of or path
    stacked, content = None, None
    if complete and len(images) == len(case.images):
        content = content_of(images)
        if content is None:
            fact = "every voxel has the same value"
            warnings.append(Problem(_place(case.images[0], dataset), fact))
        try:
            stacked = stack_channels(images, case.images, len(dataset.channels))
        except DataError as error:
            problems.append(_as_problem(error, case.images[0], dataset))
    labels = _read(read_labels, case.labels, dataset, problems) if case.labels else None
    values: dict[int, int] = {}
    if labels is not None and case.labels is not None:
        place = _place(case.labels, dataset)
        before = len(problems)
        if grid_of is not None:
            problems += _other_grid(labels, images[0].geometry, place, _place(grid_of, dataset))
        values = count_values(labels.array)
        problems += _undeclared(labels.array, values, place, dataset)
        problems += _all_ignored(values, place, dataset.labels)
        warnings += _not_annotated(case, values, place, dataset.labels)
        if len(problems) > before:
            labels = None
    return Inspected(case, stacked, labels, tuple(problems), tuple(warnings), values, content)


def conclude(found: Found, inspected: Iterable[Inspected]) -> Report:
    """Return all problems and warnings: of names, of each case, and of the cases together."""
    if found.dataset is None:
        return Report("", 0, found.problems, found.warnings)
    dataset = found.dataset
    problems, warnings = list(found.problems), list(found.warnings)
    cases = [one.without_arrays() for one in inspected]
    for one in cases:
        problems += one.problems
        warnings += one.warnings
    for first, second, how in find_same([one.content for one in cases]):
        a, b = cases[first].case, cases[second].case
        together = a.group is not None and a.group == b.group  # in one fold, that is
        (warnings if together else problems).append(_twice(a, b, how, dataset))
    if cases and not any(one.problems for one in cases):
        problems += _no_foreground(cases, dataset.labels)
        warnings += _never_seen(cases, dataset)
    return Report(dataset.name, len(dataset.cases), tuple(problems), tuple(warnings))


def count_values(array: np.ndarray) -> dict[int, int]:
    """Return how many voxels of an integer array hold each value."""
    low, high = int(array.min(initial=0)), int(array.max(initial=0))
    if low < 0 or high > np.iinfo(np.uint16).max:
        values, counts = np.unique(array, return_counts=True)
        return {int(value): int(count) for value, count in zip(values, counts, strict=True)}
    total = np.zeros(high + 1, dtype=np.int64)
    for slab in array.reshape(-1, *array.shape[-2:]):  # bincount makes 8 bytes of every voxel
        total += np.bincount(slab.ravel(), minlength=high + 1)
    return {int(value): int(total[value]) for value in np.flatnonzero(total)}


def _read(
    read: Callable[[Path], Image], path: Path, dataset: Dataset, problems: list[Problem]
) -> Image | None:
    try:
        return read(path)
    except DataError as error:
        problems.append(_as_problem(error, path, dataset))
    except OSError as error:
        fact = f"cannot be read: {error.strerror or error}"
        problems.append(Problem(_place(path, dataset), fact))
    return None


def _as_problem(error: DataError, path: Path, dataset: Dataset) -> Problem:
    place = _place(Path(error.place) if error.place else path, dataset)
    return Problem(place, error.fact, error.expected, error.remedy)


def _place(path: Path, dataset: Dataset) -> str:
    """Return a file's name as it stands in `raw/<dataset>`."""
    inside = path.is_relative_to(dataset.folder)
    return str(path.relative_to(dataset.folder) if inside else path)


def _bad_numbers(array: np.ndarray, place: str) -> list[Problem]:
    if array.dtype.kind != "f":
        return []
    # Minimum and maximum show NaN and infinity; only then is it worth counting.
    largest = max(abs(float(array.min())), abs(float(array.max())))
    if largest < LARGEST_VALUE:
        return []
    remedy = "replace them in the file, or remove the case"
    problems = []
    for name, wrong in (("NaN", np.isnan(array)), ("infinite", np.isinf(array))):
        if wrong.any():
            first = tuple(int(i) for i in np.argwhere(wrong)[0][1:])
            found = f"{int(wrong.sum()):,} voxels are {name}, the first at (z, y, x) = {first}"
            problems.append(Problem(place, found, "finite numbers", remedy))
    if not problems:
        problems.append(Problem(place, f"values up to {largest:.3g}", "below 1e30", remedy))
    return problems


def _other_grid(labels: Image, grid: Geometry, place: str, image_place: str) -> list[Problem]:
    differences = grid_differences(labels.geometry, grid)
    if not differences:
        return []
    found = ", ".join(f"{what} {here}" for what, here, _ in differences)
    expected = ", ".join(f"{what} {there}" for what, _, there in differences)
    if differences[0][0] == "shape":
        remedy = "resample the labels to the image (nearest neighbour), or remove the case"
    else:
        remedy = "if the voxels do match, write the labels anew with the image's header"
    return [Problem(place, found, f"{expected} as in {image_place}", remedy)]


def _undeclared(
    array: np.ndarray, values: Mapping[int, int], place: str, dataset: Dataset
) -> list[Problem]:
    declared = {0, *dataset.labels.values}
    if dataset.labels.ignore is not None:
        declared.add(dataset.labels.ignore)
    wrong = sorted(set(values) - declared)
    expected = f"the declared values {some(map(str, sorted(declared)), SHOWN_DECLARED)}"
    if len(wrong) > IMAGE_LIKE:
        remedy = "is it the image? exchange the two files"
        return [Problem(place, f"{len(values):,} distinct values", expected, remedy)]
    remedy = "declare it in dataset.json, or correct the file"
    if wrong == [255] and len(dataset.labels.values) == 1:
        remedy = f"import with --label-map 255:{dataset.labels.values[0]}"
    problems = []
    for value in wrong[:SHOWN_VALUES]:
        slices = np.flatnonzero((array[0] == value).any((1, 2)))
        where = f"slices {slices[0]} to {slices[-1]}" if array.shape[1] > 1 else "the slice"
        found = f"label value {value} in {values[value]:,} voxels ({where})"
        problems.append(Problem(place, found, expected, remedy))
    if len(wrong) > SHOWN_VALUES:
        found = f"{len(wrong) - SHOWN_VALUES} more undeclared label values"
        problems.append(Problem(place, found, expected, remedy))
    return problems


def _all_ignored(values: Mapping[int, int], place: str, labels: Labels) -> list[Problem]:
    if labels.ignore is None or set(values) != {labels.ignore}:
        return []
    remedy = "annotate something in it, or move the image to imagesTs"
    return [Problem(place, "every voxel is ignored", "voxels to learn from", remedy)]


def _not_annotated(
    case: Case, values: Mapping[int, int], place: str, labels: Labels
) -> list[Problem]:
    """Return a warning where values stand only for targets that are said not to be annotated."""
    if case.annotated is None:
        return []
    known = {value for name in case.annotated for value in labels.targets[name]}
    return [
        Problem(
            place,
            f"'{name}' has {sum(values.get(value, 0) for value in numbers):,} voxels",
            f"none: it is not among the annotated targets ({', '.join(case.annotated) or 'none'})",
            f"add it to cases.{case.id}.annotated; else they count as background or {name}",
        )
        for name, numbers in labels.targets.items()
        if name not in case.annotated and any(value in values for value in set(numbers) - known)
    ]


def _twice(first: Case, second: Case, how: str, dataset: Dataset) -> Problem:
    place, other = _place(second.images[0], dataset), _place(first.images[0], dataset)
    remedy = "remove one, or give both the same group under cases in dataset.json"
    return Problem(place, f"{how} {other}", "different scans", remedy)


def _targets_in(one: Inspected, labels: Labels) -> set[int]:
    """Return the values of a label map that are neither background nor ignored."""
    return set(one.values) - {0, labels.ignore}


def _no_foreground(cases: list[Inspected], labels: Labels) -> list[Problem]:
    if any(_targets_in(one, labels) for one in cases):
        return []
    return [Problem("labelsTr", "no voxel of any label map is labelled", "at least one target")]


def _never_seen(cases: list[Inspected], dataset: Dataset) -> list[Problem]:
    seen = {value for one in cases for value in one.values}
    warnings = []
    for name, values in dataset.labels.targets.items():
        if all(one.case.annotated is not None and name not in one.case.annotated for one in cases):
            fact = f"'{name}' is annotated in no case: it cannot be learnt"
            remedy = "remove it from labels, or add it to the annotated targets of a case"
            warnings.append(Problem("dataset.json", fact, remedy=remedy))
        elif not seen.intersection(values):
            numbers = ", ".join(map(str, values))
            fact = f"'{name}' (value {numbers}) occurs in no case"
            warnings.append(Problem("dataset.json", fact, remedy="remove it from labels"))
    empty = [
        one.case.id
        for one in cases
        if not _targets_in(one, dataset.labels) and "control" not in one.case.tags
    ]
    if empty:
        names = ", ".join(empty[:5]) + (", ..." if len(empty) > 5 else "")
        fact = f"{len(empty)} cases hold background only: {names}"
        warnings.append(Problem("labelsTr", fact, remedy='if so intended, tag them "control"'))
    return warnings
