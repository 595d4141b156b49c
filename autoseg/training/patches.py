"""Where in its case a patch lies, and what is read there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoseg.plan import Triple
from autoseg.preprocessing.npz import fetch
from autoseg.preprocessing.store import PreparedCase
from autoseg.training.geometry import covered_box

JITTER = 0.25  # of the patch: how far "balanced" moves a voxel away from the centre


@dataclass(frozen=True)
class Patch:
    """What was read for one sample, and how it becomes the sample.

    `matrix` None: `image` (C, *P) and `labels` (*P) are the sample. Otherwise voxel v of the sample
    lies at `centre + matrix @ (v - (P - 1) / 2)` in voxels of both. Types are those of the case.
    """

    image: np.ndarray
    labels: np.ndarray
    matrix: np.ndarray | None = None
    centre: np.ndarray | None = None
    previous: np.ndarray | None = None  # like `labels`, what the previous stage of a cascade says


def choose_start(
    shape: Triple, patch_size: Triple, voxel: np.ndarray | None, rng: np.random.Generator, *,
    nnunet: bool = False, from_end: Sequence[int] = (),
) -> np.ndarray:  # fmt: skip
    """Return the first voxel (3,) of a patch in a scan of `shape`; negative where it overhangs.

    Without `voxel`, any place where the patch lies inside the scan (where that is smaller, in the
    middle, as in prediction: an odd margin is larger behind it, along axes `from_end` before it).
    With it, the patch holds that voxel: by "nnunet" in its very middle unless the patch would begin
    before the scan (it may end behind it); else moved by up to a quarter of the patch, and then
    back inside the scan.
    """
    size, patch = np.asarray(shape), np.asarray(patch_size)
    spare = size - patch
    odd = np.isin(np.arange(3), from_end)
    low = np.where(spare < 0, -((odd - spare) // 2), 0)
    high = np.where(spare < 0, low, spare)
    if voxel is None:
        return rng.integers(low, high + 1)
    start = voxel - patch // 2
    if nnunet:
        return np.maximum(start, low)
    reach = (patch * JITTER).astype(int)
    return np.clip(start + rng.integers(-reach, reach + 1), low, high)


def choose_place(
    case: PreparedCase,
    patch_size: Triple,
    target: int | None,
    rng: np.random.Generator,
    *,
    nnunet: bool = False,
    from_end: Sequence[int] = (),
) -> np.ndarray:
    """Return the first voxel (3,) of a patch centred on a voxel of `target` (None: anywhere)."""
    voxels = case.foreground[target] if target is not None else ()
    if target is None and len(case.labelled):
        voxels = case.labelled  # where most is ignored, a random place would teach nothing
    voxel = None
    if len(voxels):
        voxel = voxels[rng.integers(len(voxels))]
        fetch(voxel)
    shape: Triple = case.labels.shape
    return choose_start(shape, patch_size, voxel, rng, nnunet=nnunet, from_end=from_end)


def read_patch(
    case: PreparedCase, patch_size: Triple, start: np.ndarray, matrix: np.ndarray | None = None
) -> Patch:
    """Read the patch of `case` whose first voxel is `start` (3,).

    With `matrix` (from `geometry.draw_transform`) the voxels under the transformed patch are read
    instead, for `augmentation` to resample. Outside the scan the image is 0, its mean intensity
    after normalising, and the labels are background; prediction pads the same way.
    """
    first, stop, place = start, start + patch_size, None
    if matrix is not None:
        centre = start + (np.asarray(patch_size) - 1) / 2
        first, stop = covered_box(matrix, centre, patch_size, case.labels.shape)
        place = centre - first
    parts = [array[_inside(array, first, stop)] for array in (case.image, case.labels)]
    if case.previous is not None:
        parts.append(case.previous[_inside(case.previous, first, stop)])
    for part in parts:  # of all before the first is waited for
        fetch(part)
    image, labels, *previous = (_padded(part, first, stop) for part in parts)
    return Patch(image, labels, matrix, place, previous[0] if previous else None)


def _inside(array: np.ndarray, start: np.ndarray, stop: np.ndarray) -> Any:
    """Return the index of what of `array` (..., z, y, x) lies from start to stop."""
    shape = np.asarray(array.shape[-3:])
    return (..., *map(slice, np.clip(start, 0, shape), np.clip(stop, 0, shape)))


def _padded(part: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Return a copy of `part`, what there is from start to stop, zero where there was nothing."""
    if part.shape[-3:] == tuple(stop - start):
        return np.array(part)
    patch = np.zeros((*part.shape[:-3], *(stop - start)), dtype=part.dtype)
    before = np.maximum(-start, 0)
    place: Any = (..., *map(slice, before, before + part.shape[-3:]))
    patch[place] = part
    return patch
