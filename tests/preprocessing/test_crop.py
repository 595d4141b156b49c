"""The non-zero box and the body inside it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from autoseg.preprocessing.crop import crop, inside_mask, nonzero_box


def test_box_holds_what_is_nonzero_in_any_channel():
    image = np.zeros((2, 6, 7, 8), np.float32)
    image[0, 2, 3, 1] = 5
    image[1, 4, 1, 6] = -1
    box = nonzero_box(image)
    assert box == ((2, 5), (1, 4), (1, 7))
    assert crop(image, box).shape == (2, 3, 3, 6)


def test_a_scan_without_zeros_keeps_its_size():
    assert nonzero_box(np.full((1, 4, 5, 6), -1000)) == ((0, 4), (0, 5), (0, 6))


def test_an_image_of_zeros_keeps_its_size():
    assert nonzero_box(np.zeros((3, 4, 5, 6))) == ((0, 4), (0, 5), (0, 6))


def test_box_numbers_are_plain_integers():
    box = nonzero_box(np.ones((1, 2, 2, 2)))
    assert all(type(bound) is int for pair in box for bound in pair)


def test_inside_is_the_nonzero_region_with_its_holes_filled(rng):
    smooth = ndimage.gaussian_filter(rng.normal(size=(20, 22, 24)), 1)
    image = np.where(smooth > -0.12, smooth, 0)[None]
    expected = ndimage.binary_fill_holes(image[0] != 0)
    assert (expected != (image[0] != 0)).any()
    np.testing.assert_array_equal(inside_mask(image), expected)


def test_inside_fills_the_holes_of_a_single_slice():
    image = np.zeros((1, 1, 7, 7))
    image[0, 0, 1:6, 1:6] = 1
    image[0, 0, 3, 3] = 0
    inside = inside_mask(image)
    assert inside[0, 3, 3]
    assert inside.sum() == 25


def test_inside_of_a_scan_without_zeros_is_everything():
    assert inside_mask(np.ones((2, 3, 4, 5))).all()
