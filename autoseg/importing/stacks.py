"""Volumes that are kept slice by slice: flat files in the order of their numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.errors import DataError
from autoseg.image import Geometry, Image
from autoseg.io import read_image


@dataclass(frozen=True)
class Stack:
    """The slices of one volume, first to last."""

    slices: tuple[Path, ...]
    first: int = 0  # the number of the first one


@dataclass(frozen=True)
class SlicedGrid:
    """The grid that slices were cut from, and its axis that runs down a picture."""

    grid: Geometry
    rows: str = "y"  # or "x", of slices cut out of an array as nibabel gives it


def read_stack(
    stack: Stack, sliced: SlicedGrid | None = None, read: Callable[[Path], Image] = read_image
) -> Image:
    """Return the slices as one volume (1, Z, Y, X); `read` reads one of them.

    `sliced` has the grid that they were cut from. If they were enlarged or shrunk since, their
    voxel size follows; a size of 0 in its shape fits every number. Without it rows are those of
    the volume, and the voxel size is the one beside the first slice, else (1, 1, 1) mm.
    Raises DataError when a slice has depth, channels, or another size or type than the first.
    """
    first = read(stack.slices[0])
    volume = np.empty((len(stack.slices), *first.array.shape[2:]), first.array.dtype)
    for index, path in enumerate(stack.slices):
        array = first.array if index == 0 else read(path).array
        if array.shape[:2] != (1, 1):
            fact = f"{array.shape[0]} channels and {array.shape[1]} slices"
            raise DataError(fact, place=str(path), expected="one slice with one channel")
        if array.shape != first.array.shape or array.dtype != volume.dtype:
            found = f"{array.shape[2]}x{array.shape[3]} {array.dtype}"
            expected = f"{volume.shape[1]}x{volume.shape[2]} {volume.dtype} as the first slice"
            raise DataError(found, place=str(path), expected=expected)
        volume[index] = array[0, 0]
    if sliced is None:
        return Image(volume[None], Geometry(volume.shape, first.geometry.spacing))
    if sliced.rows == "x":
        volume = np.ascontiguousarray(volume.transpose(0, 2, 1))
    return Image(volume[None], _resized(sliced.grid, volume.shape, stack.slices[0]))


def _resized(grid: Geometry, shape: Sequence[int], place: Path) -> Geometry:
    """Return `grid` with another number of voxels in the same room."""
    depth, height, width = shape
    if grid.shape[0] not in (0, depth):
        fact = f"{depth} slices"
        raise DataError(
            fact, place=str(place), expected=f"{grid.shape[0]} as in the table of grids"
        )
    scale = np.array([1.0, (grid.shape[1] or height) / height, (grid.shape[2] or width) / width])
    spacing = np.multiply(grid.spacing, scale)
    # The corner of the first voxel stays, so its centre moves.
    shift = grid.direction_matrix @ ((scale - 1) / 2 * grid.spacing)
    z, y, x = (float(value) for value in np.add(grid.origin, shift))
    return Geometry(
        (depth, height, width),
        (float(spacing[0]), float(spacing[1]), float(spacing[2])),
        (z, y, x),
        grid.direction,
    )
