"""Parts of a scan: around its labels, or coarse enough that a page can hold them."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np

from autoseg.image import Geometry

MARGIN_MM = 25.0  # around everything labelled

Box = tuple[slice, slice, slice]


def excerpt(
    image: np.ndarray, maps: Mapping[str, np.ndarray], grid: Geometry
) -> tuple[np.ndarray, dict[str, np.ndarray], Geometry]:
    """Return image and label maps (Z, Y, X) around the labels, and the grid of what is left."""
    box = _around(maps, grid)
    cut = {name: label_map[box] for name, label_map in maps.items()}
    return image[box], cut, grid_of(box, grid)


def thin(grid: Geometry, voxels: int) -> tuple[Box, Geometry]:
    """Return which part of an array on `grid` has `voxels` at most, and the grid of that part.

    Every second slice along the finest axis is left out, again and again: what remains are voxels
    of the scan, at their own places.
    """
    left, spacing = np.array(grid.shape), np.array(grid.spacing)
    steps = np.ones(3, dtype=int)
    while prod(left.tolist()) > voxels:
        finest = int(np.where(left > 1, spacing * steps, np.inf).argmin())
        steps[finest] *= 2
        left = -(-np.array(grid.shape) // steps)
    z, y, x = (slice(0, n, step) for n, step in zip(grid.shape, steps.tolist(), strict=True))
    return (z, y, x), grid_of((z, y, x), grid)


def grid_of(part: Box, grid: Geometry) -> Geometry:
    """Return the grid of the voxels in `part`, of an array on `grid`."""
    origin = grid.position(np.array([side.start for side in part]))
    depth, height, width = (len(range(side.start, side.stop, side.step or 1)) for side in part)
    z, y, x = (mm * (side.step or 1) for mm, side in zip(grid.spacing, part, strict=True))
    return Geometry(
        (depth, height, width),
        (z, y, x),
        (float(origin[0]), float(origin[1]), float(origin[2])),
        grid.direction,
    )


def _around(maps: Mapping[str, np.ndarray], grid: Geometry) -> Box:
    """Return the box of everything labelled with its margin; all where nothing is."""
    box = []
    for axis, (size, mm) in enumerate(zip(grid.shape, grid.spacing, strict=True)):
        others = tuple(other for other in range(3) if other != axis)
        there = np.zeros(size, dtype=bool)
        for label_map in maps.values():
            there |= (label_map > 0).any(axis=others)
        places = np.flatnonzero(there) if there.any() else np.array([0, size - 1])
        margin = int(np.ceil(MARGIN_MM / mm))
        box.append(slice(max(int(places[0]) - margin, 0), min(int(places[-1]) + 1 + margin, size)))
    return box[0], box[1], box[2]
