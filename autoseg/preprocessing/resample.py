"""Resampling as three matrix products.

Interpolation along one axis is a matrix (`operators.py`), so a volume is resampled by one product
per axis. BLAS does that 20 times faster than interpolating voxel by voxel, to 1e-5.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from autoseg.preprocessing.crop import crop, nonzero_box
from autoseg.preprocessing.operators import operators, separate_axis

BLOCK = 32  # rows per product: enough for BLAS, and few zeros of the banded matrix among them
# Multiplications per product. OpenBLAS shares larger ones between threads, which then wait for each
# other for seconds when every core has a worker process; small ones give the same bytes anywhere.
SMALL_PRODUCT = 1 << 18
SLAB_BYTES = 4 << 20  # slices that go through both in-plane products while in cache
TIE = 1e-5  # linear weights of labels that differ by less are a tie

Triple = tuple[int, int, int]
Part = tuple[slice, slice, slice]
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
        used = np.flatnonzero(matrix[rows].any(0))
        columns = slice(int(used[0]), int(used[-1]) + 1)
        bands.append((rows, columns, np.ascontiguousarray(matrix[rows, columns], np.float32)))
    return bands


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


def resample_labels(
    indices: np.ndarray,
    shape_out: Sequence[int],
    spacing_in: Sequence[float],
    spacing_out: Sequence[float],
) -> np.ndarray:
    """Return label `indices` (Z, Y, X) on a grid of `shape_out`; no value is invented.

    Every value is interpolated linearly as a mask of its own, nearest along a separate axis; the
    largest weight wins. Exact ties, on half of all faces when sizes halve, go in turn to the larger
    and the smaller value, like the squares of a chess board: a rule by value or by side would make
    organs grow, shrink or move by up to half a voxel. Each value costs only its own box.
    """
    if tuple(indices.shape) == tuple(shape_out):
        return indices
    matrices = operators(indices.shape, shape_out, spacing_in, spacing_out, order=1)
    winner = np.zeros(tuple(shape_out), dtype=indices.dtype)
    if indices.any():
        box = nonzero_box(indices[None])  # around it there is background only
        rows = [_part(matrix, slice(*side)) for matrix, side in zip(matrices, box, strict=True)]
        where = (rows[0][1], rows[1][1], rows[2][1])
        numbers = [np.arange(side.start, side.stop, dtype=np.float32) for side in where]
        squares = [1 - 2 * (line % 2) for line in numbers]
        _elect(crop(indices, box), [matrix for matrix, _ in rows], squares, winner[where])
    return winner


def _elect(
    indices: np.ndarray,
    matrices: Sequence[np.ndarray | None],
    squares: list[np.ndarray],
    winner: np.ndarray,
) -> None:
    """Write the value with the largest weight, of those in `indices` and 0, into `winner`."""
    best = np.zeros(winner.shape, dtype=np.float32)
    rest = np.ones(winner.shape, dtype=np.float32)  # what no value claims is background
    for value, box in value_boxes(indices).items():
        parts = [_part(matrix, side) for matrix, side in zip(matrices, box, strict=True)]
        where = (parts[0][1], parts[1][1], parts[2][1])
        if any(side.stop == side.start for side in where):
            continue  # lies between the voxels of the coarser grid
        weight = _apply([part[0] for part in parts], (indices[box] == value).astype(np.float32))
        rest[where] -= weight
        bonus = _chess_board(squares, where)
        np.copyto(winner[where], value, where=weight + bonus > best[where])
        np.maximum(best[where], weight, out=best[where])
    whole = (slice(None), slice(None), slice(None))
    best += _chess_board(squares, whole)
    winner[best <= rest] = 0


def _chess_board(squares: list[np.ndarray], where: Part) -> np.ndarray:
    """Return +TIE and -TIE in turn: what the larger value gets ahead in a tie."""
    z, y, x = (line[part] for line, part in zip(squares, where, strict=True))
    return np.float32(TIE) * z[:, None, None] * (y[:, None] * x)


def value_boxes(indices: np.ndarray) -> dict[int, Part]:
    """Return the bounding box of every value but 0 in `indices` (Z, Y, X), ascending."""
    whole = nonzero_box(indices[None])
    boxes = enumerate(ndimage.find_objects(crop(indices, whole)), start=1)
    first = [start for start, _ in whole]
    return {value: _shifted(box, first) for value, box in boxes if box is not None}


def _shifted(box: Sequence[slice], by: Sequence[int]) -> Part:
    z, y, x = (
        slice(side.start + step, side.stop + step) for side, step in zip(box, by, strict=True)
    )
    return z, y, x


def _part(matrix: np.ndarray | None, part: slice) -> tuple[np.ndarray | None, slice]:
    """Return the rows and columns of `matrix` that matter for an input restricted to `part`."""
    if matrix is None:
        return None, part
    rows = np.flatnonzero(matrix[:, part].any(1))
    if rows.size == 0:
        return matrix[:0, part], slice(0, 0)
    where = slice(int(rows[0]), int(rows[-1]) + 1)
    return matrix[where, part], where


def _apply(matrices: Sequence[np.ndarray | None], volume: np.ndarray) -> np.ndarray:
    first, y, x = (None if matrix is None else _bands(matrix) for matrix in matrices)
    planes = _resample_planes(volume, None, y, x)
    if first is None:
        return planes
    out = np.empty((first[-1][0].stop, *planes.shape[1:]), dtype=np.float32)
    _resample_across(planes, out, first)
    return out
