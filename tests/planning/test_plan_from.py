"""A plan taken over from another data set: what comes along, and what stays the data's own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autoseg.errors import UsageError
from autoseg.labels import Labels
from autoseg.plan import Fingerprint, IntensityStats
from autoseg.plan_file import check_plan
from autoseg.planning.plan_from import adopt_plan
from autoseg.planning.planner import make_plan
from autoseg.usual import Usual

LABELS = Labels({"a": (1,)})


def make_fingerprint(
    spacing: tuple[float, float, float],
    shape: tuple[int, int, int],
    channels: tuple[str, ...] = ("CT",),
    mean: float = 0.0,
) -> Fingerprint:
    stats = tuple(IntensityStats(mean, 100.0, -200.0, 300.0, -1000.0, 1000.0) for _ in channels)
    return Fingerprint(
        ("x", "y"), (spacing,) * 2, (shape,) * 2, 1.0, channels, stats, {"a": (1.0, 1.0)}
    )


THERE = make_fingerprint((1.0, 1.0, 1.0), (120, 100, 100), mean=7.0)
HERE = make_fingerprint((2.0, 0.5, 0.5), (60, 300, 200), mean=50.0)


def test_grid_patch_and_network_are_those_of_the_other_and_the_median_case_is_ours():
    other, own = make_plan(THERE, LABELS, "THERE"), make_plan(HERE, LABELS, "HERE")
    made = adopt_plan(own, other, HERE)
    check_plan(made)
    assert (made.dataset, made.axis_order) == ("HERE", other.axis_order)
    configuration = made.configurations["3d_fullres"]
    assert configuration.spacing == (1.0, 1.0, 1.0)
    assert configuration.sizes == other.configurations["3d_fullres"].sizes
    assert configuration.median_shape == (120, 150, 100)  # 60 x 2 mm, 300 x 0.5 mm, 200 x 0.5 mm
    assert made.intensities == other.intensities  # CT there, CT here: the same scaling
    assert "Plan taken over from THERE" in made.reasons[1]


def test_new_scans_are_compared_with_the_data_s_own():
    here, there = (Usual(n, {}, ({},)) for n in (2, 9))
    own = make_plan(replace(HERE, usual=here), LABELS, "HERE")
    other = make_plan(replace(THERE, usual=there), LABELS, "THERE")
    assert adopt_plan(own, other, HERE).usual == here


def test_where_channels_differ_normalisation_is_the_datas_own():
    other = make_plan(THERE, LABELS, "THERE")
    mr = make_fingerprint((1.0, 1.0, 1.0), (60, 60, 60), ("T1", "T2"), mean=50.0)
    made = adopt_plan(make_plan(mr, LABELS, "MR"), other, mr)
    check_plan(made)
    assert made.channels == ("T1", "T2")
    assert made.intensities == mr.intensities
    assert made.configurations["3d_fullres"].normalizers == ("zscore", "zscore")
    assert any("the channels differ (T1, T2; there CT)" in reason for reason in made.reasons)


def test_targets_stay_those_of_the_data():
    labels = Labels({"left lung": (1,), "right lung": (2,)})
    made = adopt_plan(make_plan(HERE, labels, "HERE"), make_plan(THERE, LABELS, "THERE"), HERE)
    assert made.labels.names == labels.names
    assert any(reason.startswith("Mirroring") for reason in made.reasons)


def test_flat_data_take_over_2d_only():
    flat = make_fingerprint((1.0, 0.5, 0.5), (1, 200, 200))
    other = make_plan(THERE, LABELS, "THERE")
    made = adopt_plan(make_plan(flat, LABELS, "FLAT"), other, flat)
    assert list(made.configurations) == ["2d"]
    assert made.configurations["2d"].median_shape == (1, 100, 100)
    volumes = {"3d_fullres": other.configurations["3d_fullres"]}
    with pytest.raises(UsageError, match="these data are flat, and the plan of THERE has no 2d"):
        adopt_plan(make_plan(flat, LABELS, "F"), replace(other, configurations=volumes), flat)
