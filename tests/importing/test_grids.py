"""Labels on the grid of their image, off it by rounding, and off it by more."""

import pytest

from autoseg.errors import DataError
from autoseg.image import Geometry
from autoseg.importing.grids import check_grid, corner_gap_mm

GRID = Geometry((3, 4, 5), (2.0, 1.0, 1.0))


def moved(mm):
    return Geometry(GRID.shape, GRID.spacing, (0.0, mm, 0.0))


def test_the_gap_is_that_of_the_farthest_corner():
    wider = Geometry((3, 4, 5), (2.0, 1.0, 1.5))
    assert corner_gap_mm(wider, GRID) == pytest.approx(4 * 0.5)
    assert corner_gap_mm(GRID, GRID) == 0


@pytest.mark.parametrize(("mm", "gap"), [(0.0, 0.0), (5e-6, 0.0), (5e-4, 5e-4), (9.9e-4, 9.9e-4)])
def test_rounding_is_returned_and_noise_is_none(mm, gap):
    assert check_grid(moved(mm), GRID, "labels", "image") == pytest.approx(gap)


def test_more_stops_unless_the_voxels_are_trusted():
    with pytest.raises(DataError, match=r"up to 0\.02 mm off .*--fix-geometry image") as caught:
        check_grid(moved(0.02), GRID, "labels", "image.nii.gz")
    assert "(origin (0, 0.02, 0), not (0, 0, 0)), expected 0.001 mm at most" in str(caught.value)
    assert check_grid(moved(0.02), GRID, "labels", "image", trusted=True) == pytest.approx(0.02)


def test_another_shape_is_never_trusted():
    with pytest.raises(DataError, match="shape 3x4x6, expected shape 3x4x5 as in image"):
        check_grid(Geometry((3, 4, 6)), GRID, "labels", "image", trusted=True)
