"""Size M against nnU-Net 2.8.1's own planner (benchmarks/golden_plans.py wrote the numbers)."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from autoseg.dataset import Case
from autoseg.labels import Labels
from autoseg.plan import Fingerprint, IntensityStats
from autoseg.planning.folds import make_folds
from autoseg.planning.planner import make_plan
from autoseg.preprocessing.resample import separate_axis

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
PLANS = json.loads((GOLDEN / "nnunet_plans.json").read_text())
FOLDS = json.loads((GOLDEN / "nnunet_folds.json").read_text())
SIZES = {"M": "M-residual", "L": "L"}


def fingerprint_of(record: dict) -> Fingerprint:
    stats = IntensityStats(0.0, 1.0, 0.0, 1.0, 0.0, 1.0)
    channels = tuple(record["channels"])
    return Fingerprint(
        cases=tuple(f"c{i}" for i in range(len(record["spacings"]))),
        spacings=tuple(tuple(spacing) for spacing in record["spacings"]),
        shapes=tuple(tuple(shape) for shape in record["shapes"]),
        kept_fraction=record["kept_fraction"],
        channels=channels,
        intensities=(stats,) * len(channels),
        target_volumes_ml={},
    )


def plan_of(record: dict) -> SimpleNamespace:
    labels = Labels({f"t{i}": (i + 1,) for i in range(record["targets"])})
    return make_plan(fingerprint_of(record), labels, "GOLDEN")


def dropped_axis(values, is_2d: bool) -> list:
    """Ours without the slice axis, as nnU-Net writes 2-D plans."""
    return [list(value)[1:] if is_2d else list(value) for value in values]


@pytest.mark.parametrize("name", sorted(PLANS))
def test_size_m_is_the_plan_of_nnunet(name):
    theirs = PLANS[name]["plan"]
    plan = plan_of(PLANS[name]["fingerprint"])
    assert list(plan.axis_order) == theirs["axis_order"]
    assert set(plan.configurations) == set(theirs["configurations"])
    for title, row in theirs["configurations"].items():
        ours = plan.configurations[title]
        if "previous" in row:
            assert ours.previous == row["previous"]
            continue
        flat, design = title == "2d", ours.sizes["M"]
        assert [s for s in ours.spacing if s is not None] == pytest.approx(row["spacing"], rel=1e-9)
        assert dropped_axis([design.patch_size], flat)[0] == row["patch_size"]
        assert design.batch_size == row["batch_size"]
        assert ours.batch_dice == row["batch_dice"]
        assert list(design.network.features) == row["features"]
        assert dropped_axis(design.network.strides, flat) == row["strides"]
        assert dropped_axis(design.network.kernels, flat) == row["kernels"]
        assert list(ours.normalizers) == row["normalizers"]
        assert list(ours.mask_normalization) == row["mask"]
        assert max(design.rotation_degrees) == row["rotation_degrees"]
        assert design.dummy_2d == row["dummy_2d"]


@pytest.mark.parametrize("name", sorted(PLANS))
def test_residual_patches_are_those_of_nnunet(name):
    plan = plan_of(PLANS[name]["fingerprint"])
    for title, row in PLANS[name]["plan"]["configurations"].items():
        for theirs, ours in SIZES.items():
            patch = row.get(f"patch_of_residual_{theirs}")
            if patch is not None:
                found = plan.configurations[title].sizes[ours].patch_size
                assert dropped_axis([found], title == "2d")[0] == patch


@pytest.mark.parametrize("name", sorted(PLANS))
def test_slices_are_resampled_apart_where_nnunet_does(name):
    record = PLANS[name]["fingerprint"]
    plan = plan_of(record)
    for spacing, theirs in zip(
        record["spacings"], PLANS[name]["plan"]["separate_axes"], strict=False
    ):
        here = [spacing[axis] for axis in plan.axis_order]
        assert separate_axis(here, plan.configurations["3d_fullres"].spacing) == theirs


@pytest.mark.parametrize("count", sorted(FOLDS, key=int))
def test_folds_are_those_of_nnunet(count):
    cases = [Case(f"case_{i:03d}", ()) for i in range(int(count))]
    folds, _ = make_folds(cases[::-1])
    assert [list(fold.validation) for fold in folds] == FOLDS[count]


def test_the_set_covers_what_it_claims():
    names = set(PLANS) - {name for name in PLANS if name.startswith("random")}
    assert len(names) >= 8
    lowres = [n for n in PLANS if "3d_lowres" in PLANS[n]["plan"]["configurations"]]
    flat = [n for n in PLANS if "3d_fullres" not in PLANS[n]["plan"]["configurations"]]
    apart = [n for n in PLANS if any(a is not None for a in PLANS[n]["plan"]["separate_axes"])]
    turned = [n for n in PLANS if PLANS[n]["plan"]["axis_order"] != [0, 1, 2]]
    assert min(len(lowres), len(flat), len(apart), len(turned)) >= 2
