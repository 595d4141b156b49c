"""A plan survives its file, and a hand-edited one that cannot work is refused with its place."""

import dataclasses
import json

import pytest

from autoseg.errors import CorruptError, DataError, UsageError
from autoseg.image import RAS, STORED
from autoseg.labels import Labels
from autoseg.plan import (
    Configuration,
    Design,
    IntensityStats,
    NetworkSpec,
    Plan,
    check_design,
    check_plan,
    load_plan,
    save_plan,
)
from autoseg.usual import GRID, Sections, Usual

NETWORK = NetworkSpec(
    name="plain_unet",
    features=(16, 32),
    strides=((1, 1, 1), (1, 2, 2)),
    kernels=((1, 3, 3), (3, 3, 3)),
    encoder_blocks=(2, 2),
    decoder_blocks=(2,),
)
DESIGN = Design((8, 32, 32), 2, NETWORK)
PLAN = Plan(
    dataset="PHANTOM",
    channels=("CT",),
    labels=Labels({"liver": (1, 2), "tumour": (2,)}, nsd_tolerance_mm={"liver": 2.0}),
    axis_order=(1, 0, 2),
    intensities=(IntensityStats(40.0, 20.0, -10.0, 90.0, -100.0, 300.0),),
    configurations={
        "2d": Configuration("2d", (None, 1.0, 1.0), (24, 96, 96), ("ct",), (False,), True, {}),
        "3d_fullres": Configuration(
            "3d_fullres", (3.0, 1.0, 1.0), (24, 96, 96), ("ct",), (False,), False, {"S": DESIGN}
        ),
    },
    reasons=("spacing 3x1x1 mm: the median",),
)


def test_a_plan_survives_its_file(tmp_path):
    save_plan(tmp_path / "plan.json", PLAN)
    assert load_plan(tmp_path / "plan.json") == PLAN


def test_the_same_plan_gives_the_same_bytes(tmp_path):
    save_plan(tmp_path / "a.json", PLAN)
    save_plan(tmp_path / "b.json", load_plan(tmp_path / "a.json"))
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_ranges_of_the_training_scans_survive_the_file_and_are_of_its_channels(tmp_path):
    low, cut = (0.0, 1.0, 2.0), {"liver": Sections((9.0,), (0.5,), (1.5,))}
    usual = Usual(3, dict.fromkeys(GRID, low), ({"p1": low},), {}, cut)
    save_plan(tmp_path / "plan.json", dataclasses.replace(PLAN, usual=usual))
    assert load_plan(tmp_path / "plan.json").usual == usual
    two = dataclasses.replace(usual, channels=usual.channels * 2)
    with pytest.raises(CorruptError, match="usual: 2 channels, expected 1"):
        check_plan(dataclasses.replace(PLAN, usual=two))
    without = dataclasses.replace(usual, grid={"volume": low})
    with pytest.raises(CorruptError, match="usual: grid lacks a range, expected voxel z"):
        check_plan(dataclasses.replace(PLAN, usual=without))


def test_a_plan_without_them_is_read(tmp_path):
    path = edited(tmp_path, lambda plan: plan.pop("usual"))
    assert load_plan(path) == PLAN


def edited(tmp_path, change):
    path = tmp_path / "plan.json"
    save_plan(path, PLAN)
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return path


def test_another_format_is_refused(tmp_path):
    path = edited(tmp_path, lambda plan: plan.update(format="autoseg-plan-0"))
    with pytest.raises(CorruptError, match="run autoseg_plan"):
        load_plan(path)


def test_an_edited_patch_that_the_strides_do_not_divide_is_refused(tmp_path):
    def edit(plan):
        plan["configurations"]["3d_fullres"]["sizes"]["S"]["patch_size"] = [8, 31, 32]

    with pytest.raises(DataError, match=r"sizes\.S: patch_size\[1\] = 31, expected a multiple"):
        load_plan(edited(tmp_path, edit))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"strides": ((1, 1, 1),)}, "strides has -1 entries"),
        ({"decoder_blocks": (2, 2)}, r"decoder_blocks has \+1 entries"),
        ({"features": (16, 0)}, "below 1"),
        ({"strides": ((1, 1, 1), DESIGN.patch_size)}, "leaves the deepest stage a single voxel"),
    ],
)
def test_a_network_whose_numbers_do_not_fit_is_refused(change, words):
    design = dataclasses.replace(DESIGN, network=dataclasses.replace(NETWORK, **change))
    with pytest.raises(CorruptError, match=words):
        check_design(design, "plan.json")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("normalizers", ["none", "none"], "normalizers has 2 entries, expected one per channel"),
        ("mask_normalization", [], "mask_normalization has 0 entries, expected one per channel"),
        ("spacing", [2, 0, 1], "spacing is 2.0, 0.0, 1.0, expected lengths above 0 mm"),
        ("name", "3d", "name is '3d', expected '3d_fullres'"),
        ("previous", "3d_lowers", "previous is '3d_lowers'"),
        ("previous", "3d_fullres", "previous is '3d_fullres'"),
    ],
)
def test_an_edited_configuration_that_does_not_fit_is_refused(tmp_path, field, value, words):
    def edit(plan):
        plan["configurations"]["3d_fullres"][field] = value

    with pytest.raises(DataError, match=words):
        load_plan(edited(tmp_path, edit))


def test_slices_are_one_voxel_deep(tmp_path):
    def edit(plan):
        plan["configurations"]["3d_fullres"]["spacing"][0] = None

    words = r"sizes\.S: patch_size\[0\] = \d+, expected 1: 3d_fullres learns slices"
    with pytest.raises(DataError, match=words):
        load_plan(edited(tmp_path, edit))


def test_an_axis_order_that_is_none_is_refused(tmp_path):
    with pytest.raises(DataError, match="axis_order is 0, 0, 1, expected 0, 1, 2 in any order"):
        load_plan(edited(tmp_path, lambda plan: plan.update(axis_order=[0, 0, 1])))


def test_unknown_configurations_and_sizes_are_usage_errors():
    with pytest.raises(UsageError, match="did you mean '3d_fullres'"):
        PLAN.configuration("3d_fulres")
    with pytest.raises(UsageError, match=r"'3d_lowres' is not planned .*3d_lowres\.spacing=Z,Y,X"):
        PLAN.configuration("3d_lowres")
    with pytest.raises(UsageError, match="size 'XXL' is not planned for 3d_fullres"):
        PLAN.configuration("3d_fullres").design("XXL")


def test_left_and_right_lie_along_the_reordered_axis():
    assert PLAN.left_right_axis == 2
    assert dataclasses.replace(PLAN, axis_order=(2, 0, 1)).left_right_axis == 0


@pytest.mark.parametrize("orientation", [STORED, RAS])
def test_scans_that_are_turned_otherwise_exchange_nothing_in_mirror_images(orientation):
    assert dataclasses.replace(PLAN, orientation=orientation).left_right_axis is None


def test_an_orientation_that_is_none_is_refused(tmp_path):
    with pytest.raises(DataError, match="orientation is 'LAS', expected canonical, stored or RAS"):
        load_plan(edited(tmp_path, lambda plan: plan.update(orientation="LAS")))


@pytest.mark.parametrize(
    ("patch", "dummy_2d", "rotation"),
    [
        ((40, 56, 40), False, (30.0, 30.0, 30.0)),
        ((16, 320, 256), True, (180.0, 0.0, 0.0)),
        ((1, 256, 256), False, (180.0, 0.0, 0.0)),
        ((1, 512, 256), False, (15.0, 0.0, 0.0)),
    ],
)
def test_rotation_follows_the_shape_of_the_patch(patch, dummy_2d, rotation):
    design = dataclasses.replace(DESIGN, patch_size=patch)
    assert design.dummy_2d is dummy_2d
    assert design.rotation_degrees == rotation


def test_a_cascade_sees_a_mask_of_each_target_beside_the_image():
    full = PLAN.configurations["3d_fullres"]
    first = dataclasses.replace(full, name="first")
    second = dataclasses.replace(full, name="second", previous="first")
    plan = dataclasses.replace(PLAN, configurations={"first": first, "second": second})
    assert plan.input_channels("first") == len(plan.channels)
    assert plan.input_channels("second") == len(plan.channels) + len(plan.labels.targets)
    check_plan(plan)
    third = dataclasses.replace(full, name="third", previous="second")
    plan = dataclasses.replace(plan, configurations={**plan.configurations, "third": third})
    with pytest.raises(CorruptError, match="without a previous stage of its own"):
        check_plan(plan)
