"""Each rule does to a mask what its name says, in millimetres, and no more."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from autoseg.masks import (
    closing,
    fill_holes,
    gaussian,
    largest_component,
    min_component,
    min_voxels,
    opening,
)

ONE_MM = (1.0, 1.0, 1.0)


def boxes(shape, *corners):
    """A mask with a box for each ((z, y, x), (z, y, x)), half-open."""
    mask = np.zeros(shape, dtype=bool)
    for start, stop in corners:
        mask[tuple(map(slice, start, stop))] = True
    return mask


def test_the_largest_component_stays_and_corners_connect():
    mask = boxes((5, 5, 9), ((0, 0, 0), (1, 1, 3)), ((1, 1, 3), (2, 2, 4)), ((4, 4, 6), (5, 5, 9)))
    # Four voxels that meet at a corner, and three others.
    assert largest_component(mask).sum() == 4
    assert largest_component(mask)[1, 1, 3]


def test_of_equal_components_the_first_stays():
    mask = boxes((1, 1, 5), ((0, 0, 0), (1, 1, 2)), ((0, 0, 3), (1, 1, 5)))
    assert largest_component(mask).nonzero()[2].tolist() == [0, 1]


def test_small_components_are_measured_in_mm3():
    mask = boxes((3, 3, 6), ((0, 0, 0), (1, 1, 1)), ((2, 2, 3), (3, 3, 6)))
    spacing = (2.0, 0.5, 0.5)  # 0.5 mm3 a voxel: components of 0.5 and of 1.5 mm3
    assert min_component(mask, spacing, 0.5).sum() == 4
    assert min_component(mask, spacing, 0.51).sum() == 3
    assert min_component(mask, spacing, 1.5).sum() == 3
    assert min_component(mask, spacing, 1.6).sum() == 0


def test_holes_are_filled_in_space_but_in_a_plane_when_the_image_is_flat():
    shell = boxes((5, 5, 5), ((0, 0, 0), (5, 5, 5)))
    shell[1:4, 1:4, 1:4] = False
    assert fill_holes(shell).sum() == 125
    shell[2, 2, 4] = False  # a way out
    assert fill_holes(shell).sum() == 125 - 27 - 1
    ring = boxes((1, 5, 5), ((0, 1, 1), (1, 4, 4)))
    ring[0, 2, 2] = False
    assert fill_holes(ring).sum() == 9


def test_closing_fills_a_gap_of_twice_its_radius_and_nothing_at_the_border():
    bar = boxes((1, 1, 9), ((0, 0, 1), (1, 1, 3)), ((0, 0, 5), (1, 1, 7)))
    # The gap is voxels 3 and 4; background at 0 and 7, 8 stays background.
    assert closing(bar, ONE_MM, 1.0).nonzero()[2].tolist() == [1, 2, 3, 4, 5, 6]
    assert closing(bar, (1.0, 1.0, 2.0), 1.0).sum() == bar.sum()  # voxels of 2 mm: out of reach


def test_closing_and_opening_know_that_the_border_of_the_image_is_no_surface():
    solid = np.ones((4, 6, 6), dtype=bool)
    assert closing(solid, ONE_MM, 2.0).all()
    assert opening(solid, ONE_MM, 2.0).all()
    half = boxes((9, 9, 9), ((0, 0, 0), (5, 9, 9)))
    assert np.array_equal(opening(half, ONE_MM, 1.0), half)
    assert np.array_equal(closing(half, ONE_MM, 1.0), half)


def test_opening_removes_a_spur_and_never_everything():
    mask = boxes((9, 9, 12), ((2, 2, 1), (7, 7, 6)), ((4, 4, 6), (5, 5, 10)))
    opened = opening(mask, ONE_MM, 1.0)
    assert not opened[4, 4, 7:].any()
    assert opened[3:6, 3:6, 2:5].all()
    assert not (opened & ~mask).any()
    spur = boxes((9, 9, 12), ((4, 4, 2), (5, 5, 10)))
    assert np.array_equal(opening(spur, ONE_MM, 1.0), spur)


@pytest.mark.parametrize("radius", [1.0, 1.5, 2.0])
def test_opening_shrinks_closing_grows_and_both_are_idempotent(radius):
    rng = np.random.default_rng(3)
    mask = rng.random((9, 11, 10)) < 0.6
    opened, closed = (f(mask, (1.5, 1.0, 0.8), radius) for f in (opening, closing))
    assert not (opened & ~mask).any()
    assert not (mask & ~closed).any()
    assert np.array_equal(closing(closed, (1.5, 1.0, 0.8), radius), closed)
    assert np.array_equal(opening(opened, (1.5, 1.0, 0.8), radius), opened)


def test_small_components_may_be_counted_in_voxels():
    mask = boxes((1, 3, 9), ((0, 0, 0), (1, 1, 3)), ((0, 0, 5), (1, 2, 7)))  # 3 and 4 voxels
    assert np.array_equal(min_voxels(mask, 4), boxes((1, 3, 9), ((0, 0, 5), (1, 2, 7))))
    assert np.array_equal(min_voxels(mask, 3), mask)


def test_blurring_is_scipy_s_in_millimetres_and_never_removes_everything():
    mask = boxes((6, 12, 12), ((1, 2, 2), (5, 10, 10)), ((0, 0, 11), (1, 1, 12)))
    expected = ndimage.gaussian_filter(mask.astype(float), (0.5, 1.0, 2.0), mode="nearest") > 0.5
    assert np.array_equal(gaussian(mask, (4.0, 2.0, 1.0), 2.0), expected)
    speck = boxes((5, 5, 5), ((2, 2, 2), (3, 3, 3)))
    assert gaussian(speck, ONE_MM, 1.0) is speck
    flat = boxes((1, 9, 9), ((0, 2, 2), (1, 7, 7)))
    assert gaussian(flat, (5.0, 1.0, 1.0), 1.0).sum() == flat.sum() - 4  # its corners go
