"""Checks on label maps before any metric, and the two masks of each target, cut to their box."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import find_objects

from autoseg.errors import DataError, Problem
from autoseg.labels import Labels

Box = tuple[slice, ...]

LABEL_ROUNDING = 1e-3  # a float label may be this far from a whole number
# Boxes of values up to this one are found directly; larger values are renumbered first, because the
# search makes one entry for every number up to the largest.
_LARGEST_DIRECT_VALUE = 4096


@dataclass(frozen=True)
class LabelMap:
    """A checked label map (Z, Y, X) of integers, and the box around each non-zero value."""

    array: np.ndarray
    boxes: dict[int, Box]


def load_label_map(array: np.ndarray, place: str) -> LabelMap:
    """Return `array` with its boxes; raise DataError naming `place` unless all values are whole
    numbers from 0 on."""
    array = whole_numbers(array, place)
    return LabelMap(array, value_boxes(array))


def whole_numbers(array: np.ndarray, place: str) -> np.ndarray:
    """Return `array` with an integer type; floats must lie within 1e-3 of whole numbers."""
    if array.dtype.kind in "iu":
        return array
    if array.dtype.kind == "b":
        return array.view(np.uint8)
    rounded = np.rint(array)
    with np.errstate(invalid="ignore"):  # NaN and infinity are counted as wrong just below
        wrong = ~(np.abs(array - rounded) <= LABEL_ROUNDING)
    if wrong.any():
        first = ", ".join(f"{value:.4g}" for value in array[wrong][:3])
        inside = float(np.nanmin(array)) >= 0 and float(np.nanmax(array)) <= 1
        guess = "these look like probabilities" if inside else "was it interpolated?"
        raise DataError(
            f"{int(wrong.sum())} voxels are not whole numbers ({first}); {guess}",
            place=place,
            expected="label values",
            remedy="save labels, or resample them with nearest neighbours",
        )
    return rounded.astype(np.int64)


def value_boxes(array: np.ndarray) -> dict[int, Box]:
    """Return the smallest box around each non-zero value of an integer array."""
    if array.size == 0:
        return {}
    values = None
    if int(array.max()) > _LARGEST_DIRECT_VALUE or int(array.min()) < 0:
        values, inverse = np.unique(array, return_inverse=True)
        array = inverse.reshape(array.shape) + 1
    found = enumerate(find_objects(array), start=1)
    boxes = {index: box for index, box in found if box is not None}
    if values is not None:
        boxes = {int(values[index - 1]): box for index, box in boxes.items()}
    return {value: box for value, box in boxes.items() if value != 0}


def undeclared(
    label_map: LabelMap, allowed: Iterable[int], place: str, option: str = ""
) -> list[Problem]:
    """Return one problem for each value of the map that is neither 0 nor in `allowed`.

    `option` of the command line says what a value stands for, where there is one.
    """
    allowed = sorted(set(allowed))
    remedy = "correct the file, or declare the value in dataset.json"
    names = ", ".join(map(str, [0, *allowed[:20]])) + (", ..." if len(allowed) > 20 else "")
    return [
        Problem(
            place,
            f"value {value} in {int((label_map.array[box] == value).sum())} voxels",
            f"only {names}",
            f"correct the file, or say what it means: {option} {value}:{allowed[0]}"
            if option
            else remedy,
        )
        for value, box in label_map.boxes.items()
        if value not in allowed
    ]


def target_masks(
    reference: LabelMap, prediction: LabelMap, labels: Labels, target: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the two masks of a target, cut to the box around both.

    Voxels that the reference marks as ignored belong to neither. Both are empty (size 0) when the
    target is in neither map.
    """
    box = target_box(reference, prediction, labels, target)
    if box is None:
        nothing = np.zeros((0,) * reference.array.ndim, dtype=bool)
        return nothing, nothing
    ours = labels.mask(reference.array[box], target)
    theirs = labels.mask(prediction.array[box], target)
    if labels.ignore is not None and labels.ignore in reference.boxes:
        theirs &= reference.array[box] != labels.ignore
    return ours, theirs


def target_box(
    reference: LabelMap, prediction: LabelMap, labels: Labels, target: str
) -> Box | None:
    """Return the smallest box around the target in both maps; None: it is in neither."""
    values = labels.targets[target]
    found = (boxes.get(value) for value in values for boxes in (reference.boxes, prediction.boxes))
    boxes = [box for box in found if box is not None]
    if not boxes:
        return None
    return tuple(
        slice(min(s.start for s in sides), max(s.stop for s in sides))
        for sides in zip(*boxes, strict=True)
    )


def grown_box(box: Box, margins: Sequence[int], shape: Sequence[int]) -> Box:
    """Return the box with so many voxels more on both sides of each axis, within `shape`."""
    return tuple(
        slice(max(0, side.start - margin), min(size, side.stop + margin))
        for side, margin, size in zip(box, margins, shape, strict=True)
    )


def judged_voxels(reference: LabelMap, labels: Labels) -> int:
    """Return how many voxels the reference does not mark as ignored."""
    box = None if labels.ignore is None else reference.boxes.get(labels.ignore)
    ignored = 0 if box is None else int(np.count_nonzero(reference.array[box] == labels.ignore))
    return reference.array.size - ignored
