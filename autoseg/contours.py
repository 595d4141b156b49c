"""Outlines of a mask in a slice, and the mask inside outlines: the two ways of an RTSTRUCT.

Coordinates are array indices (y, x): voxel (2, 3) has its centre at (2.0, 3.0). An outline passes
half-way between the centres of a voxel inside and its neighbour outside, so filling it again gives
exactly the same voxels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

# Along the four sides of a voxel, clockwise from the top: the step to the next corner, where the
# side starts, and the neighbour behind it; (y, x).
STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))
STARTS = ((0, 0), (0, 1), (1, 1), (1, 0))
NEIGHBOURS = ((-1, 0), (0, 1), (1, 0), (0, -1))
ROUNDED = 6  # decimals of a voxel: noise of mm to indices must not decide what lies on an edge

Side = tuple[int, int, int]  # corner y, corner x, direction


def trace(mask: np.ndarray) -> list[np.ndarray]:
    """Return one closed outline (N, 2) of (y, x) for each island of a mask (Y, X).

    Islands touch along sides, not corners. A hole is joined to its island's outline by a cut of no
    width ("keyhole", DICOM PS3.3, C.8.8.6.3), there and back, so it is right for readers that fill
    by parity and for those that fill by winding number.
    """
    islands, count = ndimage.label(mask)
    outer: dict[int, np.ndarray] = {}
    holes: dict[int, list[np.ndarray]] = {}
    for island, points in _loops(islands):
        y, x = points.T
        if (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() > 0:  # clockwise: around the island
            outer[island] = points
        else:
            holes.setdefault(island, []).append(points)
    outlines = []
    for island in range(1, count + 1):
        outline = _corners(outer[island])
        for hole in holes.get(island, ()):
            outline = _join(outline, _corners(hole))
        outlines.append(outline)
    return outlines


def fill(outlines: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Return the mask (Y, X) of voxel centres inside closed outlines (N, 2) of (y, x), by parity.

    What two outlines both enclose is outside: an outline within another is a hole, and one within
    that an island again. Centres exactly on an edge belong to the lower and left side of it.
    """
    height, width = shape
    toggles = np.zeros((height, width + 1), dtype=bool)
    for points in outlines:
        ends = np.stack([points, np.roll(points, -1, axis=0)]).round(ROUNDED)
        # From low to high y, so that a cut's two ways cross a row at the very same place.
        first, second = np.where(ends[:1, :, :1] <= ends[1:, :, :1], ends, ends[::-1])
        low = np.maximum(np.ceil(first[:, 0]), 0).astype(int)
        high = np.minimum(np.ceil(second[:, 0]), height).astype(int)
        rows_of = np.maximum(high - low, 0)
        edge = np.repeat(np.arange(len(rows_of)), rows_of)
        rows = np.arange(len(edge)) - np.repeat(rows_of.cumsum() - rows_of, rows_of) + low[edge]
        (y0, x0), (y1, x1) = first[edge].T, second[edge].T
        crossing = x0 + (rows - y0) * (x1 - x0) / (y1 - y0)
        columns = np.clip(np.ceil(crossing.round(ROUNDED)), 0, width).astype(int)
        np.logical_xor.at(toggles, (rows, columns), True)
    return np.logical_xor.accumulate(toggles, axis=1)[:, :width]


def _loops(islands: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Return (island, midpoints (N, 2) of the voxel sides around it or around a hole in it)."""
    sides = _sides(islands)
    loops = []
    while sides:
        side = next(iter(sides))
        island, points = sides[side], []
        while side in sides:
            del sides[side]
            y, x, direction = side
            down, right = STEPS[direction]
            points.append((y + down / 2 - 0.5, x + right / 2 - 0.5))
            y, x = y + down, x + right
            # A turn to the right keeps to the same voxel, so islands part where corners touch.
            turns = ((direction + turn) % 4 for turn in (1, 0, 3))
            side = next(((y, x, turn) for turn in turns if (y, x, turn) in sides), side)
        loops.append((island, np.asarray(points)))
    return loops


def _sides(islands: np.ndarray) -> dict[Side, int]:
    """Return the sides of voxels that have no neighbour behind them, and whose they are."""
    padded = np.pad(islands, 1)
    height, width = islands.shape
    sides = {}
    for direction, ((down, right), (dy, dx)) in enumerate(zip(STARTS, NEIGHBOURS, strict=True)):
        behind = padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
        for y, x in np.argwhere((islands > 0) & (behind == 0)).tolist():
            sides[y + down, x + right, direction] = int(islands[y, x])
    return sides


def _corners(points: np.ndarray) -> np.ndarray:
    """Return the outline without points in the middle of a straight line."""
    before = points - np.roll(points, 1, axis=0)
    after = np.roll(points, -1, axis=0) - points
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    return points[turns]


def _join(outline: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Return both as one outline: along it to a cut, around the hole, back through the cut."""
    there = int(hole[:, 1].argmin())
    here = int(((outline - hole[there]) ** 2).sum(1).argmin())
    around = (outline[: here + 1], hole[there:], hole[: there + 1], outline[here:])
    return np.concatenate(around)
