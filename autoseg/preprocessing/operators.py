"""What resampling does to one axis, as a matrix.

Spline and linear interpolation are linear in the voxel values, and separable: along one axis they
are the matrix of responses to each unit impulse.

Voxels are little boxes: both grids share their outer faces, so output voxel j of n_out lies at
input coordinate (j + 1/2) n_in / n_out - 1/2. Beyond the outermost centres the edge continues.

Where one axis is much coarser than the others (thick slices), in-plane splines must not ring across
slices: that axis is *separate* and takes the nearest slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy import ndimage

from autoseg.plan import ANISOTROPY

SMALLEST_WEIGHT = 1e-9  # left in, smaller ones become denormal numbers and cost a factor of 20
SAME_SPACING = 1e-4  # relative; two axes this close are equally coarse
SPLINE_MARGIN = 12  # edge voxels repeated before the spline filter, as scipy.ndimage.zoom does


def separate_axis(spacing_from: Sequence[float], spacing_to: Sequence[float]) -> int | None:
    """Return the axis that is resampled apart from the others, or None.

    It is the coarsest axis of the grid we come from, if that grid is anisotropic (coarsest more
    than 3 times the finest), else of the grid we go to. Two equally coarse axes: none.
    """
    for spacing in (spacing_from, spacing_to):
        coarsest = max(spacing)
        if coarsest / min(spacing) > ANISOTROPY:
            axes = [i for i, s in enumerate(spacing) if s >= coarsest * (1 - SAME_SPACING)]
            return axes[0] if len(axes) == 1 else None
    return None


@lru_cache(maxsize=64)
def operator(n_in: int, n_out: int, order: int) -> np.ndarray:
    """Return the (n_out, n_in) float64 matrix that resamples one axis; read-only.

    `order` 0 takes the nearest voxel, 1 is linear, 3 the cubic spline. Rows sum to one.
    """
    coordinates = n_in / n_out * (np.arange(n_out) + 0.5) - 0.5
    matrix = np.zeros((n_out, n_in))
    rows = np.arange(n_out)
    if order == 0:
        matrix[rows, _within(np.floor(coordinates + 0.5), n_in)] = 1
    elif order == 1:
        lower = np.floor(coordinates)
        for index, weight in ((lower, lower + 1 - coordinates), (lower + 1, coordinates - lower)):
            np.add.at(matrix, (rows, _within(index, n_in)), weight)
    elif order == 3:
        matrix = _spline(coordinates, n_in)
    else:
        raise ValueError(f"interpolation order {order} is not 0, 1 or 3")
    matrix[np.abs(matrix) < SMALLEST_WEIGHT] = 0
    matrix.flags.writeable = False
    return matrix


def _spline(coordinates: np.ndarray, n_in: int) -> np.ndarray:
    padded = np.pad(np.eye(n_in), ((SPLINE_MARGIN, SPLINE_MARGIN), (0, 0)), mode="edge")
    coefficients = ndimage.spline_filter1d(padded, 3, axis=0, mode="nearest")
    lower = np.floor(coordinates).astype(int)
    t = (coordinates - lower)[:, None]
    first = lower + SPLINE_MARGIN - 1
    # The four cubic B-splines that reach a point between two knots.
    weights = (
        (1 - t) ** 3 / 6,
        (4 - 6 * t**2 + 3 * t**3) / 6,
        (1 + 3 * t + 3 * t**2 - 3 * t**3) / 6,
        t**3 / 6,
    )
    return sum(weight * coefficients[first + k] for k, weight in enumerate(weights))


def _within(index: np.ndarray, size: int) -> np.ndarray:
    return np.clip(index, 0, size - 1).astype(int)


def operators(
    shape_in: Sequence[int],
    shape_out: Sequence[int],
    spacing_in: Sequence[float],
    spacing_out: Sequence[float],
    order: int,
    order_separate: int = 0,
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Return one (n_out, n_in) matrix per axis; None for an axis that keeps its size.

    The separate axis, if there is one, is interpolated with `order_separate`.
    """
    separate = separate_axis(spacing_in, spacing_out)
    z, y, x = (
        None
        if n_in == n_out
        else operator(int(n_in), int(n_out), order_separate if axis == separate else order)
        for axis, (n_in, n_out) in enumerate(zip(shape_in, shape_out, strict=True))
    )
    return z, y, x
