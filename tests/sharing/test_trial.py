"""The made-up scan: the same on every computer, and no step of the preparation is idle on it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from autoseg.image import CANONICAL, orientation_of
from autoseg.plan import Plan
from autoseg.preprocessing.prepare import prepare
from autoseg.sharing.trial import choose_tile, draw, image_hash, make_trial
from tests.inference.conftest import make_plan


def trial_of(plan: Plan, any_size: bool = True):
    settings = plan.configurations["3d_fullres"]
    return make_trial(plan, settings, settings.sizes["S"], any_size)


def test_the_bytes_are_those_of_every_other_computer():
    # Written down once: a change here makes the test cases of all bundles unusable.
    trial = trial_of(make_plan(patch=(16, 24, 16)))
    assert trial.image_sha256[:16] == image_hash(draw(trial))[:16] == "898f7b86788067d7"


def test_turning_cropping_resampling_and_tiling_all_take_part():
    plan = make_plan(patch=(40, 56, 40))
    trial = trial_of(plan)
    image = draw(trial)
    array, frame = prepare(image, plan, plan.configurations["3d_fullres"])
    assert orientation_of(image.geometry.direction_matrix, CANONICAL).flips == (1, 2)
    assert all(start > 0 for start, _ in frame.box)
    assert all(a != b for a, b in zip(frame.cropped_shape, frame.prepared_shape, strict=True))
    assert any(n > t for n, t in zip(array.shape[1:], trial.tile, strict=True))
    assert 0.5 < array.std() < 2


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_the_axes_of_the_plan_are_respected(order):
    plan = dataclasses.replace(make_plan(patch=(16, 48, 24)), axis_order=order)
    array, _ = prepare(draw(trial_of(plan)), plan, plan.configurations["3d_fullres"])
    assert np.argmax(array.shape[1:]) == 1


def test_a_large_patch_is_seen_in_smaller_tiles_that_the_strides_divide():
    plan = make_plan(patch=(128, 160, 112))
    design = plan.configurations["3d_fullres"].sizes["S"]
    assert choose_tile(design) == (48, 48, 48)
    spec = dataclasses.replace(design.network, strides=((1, 1, 1), (4, 8, 8), (4, 4, 4)))
    deep = dataclasses.replace(design, network=spec, patch_size=(128, 160, 160))
    assert choose_tile(deep) == (48, 64, 64)
    assert trial_of(plan, any_size=False).tile == (128, 160, 112)


def test_a_ct_has_air_around_the_body_and_whole_hounsfield_units():
    plan = make_plan()
    settings = dataclasses.replace(plan.configurations["3d_fullres"], normalizers=("ct",))
    stats = dataclasses.replace(plan.intensities[0], mean=40.0, std=60.0)
    ct = dataclasses.replace(plan, configurations={"3d_fullres": settings}, intensities=(stats,))
    array = draw(trial_of(ct)).array
    assert array[0, 0, 0, 0] == -1000
    assert (array == np.rint(array)).all()
    assert abs(np.median(array[array > -1000]) - 40) < 60


def test_channels_are_not_copies_of_each_other():
    plan = make_plan()
    settings = dataclasses.replace(
        plan.configurations["3d_fullres"], normalizers=("zscore",) * 2,
        mask_normalization=(False,) * 2,
    )  # fmt: skip
    two = dataclasses.replace(
        plan, channels=("T1", "T2"), intensities=plan.intensities * 2,
        configurations={"3d_fullres": settings},
    )  # fmt: skip
    array = draw(trial_of(two)).array
    assert np.corrcoef(array[0].ravel(), array[1].ravel())[0, 1] < 0.95
