"""Settings by hand: applied, carried through, recorded, and refused with help."""

import dataclasses

import pytest

from autoseg.errors import UsageError
from autoseg.labels import Labels
from autoseg.plan import Fingerprint, IntensityStats
from autoseg.planning.overrides import apply_settings, spell_out
from autoseg.planning.planner import make_plan

STATS = (IntensityStats(10.0, 2.0, 5.0, 15.0, 0.0, 20.0),)
CASES = 20
DATA = Fingerprint(
    tuple(f"c{i}" for i in range(CASES)),
    ((3.0, 1.0, 1.0),) * CASES,
    ((40, 200, 200),) * CASES,
    1.0,
    ("MR",),
    STATS,
    {},
)
PLAN = make_plan(DATA, Labels({"organ": (1,)}), "X")


def test_a_patch_brings_strides_kernels_and_batch_along():
    plan = apply_settings(PLAN, DATA, ["3d_fullres.M.patch_size=16x64x64"])
    design = plan.configurations["3d_fullres"].sizes["M"]
    assert design.patch_size == (16, 64, 64)
    assert design.batch_size > PLAN.configurations["3d_fullres"].sizes["M"].batch_size
    assert (
        plan.configurations["3d_fullres"].sizes["L"] == PLAN.configurations["3d_fullres"].sizes["L"]
    )
    assert plan.overrides == ("3d_fullres.M.patch_size=16x64x64",)
    assert plan.reasons[-1] == "Set by hand: 3d_fullres.M.patch_size=16x64x64."


def test_a_batch_set_beside_a_patch_is_kept_whatever_the_order():
    plan = apply_settings(PLAN, DATA, ["2d.S.batch_size=3", "2d.S.patch_size=1,64,64"])
    assert plan.configurations["2d"].sizes["S"].batch_size == 3
    assert plan.configurations["2d"].sizes["S"].patch_size == (1, 64, 64)


def test_a_later_setting_replaces_an_earlier_one():
    plan = apply_settings(PLAN, DATA, ["2d.S.batch_size=3"])
    plan = apply_settings(plan, DATA, ["2d.S.batch_size=5"])
    assert plan.overrides == ("2d.S.batch_size=5",)
    assert plan.configurations["2d"].sizes["S"].batch_size == 5
    assert "Set by hand: 2d.S.batch_size=3." not in plan.reasons


def test_another_spacing_plans_everything_anew():
    plan = apply_settings(PLAN, DATA, ["3d_fullres.spacing=2,2,2"])
    assert plan.configurations["3d_fullres"].spacing == (2.0, 2.0, 2.0)
    assert plan.configurations["3d_fullres"].median_shape == (60, 100, 100)
    assert plan.configurations["2d"].spacing == (None, 2.0, 2.0)


def test_normalisers_can_be_named():
    plan = apply_settings(PLAN, DATA, ['2d.normalizers=["my_lab.scaling:unit"]'])
    assert plan.configurations["2d"].normalizers == ("my_lab.scaling:unit",)


def test_a_normaliser_that_is_not_there_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"unknown normaliser 'zscroe'.*'zscore'"):
        apply_settings(PLAN, DATA, ["3d_fullres.normalizers=zscroe"])


def test_the_cascade_is_normalised_as_the_data_it_reads():
    large = dataclasses.replace(DATA, shapes=((400, 500, 500),) * CASES, channels=("MR", "PET"))
    large = dataclasses.replace(large, intensities=STATS * 2)
    planned = make_plan(large, Labels({"organ": (1,)}), "X")
    plan = apply_settings(planned, large, ["3d_fullres.normalizers=ct,none"])
    assert plan.configurations["3d_cascade_fullres"].normalizers == ("ct", "none")
    assert plan.configurations["3d_lowres"].normalizers == ("zscore", "zscore")
    with pytest.raises(UsageError, match=r"set 3d_fullres\.normalizers"):
        apply_settings(planned, large, ["3d_cascade_fullres.normalizers=ct,none"])


def test_the_same_settings_twice_change_nothing():
    settings = ["3d_fullres.M.patch_size=16x64x64", "3d_fullres.spacing=2,2,2"]
    once = apply_settings(PLAN, DATA, settings)
    assert apply_settings(PLAN, DATA, once.overrides) == once


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("3d_fulres.M.batch_size=2", "did you mean '3d_fullres'?"),
        ("3d_fullres.MM.batch_size=2", "no size 'MM' is planned"),
        ("3d_fullres.M.batchsize=2", "did you mean 'batch_size'?"),
        ("3d_fullres.M.batch_size=many", "not a value for 'batch_size'"),
        ("3d_fullres.M.batch_size=0", "below 1"),
        ("3d_fullres.M.batch_size", "expected name=value"),
        ("3d_fullres.M.patch_size=16x65x64", "expected 16x80x64 (the next size up)"),
        ("3d_fullres.M.patch_size=16x64", "not a value for 'patch_size'"),
        ("2d.M.patch_size=16x64x64", "expected 1,Y,X"),
        ("3d_fullres.spacing=0,1,1", "three lengths in mm"),
        ("3d_fullres.M.network.features=[32,64]", "expected one entry per stage"),
    ],
)
def test_what_cannot_be_is_refused_with_help(setting, text):
    with pytest.raises(UsageError) as caught:
        apply_settings(PLAN, DATA, [setting])
    assert text in str(caught.value)


def test_the_sentence_about_a_patch_follows_the_setting():
    plan = apply_settings(PLAN, DATA, ["3d_fullres.M.patch_size=16x64x64"])
    about = [reason for reason in plan.reasons if reason.startswith("3d_fullres M: ")]
    assert len(about) == 1
    assert about[0].startswith("3d_fullres M: patch 16x64x64, set by hand; ")


@pytest.mark.parametrize(
    "setting",
    ["2d.normalizers=none,none", "3d_fullres.spacing=nan,1,1", "2d.spacing=None,0,1", "2d.name=x"],
)
def test_a_configuration_that_does_not_fit_is_refused(setting):
    with pytest.raises(UsageError, match="expected"):
        apply_settings(PLAN, DATA, [setting])


def test_none_is_the_name_of_a_normaliser():
    plan = apply_settings(PLAN, DATA, ["3d_fullres.normalizers=none"])
    assert plan.configurations["3d_fullres"].normalizers == ("none",)


SPOKEN = (
    "Spacing.",
    "3d_fullres M-residual: patch 40x56x40; batch 7.",
    "3d_fullres L: the same as M-residual; these data can use no more.",
    "3d_fullres XL: the same as M-residual; these data can use no more.",
    "2d L: the same as M-residual; these data can use no more.",
)
SIZES = ("M-residual", "L", "XL")


def test_sizes_that_were_the_same_as_a_changing_one_get_its_former_sentence():
    assert spell_out(SPOKEN, "3d_fullres", SIZES, "M-residual") == (
        *SPOKEN[:2],
        "3d_fullres L: patch 40x56x40; batch 7.",
        "3d_fullres XL: the same as L; these data can use no more.",
        SPOKEN[4],
    )


def test_a_changing_size_is_not_called_the_same_as_another():
    assert spell_out(SPOKEN, "3d_fullres", SIZES, "L") == (
        *SPOKEN[:2], "3d_fullres L: patch 40x56x40; batch 7.", *SPOKEN[3:],
    )  # fmt: skip


def test_a_small_data_set_s_sizes_are_told_apart_once_one_is_set():
    small = dataclasses.replace(DATA, cases=DATA.cases[:2], spacings=DATA.spacings[:2],
                                shapes=((20, 24, 20),) * 2)  # fmt: skip
    plan = make_plan(small, Labels({"organ": (1,)}), "X")
    assert "3d_fullres L: the same as M-residual; these data can use no more." in plan.reasons
    plan = apply_settings(plan, small, ["3d_fullres.M-residual.patch_size=16x16x16"])
    assert not any("the same as M-residual" in r for r in plan.reasons if r.startswith("3d_full"))


def test_a_coarse_spacing_plans_a_cascade_and_leaves_the_fine_one_alone():
    assert set(PLAN.configurations) == {"2d", "3d_fullres"}
    plan = apply_settings(PLAN, DATA, ["3d_lowres.spacing=3,2,2"])
    assert plan.configurations["3d_fullres"] == PLAN.configurations["3d_fullres"]
    coarse = plan.configurations["3d_lowres"]
    assert coarse.spacing == (3.0, 2.0, 2.0)
    assert coarse.median_shape == (40, 100, 100)
    assert not coarse.batch_dice
    cascade = plan.configurations["3d_cascade_fullres"]
    assert cascade == dataclasses.replace(
        PLAN.configurations["3d_fullres"], name="3d_cascade_fullres", previous="3d_lowres"
    )
    assert "3d_lowres at 3x2x2 mm: set by hand." in plan.reasons
    finer = apply_settings(plan, DATA, ["3d_fullres.spacing=3,1.5,1.5"])
    assert finer.configurations["3d_lowres"].spacing == (3.0, 2.0, 2.0)
    assert finer.configurations["3d_cascade_fullres"].spacing == (3.0, 1.5, 1.5)


@pytest.mark.parametrize("value", ["3,1,1", "2,1,1", "3,2", "a,b,c", "0,2,2"])
def test_a_coarse_spacing_that_is_none_is_refused(value):
    with pytest.raises(UsageError, match=r"3d_lowres\.spacing"):
        apply_settings(PLAN, DATA, [f"3d_lowres.spacing={value}"])


def test_flat_data_have_no_coarse_stage():
    flat = dataclasses.replace(DATA, shapes=((1, 200, 200),) * CASES)
    plan = make_plan(flat, Labels({"organ": (1,)}), "X")
    with pytest.raises(UsageError, match="only 2d is planned"):
        apply_settings(plan, flat, ["3d_lowres.spacing=3,2,2"])
