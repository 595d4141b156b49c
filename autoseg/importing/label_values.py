"""The values of a label map against those that `dataset.json` declares."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from autoseg.case_files import some
from autoseg.dataset import Case
from autoseg.errors import Problem
from autoseg.labels import Labels

IMAGE_LIKE = 1000  # undeclared values in a label map that is none
SHOWN_VALUES = 10
SHOWN_DECLARED = 30
WHITE = 255  # class numbers are spread up to it, to be seen in a picture: 85, 170, 255
COURSE_STEP = 63  # of the ai4mi course, however many classes there are
FEWEST_GREYS = 10  # between two classes; with less they would not be seen


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


def find_undeclared(
    array: np.ndarray, values: Mapping[int, int], place: str, labels: Labels
) -> list[Problem]:
    """Return a problem for each value of `array` (1, Z, Y, X) that means nothing, ten at most."""
    known = {0, *labels.values}
    if labels.ignore is not None:
        known.add(labels.ignore)
    wrong = sorted(set(values) - known)
    expected = f"the declared values {some(map(str, sorted(known)), SHOWN_DECLARED)}"
    if len(wrong) > IMAGE_LIKE:
        remedy = "is it the image? exchange the two files"
        return [Problem(place, f"{len(values):,} distinct values", expected, remedy)]
    remedy = "declare it in dataset.json, or correct the file"
    greys = spread_to_greys(values, labels.values)
    if greys:
        remedy = f"import with --label-map {greys}"
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


def spread_to_greys(values: Collection[int], declared: Sequence[int]) -> str:
    """Return "63:1,126:2" where classes were stored as greys, so that they can be seen; else ""."""
    count, greys = len(declared), set(values) - {0}
    if greys & set(declared):
        return ""
    for step in (WHITE // count, COURSE_STEP):
        seen = step >= FEWEST_GREYS  # of hundreds of classes none would be
        if seen and all(value % step == 0 and 0 < value <= count * step for value in greys):
            return ",".join(f"{step * n}:{value}" for n, value in enumerate(declared, 1))
    return ""


def find_all_ignored(values: Mapping[int, int], place: str, labels: Labels) -> list[Problem]:
    """Return a problem where a label map holds the ignored value and nothing else."""
    if labels.ignore is None or set(values) != {labels.ignore}:
        return []
    remedy = "annotate something in it, or move the image to imagesTs"
    return [Problem(place, "every voxel is ignored", "voxels to learn from", remedy)]


def find_not_annotated(
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
