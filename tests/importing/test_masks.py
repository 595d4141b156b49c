"""One binary file per structure becomes one label map."""

import gzip
import struct

import numpy as np
import pytest

from autoseg.errors import DataError
from autoseg.image import Geometry, Image
from autoseg.importing.masks import Masks, combine_masks
from autoseg.io import read_image, write_image

GRID = Geometry((1, 1, 8))


def masks_of(folder, grid=GRID, **inside):
    """Write one mask per structure whose voxels are the digits of a text: a="012"."""
    files = {}
    for name, digits in inside.items():
        array = np.zeros((1, *grid.shape), np.float32)
        array[..., [int(digit) for digit in digits]] = 1
        files[name] = folder / f"{name}.nii.gz"
        write_image(files[name], Image(array, grid))
    return Masks(files)


def combined(masks, **values):
    return combine_masks(masks, values, GRID, "ct.nii.gz")


def test_each_structure_gets_its_value_and_empty_ones_are_listed(tmp_path):
    made = combined(masks_of(tmp_path, a="01", b="45", c=""), a=1, b=300, c=3)
    assert made.label_map.tolist() == [[[1, 1, 0, 0, 300, 300, 0, 0]]]
    assert made.label_map.dtype == np.uint16
    assert (made.empty, made.overlaps, made.gap_mm) == (("c",), {}, 0.0)


def test_the_smaller_structure_wins_whatever_the_order(tmp_path):
    masks = masks_of(tmp_path, large="0123", small="12")
    for values in ({"large": 1, "small": 2}, {"large": 2, "small": 1}):
        made = combine_masks(masks, values, GRID, "ct")
        assert (made.label_map == values["small"]).sum() == 2
        assert sum(made.overlaps.values()) == 2
    same = combined(masks_of(tmp_path, a="012", b="234"), a=1, b=2)
    assert same.label_map.tolist() == [[[1, 1, 2, 2, 2, 0, 0, 0]]]


def test_every_pair_of_three_that_overlap_is_counted(tmp_path):
    # Voxel 3 is in all three; a and b share 2 and 3, a and c 3, b and c 3 and 4.
    made = combined(masks_of(tmp_path, a="0123", b="23456", c="34"), a=1, b=2, c=3)
    assert made.overlaps == {("a", "b"): 2, ("a", "c"): 1, ("b", "c"): 2}
    assert made.label_map.tolist() == [[[1, 1, 1, 3, 3, 2, 2, 0]]]


def test_a_structure_without_a_file_is_left_out(tmp_path):
    assert combined(masks_of(tmp_path, a="0"), a=1, b=2).empty == ()


def test_a_mask_on_another_grid_is_refused(tmp_path):
    masks = masks_of(tmp_path, Geometry((1, 1, 8), origin=(0, 0, 0.5)), a="0")
    with pytest.raises(DataError, match=r"a\.nii\.gz: its corners lie up to 0\.5 mm off"):
        combined(masks, a=1)


def test_a_crooked_header_is_told_with_the_image_not_with_a_hundred_masks(tmp_path, caplog):
    caplog.set_level("INFO")
    masks = masks_of(tmp_path, a="0")
    data = bytearray(gzip.decompress(masks.files["a"].read_bytes()))
    struct.pack_into("<f", data, 284, 3e-3)  # srow_x[1]
    masks.files["a"].write_bytes(gzip.compress(bytes(data)))
    grid = read_image(masks.files["a"]).geometry
    assert "direction off orthonormal by 3.0e-03, repaired" in caplog.text
    caplog.clear()
    assert combine_masks(masks, {"a": 1}, grid, "ct").label_map.any()
    assert "repaired" not in caplog.text
