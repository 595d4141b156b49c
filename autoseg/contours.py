"""Outlines of a mask in a slice, and the mask inside outlines: the two ways of an RTSTRUCT.

Coordinates are array indices (y, x): voxel (2, 3) has its centre at (2.0, 3.0). An outline passes
half-way between the centres of a voxel inside and its neighbour outside, so filling it again gives
exactly the same voxels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

# Along the four sides of a voxel, clockwise from the top: the step to the next corner, where the
# side starts, and the neighbour behind it; (y, x).
STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))
STARTS = ((0, 0), (0, 1), (1, 1), (1, 0))
NEIGHBOURS = ((-1, 0), (0, 1), (1, 0), (0, -1))
ON_EDGE = 1e-3  # of a voxel: how near to an edge a centre lies on it; files round to 1e-3 mm or so
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
    that an island again. Centres on an edge are inside: many programs draw outlines through the
    centres of the outermost voxels. The two ways of a keyhole's cut are no edge.
    """
    height, width = shape
    toggles = np.zeros((height, width + 1), dtype=bool)
    on_edge = np.zeros(shape, dtype=bool)
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
        once = _once(first, second)
        near = np.abs(crossing - crossing.round()) <= ON_EDGE
        _mark(on_edge, np.column_stack([rows, crossing])[near & once[edge]])
        _mark(on_edge, _level(first[once], second[once]))
        _mark(on_edge, points)
    return np.logical_xor.accumulate(toggles, axis=1)[:, :width] | on_edge


def _mark(mask: np.ndarray, points: np.ndarray) -> None:
    """Set the voxels of a mask (Y, X) at whose centres there are points (N, 2)."""
    centres = points.round()
    hit = (np.abs(points - centres) <= ON_EDGE).all(1)
    hit &= ((centres >= 0) & (centres < mask.shape)).all(1)
    mask[tuple(centres[hit].astype(int).T)] = True


def _level(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the voxel centres (N, 2) on edges that run along a row."""
    row = first[:, 0].round()
    along = (np.abs(first[:, 0] - row) <= ON_EDGE) & (np.abs(second[:, 0] - row) <= ON_EDGE)
    found = [np.empty((0, 2))]
    for y, ends in zip(
        row[along], np.sort([first[along, 1], second[along, 1]], axis=0).T, strict=True
    ):
        x = np.arange(math.ceil(ends[0] - ON_EDGE), math.floor(ends[1] + ON_EDGE) + 1)
        found.append(np.column_stack([np.full(len(x), y), x]))
    return np.concatenate(found)


def _once(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Tell which edges are gone along once (N,) bool: not there and back, as a cut is."""
    edges = _undirected(np.concatenate([first, second], axis=1))
    _, inverse, count = np.unique(edges, axis=0, return_inverse=True, return_counts=True)
    return count[inverse.ravel()] == 1


def _undirected(edges: np.ndarray) -> np.ndarray:
    """Return edges (N, 4) such that an edge and its way back are the same."""
    back = edges[:, [2, 3, 0, 1]]
    swap = (edges[:, 0] == edges[:, 2]) & (edges[:, 1] > edges[:, 3])
    return np.where(swap[:, None], back, edges)


def _loops(islands: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Return (island, midpoints (N, 2) of the voxel sides around it or around a hole in it)."""
    sides = _sides(islands)
    loops = []
    left = dict.fromkeys(sides)  # in order, so that outlines are the same each time
    while left:
        side = next(iter(left))
        island, points = sides[side], []
        while side in left:
            del left[side]
            y, x, direction = side
            down, right = STEPS[direction]
            points.append((y + down / 2 - 0.5, x + right / 2 - 0.5))
            y, x = y + down, x + right
            # A turn to the right keeps to the same voxel, so islands part where corners touch.
            turns = ((direction + turn) % 4 for turn in (1, 0, 3))
            side = next((y, x, turn) for turn in turns if (y, x, turn) in sides)
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
