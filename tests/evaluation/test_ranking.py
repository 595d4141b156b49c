"""Ranks by hand, Kendall's tau against SciPy, stability."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from autoseg.evaluation.ranking import kendall_tau, rank_models, ranks_within

RNG = np.random.default_rng(4)


def test_ranks_within_a_case_by_hand():
    worth = np.array([[0.9, 0.5, np.inf], [0.8, 0.5, -np.inf], [0.7, 0.6, np.nan]])
    ranks = ranks_within(worth)
    assert ranks[:, 0].tolist() == [1, 2, 3]
    assert ranks[:, 1].tolist() == [2.5, 2.5, 1]
    assert np.isnan(ranks[:, 2]).all()  # one model has no part in it: nobody is ranked


def test_ranks_are_scipys():
    worth = np.round(RNG.normal(size=(6, 40)), 1)
    assert np.array_equal(ranks_within(worth), stats.rankdata(-worth, axis=0))


@pytest.mark.parametrize("decimals", [6, 0])
def test_tau_is_scipys(decimals):
    first, second = np.round(RNG.normal(size=(2, 9)), decimals)
    assert kendall_tau(first, second) == pytest.approx(stats.kendalltau(first, second).statistic)


def test_tau_of_nothing_but_ties_is_not_defined():
    assert kendall_tau(np.ones(3), np.arange(3.0)) is None


def names(n):
    return [str(i) for i in range(n)]


def test_a_model_that_always_wins_is_first_in_every_resample():
    values = np.array([0.7, 0.9, 0.8])[:, None, None] + RNG.normal(0, 1e-3, (1, 30, 2))
    for ranking in rank_models("ABC", values, values, names(30)):
        assert ranking.models == ("B", "C", "A")
        assert ranking.ranks == (1.0, 2.0, 3.0)
        assert ranking.scores == (1.0, 2.0, 3.0)
        assert ranking.first_share == (1.0, 0.0, 0.0)
        assert ranking.ranks_ci95 == ((1.0, 1.0), (2.0, 2.0), (3.0, 3.0))
        assert (ranking.tau_mean, ranking.tau_ci95, ranking.n) == (1.0, (1.0, 1.0), 30)


def test_the_two_ways_can_disagree():
    # A is a little better in most cases, and fails badly in one.
    values = np.array([[0.9] * 9 + [0.0], [0.8] * 10, [0.1] * 10])[:, :, None]
    by_rank, by_mean = rank_models("ABC", values, values, names(10))
    assert by_rank.models[0] == "A"
    assert by_rank.scores[0] == pytest.approx((9 * 1 + 3) / 10)
    assert by_mean.models[0] == "A"  # 0.81 and 0.80
    worse = values.copy()
    worse[0, :9] = 0.85  # mean 0.765
    assert rank_models("ABC", worse, worse, names(10))[1].models == ("B", "A", "C")


def test_equal_models_share_their_rank_and_are_in_order_of_their_names():
    values = np.stack([np.full((12, 1), dice) for dice in (0.8, 0.8, 0.9)])
    for ranking in rank_models("BAC", values, values, names(12)):
        assert ranking.models == ("C", "A", "B")
        assert ranking.ranks == (1.0, 2.5, 2.5)


def test_models_that_differ_by_noise_are_not_stable():
    values = RNG.normal(0.8, 0.1, (4, 12, 1))
    for ranking in rank_models("ABCD", values, values, names(12)):
        assert ranking.tau_mean < 0.95
        assert max(high - low for low, high in ranking.ranks_ci95) >= 2


def test_patients_are_drawn_whole():
    values = RNG.normal(size=(3, 10, 1))
    ranking = rank_models("ABC", values, values, ["p"] * 5 + ["q"] * 5)[0]
    assert ranking.n == 2


def test_a_column_that_a_case_does_not_have_takes_no_part():
    values = np.array([[[0.9, 0.1], [0.9, np.nan]], [[0.8, 0.2], [0.8, np.nan]]])
    ranking = rank_models("AB", values, values, names(2))[0]
    assert ranking.scores == (1.5, 1.5)  # first in one column, second in the other
