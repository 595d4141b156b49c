"""One binary file per structure becomes one label map, with one mask in memory at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.errors import DataError
from autoseg.image import Geometry
from autoseg.importing.grids import check_grid
from autoseg.io import read_image


@dataclass(frozen=True)
class Masks:
    """The mask files of one case by the name of their structure."""

    files: Mapping[str, Path]


@dataclass(frozen=True)
class Combined:
    """A label map (Z, Y, X) and what was seen on the way to it."""

    label_map: np.ndarray
    empty: tuple[str, ...]  # structures whose mask has no voxel
    overlaps: Mapping[tuple[str, str], int]  # pair of structures -> voxels in both
    gap_mm: float  # the largest distance of a mask's corner from the image's


def combine_masks(
    masks: Masks, values: Mapping[str, int], grid: Geometry, image: str, trusted: bool = False
) -> Combined:
    """Return the label map in which structure `name` has `values[name]`; above 0.5 is inside.

    Where structures overlap the smaller one wins, of equal ones the one with the larger value: that
    of a part, where it is all there is of a whole.
    Raises DataError for a mask with channels, or off the `grid` of its `image` (see `check_grid`).
    """
    flat = np.zeros(np.prod(grid.shape), np.min_scalar_type(max(values.values())))
    names = {value: name for name, value in values.items() if name in masks.files}
    sizes: dict[int, int] = {}
    hidden: dict[int, list[np.ndarray]] = {}  # value -> voxels of it that show another value
    overlaps: dict[tuple[str, str], int] = {}
    gap_mm = 0.0
    for value, name in sorted(names.items()):
        inside, gap = _read_mask(masks.files[name], grid, image, trusted)
        gap_mm = max(gap_mm, gap)
        voxels = np.flatnonzero(inside)
        sizes[value] = len(voxels)
        shown = flat[voxels]
        # Hidden ones are counted before this structure hides more.
        shared = {other: int(inside[np.hstack(lost)].sum()) for other, lost in hidden.items()}
        for other in (int(other) for other in np.unique(shown) if other):
            both = voxels[shown == other]
            shared[other] = shared.get(other, 0) + len(both)
            loser = other if sizes[value] <= sizes[other] else value
            hidden.setdefault(loser, []).append(both)
        overlaps |= {(names[other], name): count for other, count in shared.items() if count}
        wins = [other == 0 or sizes[value] <= sizes.get(other, 0) for other in range(value)]
        flat[voxels[np.array(wins)[shown]]] = value
    empty = tuple(names[value] for value, size in sizes.items() if not size)
    return Combined(flat.reshape(grid.shape), empty, overlaps, gap_mm)


def _read_mask(path: Path, grid: Geometry, image: str, trusted: bool) -> tuple[np.ndarray, float]:
    """Return which voxels are inside (flat), and how far the mask is off the grid in mm."""
    mask = read_image(path, tell=False)
    if len(mask.array) != 1:
        fact = f"a mask with {len(mask.array)} channels"
        raise DataError(fact, place=str(path), expected="one channel")
    gap = check_grid(mask.geometry, grid, str(path), image, trusted)
    return (mask.array > 0.5).reshape(-1), gap
