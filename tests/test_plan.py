"""A plan answers what follows from it, and names what was not planned."""

import dataclasses

import pytest

from autoseg.errors import CorruptError, UsageError
from autoseg.image import RAS, STORED
from autoseg.labels import Labels
from autoseg.plan import Configuration, Design, IntensityStats, NetworkSpec, Plan
from autoseg.plan_file import check_plan

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
