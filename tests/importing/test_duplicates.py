"""The same scan twice: its voxels are the same ones in any order, and different scans are not."""

import itertools

import numpy as np
import pytest

from autoseg.image import Geometry, Image
from autoseg.importing.duplicates import content_of, find_same

RNG = np.random.default_rng(0)
SCAN = RNG.integers(-1000, 1000, (1, 5, 6, 7)).astype(np.int16)


def content(*arrays):
    return content_of([Image(array, Geometry(array.shape[1:])) for array in arrays])


@pytest.mark.parametrize("axes", list(itertools.permutations((1, 2, 3))))
@pytest.mark.parametrize("flips", [(), (1,), (2, 3), (1, 2, 3)])
def test_every_turn_and_mirror_image_is_the_same_scan(axes, flips):
    turned = np.flip(SCAN.transpose(0, *axes), flips)
    assert content(turned).voxels == content(SCAN).voxels
    assert (content(turned).order == content(SCAN).order) == np.array_equal(turned, SCAN)


@pytest.mark.parametrize("kind", [np.int32, np.float32, np.float64])
def test_the_type_of_number_does_not_matter(kind):
    assert content(SCAN.astype(kind)) == content(SCAN)


def test_minus_zero_is_zero():
    zeros = SCAN.astype(np.float32) * (np.abs(SCAN) > 500)
    assert np.signbit(zeros[zeros == 0]).any()
    assert content(zeros) == content(zeros + np.float32(0))


def test_one_voxel_another_shape_or_another_order_of_channels_is_another_scan():
    other = SCAN.copy()
    other[0, 2, 3, 4] += 1
    assert content(other).voxels != content(SCAN).voxels
    assert content(SCAN.reshape(1, 3, 10, 7)).voxels != content(SCAN).voxels
    assert content(SCAN, other).voxels != content(other, SCAN).voxels
    assert content(SCAN, other) == content(np.concatenate([SCAN, other]))  # one file or two


def test_values_that_balance_each_other_are_not_the_same():
    """A sum of the voxels themselves would not tell these apart."""
    other = SCAN.copy()
    other[0, 0, 0, :2] += np.array([1, -1], np.int16)
    assert content(other).voxels != content(SCAN).voxels


def test_masks_are_the_same_in_the_same_order_only():
    mask = np.zeros((1, 4, 4, 4), np.uint8)
    mask[0, 0, 0] = 1
    elsewhere = np.roll(mask, 2, axis=1)
    assert content(mask).voxels != content(elsewhere).voxels
    assert content(mask) == content(mask.copy())


def test_a_margin_of_one_value_hides_no_values():
    """The first voxels of a scan are often all air."""
    padded = np.zeros((1, 300, 300, 7), np.int16)
    padded[:, 290:295, 290:296] = SCAN
    assert content(padded).voxels == content(np.flip(padded, 1)).voxels


def test_a_constant_image_is_like_no_other():
    assert content(np.zeros((1, 2, 2, 2))) is None
    assert find_same([None, content(SCAN), None]) == []


def test_same_scans_are_told_with_the_first_of_them():
    turned = SCAN[:, ::-1]
    assert find_same([content(SCAN), None, content(SCAN + 1), content(SCAN), content(turned)]) == [
        (0, 3, "the same voxels as"),
        (0, 4, "the same voxels, turned or mirrored, as"),
    ]
