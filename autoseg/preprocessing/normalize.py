"""Normalisers: from a scanner's numbers to numbers a network can learn from.

A normaliser is `(array (Z, Y, X) float32, IntensityStats, inside (Z, Y, X) bool | None) -> array`.
`array` is its own to overwrite. `inside` is given when the plan wants statistics of the body only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from autoseg.plan import IntensityStats

SMALLEST_STD = 1e-8  # keeps a constant image finite

Normalizer = Callable[[np.ndarray, IntensityStats, "np.ndarray | None"], np.ndarray]


def normalize_ct(
    array: np.ndarray, stats: IntensityStats, inside: np.ndarray | None = None
) -> np.ndarray:
    """Clip to the data set's 0.5th and 99.5th percentile, subtract its mean, divide by its std.

    Hounsfield units mean the same in every scan, so the numbers come from the whole data set.
    """
    np.clip(array, np.float32(stats.p0_5), np.float32(stats.p99_5), out=array)
    array -= np.float32(stats.mean)
    array /= np.float32(max(stats.std, SMALLEST_STD))
    return array


def normalize_zscore(
    array: np.ndarray, stats: IntensityStats, inside: np.ndarray | None = None
) -> np.ndarray:
    """Give this scan mean 0 and standard deviation 1; with `inside`, within it, and 0 elsewhere."""
    if inside is None:
        return _standardise(array)
    normalised = np.zeros_like(array)
    normalised[inside] = _standardise(array[inside])
    return normalised


def normalize_rescale(
    array: np.ndarray, stats: IntensityStats, inside: np.ndarray | None = None
) -> np.ndarray:
    """Map this scan's smallest value to 0 and its largest to 1."""
    array -= array.min()
    array /= np.float32(max(float(array.max()), SMALLEST_STD))
    return array


def normalize_rgb(
    array: np.ndarray, stats: IntensityStats, inside: np.ndarray | None = None
) -> np.ndarray:
    """Map 0..255 to 0..1."""
    array /= np.float32(255)
    return array


def keep_intensities(
    array: np.ndarray, stats: IntensityStats, inside: np.ndarray | None = None
) -> np.ndarray:
    """Leave the intensities as they are."""
    return array


NORMALIZERS: dict[str, Normalizer] = {
    "ct": normalize_ct,
    "zscore": normalize_zscore,
    "rescale": normalize_rescale,
    "rgb": normalize_rgb,
    "none": keep_intensities,
}


def _standardise(array: np.ndarray) -> np.ndarray:
    if array.size == 0:
        return array
    # Sums in double: a float32 sum over 1e8 voxels loses the fourth digit.
    array -= np.float32(array.sum(dtype=np.float64) / array.size)
    squares = sum(float(np.square(part).sum(dtype=np.float64)) for part in array)
    array /= np.float32(max(np.sqrt(squares / array.size), SMALLEST_STD))
    return array
