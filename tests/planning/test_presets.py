"""Recipes planned beside what the rules say: grid, network, length, weights by name, reasons."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from autoseg import presets as shelf
from autoseg.config import TrainConfig, override, spell_settings
from autoseg.errors import AutosegError, UsageError
from autoseg.labels import Labels
from autoseg.plan import PRESET, Fingerprint, IntensityStats, Plan
from autoseg.plan_file import check_plan
from autoseg.planning import presets as planning
from autoseg.planning.overrides import apply_settings
from autoseg.planning.planner import make_plan
from autoseg.planning.presets import expand, presets_of
from autoseg.preprocessing.intensity import check_normalizers
from autoseg.presets import Preset, PresetNetwork, PresetPlan, load_preset, preset_names
from autoseg.records import from_json, to_json

CASES = 10
DATA = Fingerprint(
    tuple(f"c{i}" for i in range(CASES)),
    ((2.5, 1.0, 0.8),) * CASES,
    ((40, 512, 400),) * CASES,
    1.0,
    ("CT",),
    (IntensityStats(10.0, 2.0, 5.0, 15.0, 0.0, 20.0),),
    {},
)
FLAT = dataclasses.replace(DATA, shapes=((1, 512, 400),) * CASES)
LABELS = Labels({"kidney": (1,), "tumour": (2,)})
PLAN = make_plan(DATA, LABELS, "X")
PLANNING = [name for name in preset_names() if load_preset(name).plan]


def add_presets(plan: Plan, data: Fingerprint, names: Sequence[str]) -> Plan:
    return planning.add_presets(plan, data, {name: load_preset(name) for name in names})


@pytest.mark.parametrize("name", PLANNING)
def test_every_recipe_is_a_whole_configuration(name):
    plan = add_presets(PLAN, DATA, [name])
    check_plan(plan)
    configuration = plan.configurations[name]
    assert (configuration.name, configuration.preset) == (name, name)
    assert list(configuration.sizes) == [PRESET]
    check_normalizers(configuration.normalizers)
    config = override(TrainConfig(), spell_settings(configuration.train))
    assert config != TrainConfig()
    assert config.steps is not None
    assert {k: c for k, c in plan.configurations.items() if k != name} == PLAN.configurations
    told = [reason for reason in plan.reasons if reason.startswith(f"{name}: ")]
    assert plan.reasons == (*PLAN.reasons, *told)
    assert all(reason.endswith(".") and ".." not in reason for reason in told)


def test_the_plane_keeps_its_proportions():
    configuration = add_presets(PLAN, DATA, ["abdomen-boundary"]).configurations["abdomen-boundary"]
    assert configuration.spacing == (None, 2.0, 2.0)  # 512 mm in 256 pixels
    assert configuration.median_shape == (40, 256, 160)  # 400 columns of 0.8 mm
    assert configuration.normalizers == ("window:-400,400",)
    assert configuration.sizes[PRESET].network.features == (64, 128, 256, 512, 1024)


def test_the_length_is_that_of_so_many_passes():
    train = add_presets(PLAN, DATA, ["totalseg-2d-bce", "kits-res3d"]).configurations
    # 8 of 10 cases of 40 slices, 20 times, 16 a step; and 800 times, 4 a step.
    assert train["totalseg-2d-bce"].train["steps"] == 20 * 8 * 40 // 16
    assert train["kits-res3d"].train["steps"] == 800 * 8 // 4


def test_weights_go_to_targets_of_their_name():
    plan = add_presets(PLAN, DATA, ["kits-res3d", "abdomen-boundary"])
    train = plan.configurations["kits-res3d"].train
    assert train["target_weights"] == "background=0,kidney=1,tumour=3"
    assert train["target_sampling"] == "kidney=3,tumour=7"
    assert (
        plan.configurations["abdomen-boundary"].train["target_weights"] == "background=0.3,kidney=1"
    )
    overlapping = make_plan(DATA, Labels({"kidney": (1, 2), "tumour": (2,)}), "X")
    train = add_presets(overlapping, DATA, ["kits-res3d"]).configurations["kits-res3d"].train
    assert train["target_weights"] == "kidney=1,tumour=3"


def test_without_such_targets_weights_are_left_out_and_that_is_said():
    plan = add_presets(make_plan(DATA, Labels({"heart": (1,)}), "X"), DATA, ["kits-res3d"])
    assert "target_weights" not in plan.configurations["kits-res3d"].train
    words = "kits-res3d: no target_weights, as no target here is called kidney, tumor, tumour."
    assert words in plan.reasons


def test_planned_twice_is_planned_once():
    plan = add_presets(PLAN, DATA, ["kits-res3d"])
    assert add_presets(plan, DATA, ["kits-res3d"]) == plan
    assert presets_of(plan) == {"kits-res3d": load_preset("kits-res3d")}
    assert presets_of(None) == {}
    assert plan.configurations["kits-res3d"].recipe is None


def test_a_recipe_that_is_no_more_is_not_planned_again(monkeypatch):
    plan = add_presets(PLAN, DATA, ["kits-res3d", "segthor-enet"])
    kept = [name for name in preset_names() if name != "kits-res3d"]
    monkeypatch.setattr("autoseg.planning.presets.preset_names", lambda: kept)
    assert list(presets_of(plan)) == ["segthor-enet"]


def test_a_recipe_that_is_not_planned_is_answered_with_the_command():
    words = "'kits-res3d' is not planned for X -> autoseg_plan -d X --preset kits-res3d"
    with pytest.raises(UsageError, match=words):
        PLAN.configuration("kits-res3d")


def test_what_does_not_fit_is_answered():
    words = "is based on 3d_fullres, which is not planned for these data, expect"
    with pytest.raises(UsageError, match=words):
        add_presets(make_plan(FLAT, LABELS, "X"), FLAT, ["kits-res3d"])


def test_settings_by_hand_go_before_the_recipe_and_leave_it_its_network():
    plan = add_presets(PLAN, DATA, ["kits-res3d"])
    settings = ["kits-res3d.preset.patch_size=16x32x32", "kits-res3d.normalizers=window:-5,5"]
    changed = apply_settings(plan, DATA, settings).configurations["kits-res3d"]
    assert changed.sizes[PRESET].patch_size == (16, 32, 32)
    assert changed.sizes[PRESET].network == plan.configurations["kits-res3d"].sizes[PRESET].network
    assert changed.normalizers == ("window:-5,5",)
    with pytest.raises(UsageError, match="a multiple of 16"):
        apply_settings(plan, DATA, ["kits-res3d.preset.patch_size=16x32x40"])


SHORT = PresetPlan("2d", (1, 64, 64), 3, PresetNetwork("plain_unet", features=(8, 16)))
MINE = Preset("Mine.", plan=SHORT, train={"steps": 20})


def test_one_of_ones_own_is_in_the_plan_and_stays():
    plan = planning.add_presets(PLAN, DATA, {"mine": MINE})
    configuration = plan.configurations["mine"]
    assert (configuration.preset, configuration.recipe) == ("mine", MINE)
    as_read = from_json(Plan, to_json(plan))
    assert as_read.configurations["mine"].recipe == MINE
    assert presets_of(as_read) == {"mine": MINE}
    assert planning.add_presets(plan, DATA, {"mine": MINE}) == plan


def test_one_of_ones_own_that_says_something_else_is_planned_anew():
    plan = planning.add_presets(PLAN, DATA, {"mine": MINE})
    other = Preset("Mine, larger.", plan=dataclasses.replace(SHORT, batch_size=5))
    again = planning.add_presets(plan, DATA, {"mine": other})
    assert again == planning.add_presets(PLAN, DATA, {"mine": other})
    assert "mine: Mine, larger." in again.reasons
    assert "mine: Mine." not in again.reasons


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("2d", {}, "preset '2d': the rules plan a '2d', too -> give the file another name"),
        ("mine", {"spacing": (2.0, 1.0, 1.0)}, "spacing on the base 2d, expected null first"),
        ("mine", {"base": "3d_fullres", "spacing": (None, 1.0, 1.0)}, "expected three lengths"),
        ("mine", {"spacing": (None, 1.0, -1.0)}, "None, 1.0, -1.0.*-> correct preset 'mine'"),
        ("mine", {"patch_size": (8, 64, 64)}, r"patch_size\[0\] = 8.*mine learns slices"),
    ],
)
def test_what_the_data_say_against_it_is_told(name, changes, words):
    preset = dataclasses.replace(MINE, plan=dataclasses.replace(SHORT, **changes))
    with pytest.raises(AutosegError, match=words):
        planning.add_presets(PLAN, DATA, {name: preset})


def test_another_spacing_of_the_data_keeps_the_recipes():
    plan = add_presets(PLAN, DATA, ["totalseg-2d-bce", "kits-res3d"])
    anew = apply_settings(plan, DATA, ["3d_fullres.spacing=3,2,2"])
    assert list(presets_of(anew)) == ["totalseg-2d-bce", "kits-res3d"]
    assert anew.configurations["kits-res3d"].spacing == (3.22, 1.62, 1.62)


def test_a_network_in_short_is_a_usual_unet():
    short = PresetNetwork("plain_unet", features=(8, 16))
    full = expand(PresetPlan("2d", (1, 8, 8), 3, short)).network
    assert (full.strides, full.kernels) == (((1, 1, 1), (1, 2, 2)), ((1, 3, 3), (1, 3, 3)))
    assert (full.encoder_blocks, full.decoder_blocks) == ((2, 2), (2,))
    deep = expand(PresetPlan("3d_fullres", (8, 8, 8), 3, short))
    assert deep.network.strides[1] == (2, 2, 2)
    assert (deep.patch_size, deep.batch_size) == ((8, 8, 8), 3)


def test_a_network_with_options_is_planned_by_them():
    short = PresetNetwork("enet", options="features=8,factor=2")
    found = expand(PresetPlan("2d", (1, 64, 64), 3, short)).network
    assert (found.name, found.features, found.options["factor"]) == ("enet", (8,), 2)
    with pytest.raises(UsageError, match="enet has no 'fetures'"):
        expand(PresetPlan("2d", (1, 64, 64), 3, PresetNetwork("enet", options="fetures=8")))


@pytest.mark.parametrize("name", preset_names())
def test_a_file_is_small_and_says_what_it_is(name):
    preset = load_preset(name)
    assert preset.about.endswith(".")
    assert not any(difference.endswith(".") for difference in preset.differences)
    assert len((shelf.FOLDER / f"{name}.json").read_text("utf-8").splitlines()) <= 60
    assert to_json(preset)
