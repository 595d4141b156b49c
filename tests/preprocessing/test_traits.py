"""Traits of scans that a hand can count."""

from dataclasses import replace

import numpy as np
import pytest

from autoseg.image import Geometry, Image
from autoseg.labels import Labels
from autoseg.preprocessing.traits import FACE_TRAITS, sections, traits_of
from autoseg.usual import Sections

TURNED = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0, 1.0, 0.0, 0.0)  # axes Z, Y, X along x, z and -y


def scan(array, spacing=(3.0, 2.0, 1.0), direction=None):
    array = np.asarray(array, np.float32)
    geometry = Geometry(array.shape[1:], spacing)
    if direction is not None:
        geometry = Geometry(array.shape[1:], spacing, direction=direction)
    return Image(array, geometry)


def ramp(shape=(4, 5, 6)):
    return 1 + np.arange(np.prod(shape), dtype=np.float32).reshape(1, *shape)


def test_sizes_are_those_inside_the_margins_in_mm():
    array = np.pad(ramp(), ((0, 0), (1, 2), (0, 3), (4, 0)))
    assert traits_of(scan(array)).grid == pytest.approx(
        {"voxel z": 3, "voxel y": 2, "voxel x": 1, "extent z": 12, "extent y": 10, "extent x": 6,
         "volume": 0.72}
    )  # fmt: skip


def test_margins_of_zeros_change_nothing():
    padded = np.pad(ramp(), ((0, 0), (1, 2), (0, 3), (4, 0)))
    assert traits_of(scan(padded)) == traits_of(scan(ramp()))


def test_axes_are_those_of_the_canonical_orientation():
    found = traits_of(scan(ramp(), direction=TURNED))
    assert [found.grid[f"voxel {axis}"] for axis in "zyx"] == [2, 1, 3]
    faces, plain = found.channels[0], traits_of(scan(ramp())).channels[0]
    assert faces["face z0"] == pytest.approx(plain["face y0"])
    assert faces["face y0"] == pytest.approx(plain["face x1"])  # reversed
    assert faces["face x1"] == pytest.approx(plain["face z1"])


def test_levels_of_a_ramp():
    found = traits_of(scan(ramp())).channels[0]  # 1 to 120
    assert found["p1"] == pytest.approx(2.19)
    assert found["p50"] == pytest.approx(60.5)
    assert found["p99"] == pytest.approx(118.81)
    assert found["s50"] == pytest.approx(0.5)
    assert found["zero"] == pytest.approx(-2.19 / 116.62)
    assert found["below"] == pytest.approx(1.19 / 116.62)
    assert found["above"] == pytest.approx(1.19 / 116.62)
    assert found["face z0"] < 0.15 < 0.85 < found["face z1"]


def test_a_channel_of_one_value_has_no_levels_and_a_picture_no_faces_along_z():
    assert traits_of(scan(np.full((1, 3, 3, 3), 7))).channels == ({},)
    found = traits_of(scan(ramp((1, 5, 6)))).channels[0]
    assert [name[-2:] for name in FACE_TRAITS if name in found] == ["y0", "y1", "x0", "x1"]


def test_channels_are_correlated_where_one_of_them_is_not_zero():
    one = ramp()[0]
    two = -2 * one
    one, two = np.pad(one, 3), np.pad(two, 3)  # together, margins would correlate
    found = traits_of(scan(np.stack([one, two, np.zeros_like(one)]))).pairs
    assert found == {"0 1": pytest.approx(-1)}


def test_a_large_scan_is_sampled_and_keeps_its_levels():
    array = np.random.default_rng(0).normal(100, 10, (1, 40, 200, 200))
    found = traits_of(scan(array)).channels[0]
    assert found["p50"] == pytest.approx(100, abs=0.2)
    assert found["p99"] - found["p1"] == pytest.approx(2 * 2.326 * 10, rel=0.01)


def test_sections_are_areas_in_mm2_of_those_at_the_faces_and_the_largest():
    labels = Labels({"organ": (1, 2), "core": (2,), "absent": (3,)})
    label_map = np.zeros((4, 6, 6), np.uint8)
    label_map[0, 2, 2:4] = 1  # two voxels in the lowest slice
    label_map[1, 1:5, 1:5] = 1  # sixteen in the next
    label_map[1, 2, 2] = 2
    grid = Geometry((4, 6, 6), (3.0, 2.0, 1.0))
    found = sections(label_map, labels, grid, (1, 2, 3))
    assert found == {
        "organ": Sections((32.0, 18.0, 30.0), (4, 0, 0, 0, 0, 0), (4, 0, 12, 12, 30, 30)),
        "core": Sections((2.0, 3.0, 6.0), (0,) * 6, (0, 0, 0, 0, 6, 0)),
    }
    turned = sections(label_map, labels, replace(grid, direction=TURNED), (2, 3, 1))["organ"]
    # Z runs along x, Y along z, X along -y
    assert turned == Sections((18.0, 30.0, 32.0), (0, 0, 0, 0, 4, 0), (12, 12, 30, 30, 4, 0))
    label_map[2, 3, 0] = 1  # at the low end of X, which runs against y
    assert sections(label_map, labels, replace(grid, direction=TURNED))["organ"].faces == (
        0.0, 0.0, 0.0, 6.0, 4.0, 0.0
    )  # fmt: skip


def test_a_picture_is_not_cut_along_z():
    label_map = np.zeros((1, 4, 4), np.uint8)
    label_map[0, 0, :2] = 1
    found = sections(label_map, Labels({"a": (1,)}), Geometry((1, 4, 4)))
    assert found["a"].faces == (0, 0, 2, 0, 1, 0)
