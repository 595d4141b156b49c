"""What a rule makes of one mask (Z, Y, X): components, holes, closing, opening, smoothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

TOUCHING = np.ones((3, 3, 3), dtype=bool)
_ROUNDING = 1 + 1e-9  # 3 x 0.1 mm lies within 0.3 mm
Box = tuple[slice, ...]


def largest_component(mask: np.ndarray) -> np.ndarray:
    """Return the largest component of a mask (Z, Y, X); of equal ones the first in scan order."""
    components, count = ndimage.label(mask, TOUCHING)
    if count < 2:
        return mask
    sizes = np.bincount(components.ravel())[1:]
    return np.asarray(components == 1 + int(sizes.argmax()))


def min_component(mask: np.ndarray, spacing: Sequence[float], mm3: float) -> np.ndarray:
    """Return a mask (Z, Y, X) without its components of less than `mm3`; it may become empty."""
    components, _ = ndimage.label(mask, TOUCHING)
    large = np.bincount(components.ravel()) * math.prod(spacing) * _ROUNDING >= mm3
    large[0] = False
    return np.asarray(large[components])


def min_voxels(mask: np.ndarray, count: float) -> np.ndarray:
    """Return a mask (Z, Y, X) without its components of less than `count` voxels."""
    return min_component(mask, (1.0,), count)


def fill_holes(mask: np.ndarray) -> np.ndarray:
    """Return a mask (Z, Y, X) with its holes: background that no path over faces leads out of.

    In a flat image, with one voxel along an axis, the path stays in its plane.
    """
    if 1 in mask.shape:
        flat = mask.shape.index(1)
        return np.expand_dims(ndimage.binary_fill_holes(mask.squeeze(flat)), flat)
    return np.asarray(ndimage.binary_fill_holes(mask))


def closing(mask: np.ndarray, spacing: Sequence[float], mm: float) -> np.ndarray:
    """Return the closing of a mask (Z, Y, X) by a ball of radius `mm`; around it is background."""
    limit = mm * _ROUNDING
    margin = [0 if n == 1 else int(limit / s) + 2 for n, s in zip(mask.shape, spacing, strict=True)]
    padded = np.pad(mask, [(m, m) for m in margin])
    near = ndimage.distance_transform_edt(~padded, sampling=spacing) <= limit
    closed = near if near.all() else ndimage.distance_transform_edt(near, spacing) > limit
    inside = tuple(slice(m, m + n) for m, n in zip(margin, mask.shape, strict=True))
    return np.asarray(closed[inside])


def opening(mask: np.ndarray, spacing: Sequence[float], mm: float) -> np.ndarray:
    """Return the opening of a mask (Z, Y, X) by a ball of radius `mm`.

    The array's border is no surface. A target that would vanish stays as it is.
    """
    limit = mm * _ROUNDING
    if mask.all() or not mask.any():
        return mask
    deep = ndimage.distance_transform_edt(mask, sampling=spacing) > limit
    if not deep.any():
        return mask
    return np.asarray(ndimage.distance_transform_edt(~deep, sampling=spacing) <= limit)


def gaussian(mask: np.ndarray, spacing: Sequence[float], mm: float) -> np.ndarray:
    """Return a mask (Z, Y, X) blurred with a standard deviation of `mm` and cut at a half.

    Beyond the border it goes on as at the border. A target that would vanish stays as it is.
    """
    sigma = [mm / s if n > 1 else 0.0 for n, s in zip(mask.shape, spacing, strict=True)]
    smooth = ndimage.gaussian_filter(mask.astype(np.float32), sigma, mode="nearest") > 0.5
    return np.asarray(smooth) if smooth.any() else mask


def mask_box(mask: np.ndarray) -> Box | None:
    """Return the smallest box around a mask, None when it is empty."""
    sides = []
    for axis in range(mask.ndim):
        others = tuple(a for a in range(mask.ndim) if a != axis)
        found = np.flatnonzero(mask.any(axis=others))
        if not found.size:
            return None
        sides.append(slice(int(found[0]), int(found[-1]) + 1))
    return tuple(sides)
