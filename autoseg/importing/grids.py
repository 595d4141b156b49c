"""Do labels lie on the grid of their image? Rounding is mended, more is not."""

from __future__ import annotations

import itertools

import numpy as np

from autoseg.errors import DataError
from autoseg.image import Geometry, grid_differences

ROUNDING_MM = 1e-5  # what headers of single precision say differently about the same grid
SNAPPED_MM = 1e-3


def corner_gap_mm(found: Geometry, expected: Geometry) -> float:
    """Return the largest distance in mm between the same corners of two grids of one shape."""
    corners = np.array(list(itertools.product(*((0, size - 1) for size in expected.shape))))
    gaps = found.position(corners) - expected.position(corners)
    return float(np.linalg.norm(gaps, axis=1).max())


def check_grid(
    found: Geometry, expected: Geometry, place: str, image_place: str, trusted: bool = False
) -> float:
    """Return by how many mm labels are off the grid of their image, 0 where that is rounding.

    Raises DataError beyond 1e-3 mm, unless the voxels are `trusted` to match, and for another
    shape.
    """
    if found.shape != expected.shape:
        _, here, there = grid_differences(found, expected)[0]
        remedy = "resample the labels to the image (nearest neighbour), or leave the case out"
        expected_shape = f"shape {there} as in {image_place}"
        raise DataError(f"shape {here}", place=place, expected=expected_shape, remedy=remedy)
    gap = corner_gap_mm(found, expected)
    if gap <= ROUNDING_MM:
        return 0.0
    if gap > SNAPPED_MM and not trusted:
        named = grid_differences(found, expected)
        what = f" ({', '.join(f'{name} {here}, not {there}' for name, here, there in named)})"
        raise DataError(
            f"its corners lie up to {gap:.3g} mm off those of the image{what * bool(named)}",
            place=place,
            expected=f"{SNAPPED_MM:g} mm at most from {image_place}",
            remedy="if the voxels do match, --fix-geometry image gives it the image's header",
        )
    return gap
