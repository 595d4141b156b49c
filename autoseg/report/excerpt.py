"""The part of a scan around its labels, coarse enough that several fit into one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np

from autoseg.image import Geometry

MARGIN_MM = 25.0  # around everything labelled
VOXELS = 1_500_000  # at most: about 1 MB in the page


def excerpt(
    image: np.ndarray, maps: Mapping[str, np.ndarray], grid: Geometry, voxels: int = VOXELS
) -> tuple[np.ndarray, dict[str, np.ndarray], Geometry]:
    """Return image and label maps (Z, Y, X) around the labels, and the grid of what is left.

    Where that is more than `voxels`, every second one of the finest axis is left out, again and
    again: what remains are voxels of the scan, at their own places.
    """
    box = _around(maps, grid)
    steps = [1, 1, 1]
    while _count(box, steps) > voxels:
        finest = int(np.argmin([mm * step for mm, step in zip(grid.spacing, steps, strict=True)]))
        steps[finest] *= 2
    part = tuple(slice(b.start, b.stop, step) for b, step in zip(box, steps, strict=True))
    cut = image[part]
    origin = grid.position(np.array([b.start for b in box]))
    z, y, x = (mm * step for mm, step in zip(grid.spacing, steps, strict=True))
    left = Geometry(
        (cut.shape[0], cut.shape[1], cut.shape[2]),
        (z, y, x),
        (float(origin[0]), float(origin[1]), float(origin[2])),
        grid.direction,
    )
    return cut, {name: label_map[part] for name, label_map in maps.items()}, left


def _count(box: Sequence[slice], steps: Sequence[int]) -> int:
    return prod(-(-(side.stop - side.start) // step) for side, step in zip(box, steps, strict=True))


def _around(maps: Mapping[str, np.ndarray], grid: Geometry) -> list[slice]:
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
    return box
