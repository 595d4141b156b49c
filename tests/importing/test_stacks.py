"""Slices become a volume on the grid that they were cut from."""

import numpy as np
import pytest

from autoseg.errors import DataError
from autoseg.image import Geometry, Image
from autoseg.importing.stacks import SlicedGrid, Stack, read_stack
from autoseg.io import write_image, write_labels

RNG = np.random.default_rng(0)


def stack_of(folder, arrays, ending=".png"):
    paths = []
    for index, array in enumerate(arrays):
        paths.append(folder / f"a_{index}{ending}")
        write_image(paths[-1], Image(array[None, None], Geometry((1, *array.shape))))
    return Stack(tuple(paths))


def slices(count=3, shape=(4, 6)):
    return RNG.integers(0, 255, (count, *shape)).astype(np.uint8)


def test_slices_are_stacked_in_their_order(tmp_path):
    volume = slices()
    image = read_stack(stack_of(tmp_path, volume))
    assert np.array_equal(image.array, volume[None])
    assert image.geometry == Geometry((3, 4, 6))


def test_fewer_pixels_are_larger_and_the_room_stays_the_same(tmp_path):
    # 8 x 6 voxels of 1 x 2 mm, shrunk to 4 x 6: 2 x 2 mm, the first centre half a voxel inwards.
    turned = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)
    cut = Geometry((3, 8, 6), (5.0, 1.0, 2.0), (10.0, 20.0, 30.0), turned)
    image = read_stack(stack_of(tmp_path, slices()), SlicedGrid(cut))
    assert image.geometry == Geometry((3, 4, 6), (5.0, 2.0, 2.0), (10.0, 19.5, 30.0), turned)
    corner = [-0.5, -0.5, -0.5]
    assert image.geometry.position(corner) == pytest.approx(cut.position(corner))


def test_as_many_pixels_give_the_same_grid_and_rows_may_be_x(tmp_path):
    volume = slices()
    cut = Geometry((3, 6, 4), (5.0, 1.0, 2.0), (1.0, 2.0, 3.0))
    image = read_stack(stack_of(tmp_path, volume), SlicedGrid(cut, "x"))
    assert image.geometry == cut
    assert np.array_equal(image.array[0], volume.transpose(0, 2, 1))


def test_slices_of_other_sizes_and_types_are_named(tmp_path):
    odd = [*slices(1), *slices(1, (5, 6))]
    with pytest.raises(DataError, match=r"a_1\.png: 5x6 uint8, expected 4x6 uint8 as the first"):
        read_stack(stack_of(tmp_path, odd))
    odd = [slices(1)[0], slices(1)[0].astype(np.uint16)]
    with pytest.raises(DataError, match="4x6 uint16, expected 4x6 uint8"):
        read_stack(stack_of(tmp_path, odd))


def test_volumes_are_no_slices_and_numbers_of_slices_count(tmp_path):
    write_labels(tmp_path / "v.nii.gz", np.zeros((2, 4, 6), np.uint8), Geometry((2, 4, 6)))
    with pytest.raises(DataError, match="1 channels and 2 slices, expected one slice"):
        read_stack(Stack((tmp_path / "v.nii.gz",)))
    with pytest.raises(DataError, match="3 slices, expected 5 as in the table of grids"):
        read_stack(stack_of(tmp_path, slices()), SlicedGrid(Geometry((5, 4, 6))))
