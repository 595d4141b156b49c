"""Volume agreement: published values, values by hand, laws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autoseg.evaluation.agreement import bland_altman, intraclass, volume_agreement
from autoseg.results import BOTH_EMPTY, PRED_EMPTY, SKIPPED, Value
from tests.evaluation.scores import case

# Shrout and Fleiss 1979, table 2: six targets, four judges; their table 4 has the correlations.
SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float
)


def test_the_correlations_are_shrouts_and_fleisss():
    icc2, icc2_bounds, icc3, icc3_bounds = intraclass(SHROUT_FLEISS)
    assert (icc2, icc3) == pytest.approx((0.29, 0.71), abs=0.005)
    assert icc2_bounds == pytest.approx((0.019, 0.761), abs=0.001)
    assert icc3_bounds == pytest.approx((0.342, 0.946), abs=0.001)


def test_a_constant_bias_spoils_absolute_agreement_only():
    truth = np.array([10.0, 20.0, 30.0, 45.0, 80.0])
    icc2, _, icc3, _ = intraclass(np.stack([truth, truth + 10], axis=1))
    assert icc3 == pytest.approx(1.0)
    assert icc2 < 0.95


def test_raters_who_agree_wholly_have_a_correlation_of_one():
    truth = np.array([1.0, 2.0, 4.0, 8.0])
    assert intraclass(np.stack([truth, truth], axis=1)) == (1.0, None, 1.0, None)


@pytest.mark.parametrize(
    "table", [np.ones((5, 2)), np.array([[50.0, 40.0]] * 5), np.array([[1.0, 2.0], [3.0, 4.0]])]
)
@pytest.mark.filterwarnings("error")
def test_without_variation_or_rows_nothing_is_claimed(table):
    assert intraclass(table) == (None, None, None, None)


@pytest.mark.filterwarnings("error")
def test_rows_that_disagree_have_finite_intervals_or_none():
    # Volumes of a hippocampus model after 40 steps: no degrees of freedom are left for ICC(2,1).
    table = np.array([[1.308, 4.051], [1.82, 3.522], [1.43, 3.653]])
    icc2, icc2_bounds, icc3, icc3_bounds = intraclass(table)
    assert icc2_bounds is None
    assert np.isfinite([icc2, icc3, *icc3_bounds]).all()
    draws = np.random.default_rng(0).integers(0, 4, (500, 3, 2)).astype(float)
    for found in map(intraclass, draws):
        assert all(v is None or np.isfinite(v).all() for v in found)


def test_bias_and_limits_by_hand():
    bias, interval, limits = bland_altman(np.array([1.0, 2.0, 3.0]))  # standard deviation 1
    assert bias == 2.0
    assert limits == pytest.approx((0.04, 3.96))
    assert interval == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5), rel=1e-6)
    assert bland_altman(np.array([5.0])) == (5.0, None, None)


def with_volumes(scores, reference, prediction, status="ok"):
    values = {**scores.metrics["a"]}
    values |= {"vol_ref_ml": Value(reference, status), "vol_pred_ml": Value(prediction, status)}
    return replace(scores, metrics={"a": values})


def test_cases_without_any_volume_are_left_out():
    cases = [
        with_volumes(case("1", a=0.9), 10.0, 12.0),
        with_volumes(case("2", a=0.9), 20.0, 21.0),
        with_volumes(case("3", a=0.9), 30.0, 33.0),
        with_volumes(case("4", a=PRED_EMPTY), 10.0, 0.0),
        with_volumes(case("5", a=BOTH_EMPTY), 0.0, 0.0),
        with_volumes(case("6", a=SKIPPED), None, None, SKIPPED),
    ]
    found = volume_agreement(cases, "a")
    assert (found.n, found.bias_ml) == (4, -1.0)
    assert found.limits_ml[0] < -1 < found.limits_ml[1]
    assert (found.icc2, found.icc3) == (None, None)  # four cases are too few
    assert volume_agreement(cases[4:], "a") is None
