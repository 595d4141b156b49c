"""Slices become a grid only when they form one; else slice and series are named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoseg.dicom_slices import Slice, arrange, uid_of
from autoseg.errors import DataError

FOLDER = Path("scan")


def straight(count=7, step=2.0):
    return [
        Slice(
            path=FOLDER / f"{z}.dcm", instance=f"1.5.{z}", sop_class="1", series="1.5", frame="1.9",
            description="thorax", modality="CT", shape=(8, 9), spacing=(0.8, 0.7),
            position=(step * z - 50, 10.0, 20.0), along_x=(0.0, 0.0, 1.0), along_y=(0.0, 1.0, 0.0),
        )
        for z in range(count)
    ]  # fmt: skip


def change(slices, index, **fields):
    slices = list(slices)
    slices[index] = replace(slices[index], **fields)
    return slices


def refused(slices):
    with pytest.raises(DataError) as caught:
        arrange(slices, FOLDER)
    assert caught.value.exit_code == 3
    return str(caught.value)


def test_the_order_is_that_of_positions_whatever_the_order_of_files():
    series = arrange(straight()[::-1], FOLDER)
    assert [one.path.stem for one in series.slices] == list("0123456")
    assert series.geometry.shape == (7, 8, 9)
    assert series.geometry.spacing == (2.0, 0.8, 0.7)
    assert series.geometry.origin == (-50.0, 10.0, 20.0)
    np.testing.assert_array_equal(series.geometry.direction_matrix, np.eye(3))


def test_rows_that_run_the_other_way_turn_the_normal_too():
    slices = [replace(one, along_x=(0.0, 0.0, -1.0)) for one in straight()]
    series = arrange(slices, FOLDER)
    # x reversed: the normal points to the feet, so the highest slice is the first.
    assert series.slices[0].path.stem == "6"
    np.testing.assert_array_equal(series.geometry.direction_matrix, np.diag([-1.0, 1, -1]))
    np.testing.assert_allclose(series.geometry.position([6, 0, 0]), slices[0].position)


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ((3,), r"scan/2.dcm: 1 slice missing after this one: 4.dcm is 4 mm away"),
        ((2, 3), r"scan/1.dcm: 2 slices missing after this one: 4.dcm is 6 mm away"),
    ],
)
def test_a_missing_slice(missing, said):
    text = refused([one for z, one in enumerate(straight()) if z not in missing])
    assert said in text
    assert "in series 1.5 'thorax', expected 2 mm" in text


def test_a_duplicated_slice_and_several_phases():
    text = refused([*straight(), replace(straight()[4], path=FOLDER / "copy.dcm")])
    assert "scan/copy.dcm: duplicated slice: the same position as 4.dcm, in series 1.5" in text
    text = refused(straight() + [replace(one, path=FOLDER / "b") for one in straight()])
    assert "14 slices at 7 positions, in series 1.5 'thorax'" in text
    assert "phases" in text


def test_two_series_in_a_folder_are_listed():
    others = [replace(one, series="1.6", description="head") for one in straight(3)]
    text = refused(straight() + others)
    assert "scan: holds 2 series: series 1.5 'thorax' (7 slices, 0.dcm); series 1.6 'head'" in text

    # Without UIDs: an anonymiser leaves two halves that would stand on one regular grid.
    halves = [replace(one, series="", number=str(1 + i // 4)) for i, one in enumerate(straight())]
    text = refused(halves)
    assert "holds 2 series: series number 1 without UID 'thorax' (4 slices, 0.dcm)" in text
    assert "series number 2 without UID 'thorax' (3 slices, 4.dcm)" in text
    phases = [replace(one, series="", description="ab"[i % 2]) for i, one in enumerate(straight())]
    assert "series without UID 'a' (4 slices, 0.dcm)" in refused(phases)
    # With UIDs these alone tell: a description may differ within a series.
    arrange(change(straight(), 2, description="localiser"), FOLDER)


def test_a_tilted_gantry():
    angle = np.deg2rad(12)
    slices = [
        replace(one, position=(one.position[0], 10 + 2.0 * z * np.tan(angle), 20.0))
        for z, one in enumerate(straight())
    ]
    text = refused(slices)
    assert (
        "scan/1.dcm: gantry tilt: each slice is shifted against the last, by 12.0 degrees" in text
    )
    assert "series 1.5" in text


def test_a_tilt_that_the_orientation_holds_is_no_shear(caplog):
    # The scanner turned the slices and moved along their normal: a straight, oblique grid.
    c, s = np.cos(0.2), np.sin(0.2)
    slices = [
        replace(one, along_y=(s, c, 0.0), position=(2 * z * c, -2 * z * s, 0.0), tilt=11.5)
        for z, one in enumerate(straight())
    ]
    assert arrange(slices, FOLDER).geometry.spacing[0] == pytest.approx(2)
    assert "reports a tilt of 11.5 degrees" in caplog.text


def test_one_slice_off_sideways():
    text = refused(change(straight(), 5, position=(-40.0, 10.5, 20.0)))
    assert "scan/5.dcm: this slice is shifted sideways by 0.5 mm, in series 1.5" in text


def test_spacing_that_changes_or_drifts_is_not_made_uniform():
    slices = [replace(one, position=(z * 2.0 + max(0, z - 3) * 0.5, 0.0, 0.0))
              for z, one in enumerate(straight())]  # fmt: skip
    assert "non-uniform slice spacing after this one: 4.dcm is 2.5 mm away" in refused(slices)
    # No single gap is far from the others, but the middle is half a voxel off.
    slices = [replace(one, position=(z * 2.0 + (z * (60 - z)) * 1e-3, 0.0, 0.0))
              for z, one in enumerate(straight(61))]  # fmt: skip
    assert "non-uniform slice spacing" in refused(slices)


def test_rounded_positions_are_uniform():
    slices = [replace(one, position=(round(z * 0.625, 2), 0.0, 0.0))
              for z, one in enumerate(straight(40))]  # fmt: skip
    assert arrange(slices, FOLDER).geometry.spacing[0] == pytest.approx(0.625, abs=3e-4)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"shape": (8, 10)}, "the size of this slice is (8, 10)"),
        ({"spacing": (0.9, 0.7)}, "the pixel spacing of this slice is (0.9, 0.7)"),
        ({"rescale": (2.0, 0.0)}, "the rescale slope and intercept of this slice is (2, 0)"),
        ({"frame": "1.8"}, "the frame of reference of this slice is 1.8"),
        ({"modality": "MR"}, "the modality of this slice is MR"),
        ({"along_y": (1.0, 0.0, 0.0)}, "the orientation of this slice is (1, 0, 0, 0, 0, 1)"),
    ],
)
def test_a_slice_unlike_the_others_is_named(fields, said):
    text = refused(change(straight(), 3, **fields))
    assert f"scan/3.dcm: {said}, in series 1.5 'thorax', expected" in text
    assert "as in 6 others" in text


def test_pet_slices_may_have_scales_of_their_own():
    slices = [replace(one, modality="PT", rescale=(1.0 + z, 0.0))
              for z, one in enumerate(straight())]  # fmt: skip
    assert arrange(slices, FOLDER).geometry.shape[0] == 7


def test_one_slice_needs_a_thickness():
    assert "a single slice without SliceThickness" in refused(straight(1))
    geometry = arrange(change(straight(1), 0, thickness=4.0), FOLDER).geometry
    assert geometry.spacing == (4.0, 0.8, 0.7)


def test_no_slices_and_skewed_axes():
    assert "scan: is a folder without DICOM images" in refused([])
    skewed = [replace(one, along_y=(0.0, 0.9, 0.5)) for one in straight()]
    assert "not at right angles" in refused(skewed)


def test_a_series_without_uid_gets_the_same_one_each_time():
    slices = [replace(one, series="") for one in straight()]
    uid = arrange(slices, FOLDER).uid
    assert uid == arrange(slices[::-1], FOLDER).uid
    assert uid.startswith("2.25.")
    assert len(uid) <= 64
    assert uid_of("a", "b") != uid_of("a", "c")
    assert arrange(straight(), FOLDER).uid == "1.5"
