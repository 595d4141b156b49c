"""Resampling label maps: every value votes with its linear weight, and the largest wins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from autoseg.preprocessing.crop import crop, nonzero_box
from autoseg.preprocessing.operators import operators
from autoseg.preprocessing.resample import BLOCK, multiply, needed_rows

TIE = 1e-5  # linear weights that differ by less are a tie

Part = tuple[slice, slice, slice]


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
        across, *in_plane = (matrix for matrix, _ in rows)
        where = (rows[0][1], rows[1][1], rows[2][1])
        numbers = [np.arange(side.start, side.stop, dtype=np.float32) for side in where]
        squares = [1 - 2 * (line % 2) for line in numbers]
        source, target = crop(indices, box), winner[where]
        for start in range(0, len(target), BLOCK):  # the votes take sixteen bytes a voxel
            part = slice(start, min(start + BLOCK, len(target)))
            weights, used = (None, part) if across is None else needed_rows(across, part)
            slab = [squares[0][part], *squares[1:]]
            _elect(source[used], [weights, *in_plane], slab, target[part])
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
        weight = multiply([part[0] for part in parts], (indices[box] == value).astype(np.float32))
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


def _part(matrix: np.ndarray | None, part: slice) -> tuple[np.ndarray | None, slice]:
    """Return the rows and columns of `matrix` that matter for an input restricted to `part`."""
    if matrix is None:
        return None, part
    rows = np.flatnonzero(matrix[:, part].any(1))
    if rows.size == 0:
        return matrix[:0, part], slice(0, 0)
    where = slice(int(rows[0]), int(rows[-1]) + 1)
    return matrix[where, part], where


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
