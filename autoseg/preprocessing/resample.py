"""Resampling as three matrix products.

Interpolation along one axis is a matrix (`operators.py`), so a volume is resampled by one product
per axis. BLAS does that 20 times faster than interpolating voxel by voxel, to 1e-5.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autoseg.preprocessing.operators import operators, separate_axis

BLOCK = 32  # rows per product: enough for BLAS, and few zeros of the banded matrix among them
# Multiplications per product. OpenBLAS shares larger ones between threads, which then wait for each
# other for seconds when every core has a worker process; small ones give the same bytes anywhere.
SMALL_PRODUCT = 1 << 18
SLAB_BYTES = 4 << 20  # slices that go through both in-plane products while in cache

Triple = tuple[int, int, int]
Band = tuple[slice, slice, np.ndarray]  # output rows, input rows, weights


def resampled_shape(
    shape: Sequence[int], spacing: Sequence[float], target: Sequence[float]
) -> Triple:
    """Return `round(shape * spacing / target)` per axis, at least one voxel."""
    z, y, x = (
        max(1, round(now / then * size))
        for size, now, then in zip(shape, spacing, target, strict=True)
    )
    return z, y, x


def resample(
    array: np.ndarray,
    shape_out: Sequence[int],
    spacing_in: Sequence[float],
    spacing_out: Sequence[float],
    order: int = 3,
) -> np.ndarray:
    """Return `array` (C, Z, Y, X) float32 on a grid of `shape_out` with the same outer faces.

    Spacings in mm decide whether an axis is separate. A spline overshoots at edges; the result is
    clipped to the range of what was interpolated: the channel, or the slice if an axis is separate.
    An array that has the shape already is returned as it is.
    """
    if tuple(array.shape[1:]) == tuple(shape_out):
        return array
    matrices = operators(array.shape[1:], shape_out, spacing_in, spacing_out, order)
    separate = separate_axis(spacing_in, spacing_out)
    front = 0 if separate is None else separate
    bands = [None if matrix is None else _bands(matrix) for matrix in matrices]
    first = bands.pop(front)
    out = np.empty((array.shape[0], *shape_out), dtype=np.float32)
    for volume, resampled in zip(array, out, strict=True):
        source, target = np.moveaxis(volume, front, 0), np.moveaxis(resampled, front, 0)
        planes = target if first is None else None
        planes = _resample_planes(source, planes, bands[0], bands[1])
        if order > 1 and separate is not None and planes is not source:
            for plane, original in zip(planes, source, strict=True):
                np.clip(plane, original.min(), original.max(), out=plane)
        if first is not None:
            _resample_across(planes, target, first)
        if order > 1 and separate is None:
            np.clip(resampled, volume.min(), volume.max(), out=resampled)
    return out


def _bands(matrix: np.ndarray) -> list[Band]:
    """Split a banded matrix into dense float32 blocks: BLAS speed without multiplying the zeros."""
    bands = []
    for start in range(0, matrix.shape[0], BLOCK):
        rows = slice(start, min(start + BLOCK, matrix.shape[0]))
        weights, columns = needed_rows(matrix, rows)
        bands.append((rows, columns, np.ascontiguousarray(weights, np.float32)))
    return bands


def needed_rows(matrix: np.ndarray, rows: slice) -> tuple[np.ndarray, slice]:
    """Return the part of a banded `matrix` that some of its rows need, and its columns."""
    used = np.flatnonzero(matrix[rows].any(0))
    columns = slice(int(used[0]), int(used[-1]) + 1)
    return matrix[rows, columns], columns


def _resample_planes(
    source: np.ndarray,
    planes: np.ndarray | None,
    y_bands: list[Band] | None,
    x_bands: list[Band] | None,
) -> np.ndarray:
    """Resample the last two axes of `source` (N, Y, X), into `planes` if given."""
    if y_bands is None and x_bands is None and planes is None:
        return source
    height = y_bands[-1][0].stop if y_bands else source.shape[1]
    width = x_bands[-1][0].stop if x_bands else source.shape[2]
    if planes is None:
        planes = np.empty((source.shape[0], height, width), dtype=np.float32)
    step = max(1, SLAB_BYTES // max(1, 4 * source.shape[1] * max(width, source.shape[2])))
    for start in range(0, source.shape[0], step):
        part = slice(start, start + step)
        slab = np.ascontiguousarray(source[part], dtype=np.float32)
        if x_bands is not None:
            slab = _along_last(slab, x_bands, width)
        if y_bands is None:
            planes[part] = slab
        elif planes.flags.c_contiguous:
            _along_middle(slab, y_bands, planes[part])
        else:
            resampled = np.empty((slab.shape[0], height, width), dtype=np.float32)
            _along_middle(slab, y_bands, resampled)
            planes[part] = resampled
    return planes


def _along_last(slab: np.ndarray, bands: list[Band], size: int) -> np.ndarray:
    """Return C-ordered `slab` (N, Y, X) with its last axis resampled to `size`."""
    lines = slab.reshape(-1, slab.shape[2])
    out = np.empty((lines.shape[0], size), dtype=np.float32)
    for rows, columns, weights in bands:
        source, target = lines[:, columns], out[:, rows]
        step, whole = _steps(lines.shape[0], weights)
        if whole:
            many = target[:whole].reshape(-1, step, weights.shape[0])
            np.matmul(source[:whole].reshape(-1, step, weights.shape[1]), weights.T, out=many)
        np.matmul(source[whole:], weights.T, out=target[whole:])
    return out.reshape(*slab.shape[:2], size)


def _along_middle(array: np.ndarray, bands: list[Band], out: np.ndarray) -> None:
    """Resample the last axis but one of `array` (..., N, M) into `out`."""
    for rows, columns, weights in bands:
        source, target = array[..., columns, :], out[..., rows, :]
        step, whole = _steps(array.shape[-1], weights)
        if whole:
            many = _split_last(target[..., :whole], step)
            np.matmul(weights, _split_last(source[..., :whole], step), out=many)
        np.matmul(weights, source[..., whole:], out=target[..., whole:])


def _steps(length: int, weights: np.ndarray) -> tuple[int, int]:
    """Return how many lines make one product, and how many of `length` go into whole products."""
    step = max(16, SMALL_PRODUCT // weights.size // 16 * 16)
    return step, length // step * step


def _split_last(array: np.ndarray, step: int) -> np.ndarray:
    """View (..., N, k * step) as k matrices (..., k, N, step)."""
    return array.reshape(*array.shape[:-1], -1, step).swapaxes(-3, -2)


def _resample_across(planes: np.ndarray, target: np.ndarray, bands: list[Band]) -> None:
    """Resample the first axis of `planes` (N, Y, X) into `target`."""
    flat = np.ascontiguousarray(planes, dtype=np.float32).reshape(planes.shape[0], -1)
    if target.flags.c_contiguous:
        _along_middle(flat, bands, target.reshape(target.shape[0], -1))
        return
    for rows, columns, weights in bands:
        part = np.empty((weights.shape[0], flat.shape[1]), dtype=np.float32)
        _along_middle(flat[columns], [(slice(None), slice(None), weights)], part)
        target[rows] = part.reshape(-1, *planes.shape[1:])


def multiply(matrices: Sequence[np.ndarray | None], volume: np.ndarray) -> np.ndarray:
    """Return `volume` (Z, Y, X) float32 with each axis multiplied by its matrix, if it has one."""
    first, y, x = (None if matrix is None else _bands(matrix) for matrix in matrices)
    planes = _resample_planes(volume, None, y, x)
    if first is None:
        return planes
    out = np.empty((first[-1][0].stop, *planes.shape[1:]), dtype=np.float32)
    _resample_across(planes, out, first)
    return out
