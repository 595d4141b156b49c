"""A plan survives its file; what a hand may have done to it is found and named."""

import dataclasses
import json

import pytest

from autoseg.errors import CorruptError, DataError
from autoseg.plan_file import check_design, check_plan, load_plan, save_plan
from autoseg.usual import GRID, Sections, Usual
from tests.test_plan import DESIGN, NETWORK, PLAN


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


def test_an_orientation_that_is_none_is_refused(tmp_path):
    with pytest.raises(DataError, match="orientation is 'LAS', expected canonical, stored or RAS"):
        load_plan(edited(tmp_path, lambda plan: plan.update(orientation="LAS")))
