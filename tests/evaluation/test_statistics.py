"""Statistics against SciPy, against counting by hand, and against their own laws."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from autoseg.evaluation.statistics import (
    doubled_ranks,
    draw_patients,
    hodges_lehmann,
    holm,
    mcnemar,
    mean_intervals,
    resampled_means,
    signed_rank,
)

RNG = np.random.default_rng(3)


def names(n):
    return [f"{i:04d}" for i in range(n)]


# --- bootstrap -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "method"), [(19, "percentile"), (20, "bca"), (60, "bca")])
def test_an_interval_is_scipys_from_the_same_indices(n, method):
    values = RNG.gamma(2.0, size=n)
    ours = mean_intervals(values[:, None], draw_patients(names(n), 2000, seed=5))[0]
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=2000, method=method, rng=np.random.default_rng(5)
    ).confidence_interval
    assert ours.method == method
    assert ours.bounds == pytest.approx((theirs.low, theirs.high), rel=1e-12)


def test_a_patient_with_several_cases_is_drawn_whole():
    values = np.array([1.0, 3.0, 10.0])
    draws = draw_patients(["p", "p", "q"], 300)
    found = set(np.round(resampled_means(values[:, None], draws)[:, 0], 12))
    assert found == {2.0, 10.0, round(14 / 3, 12)}  # pp, qq, and both: the mean is over cases


def test_null_values_neither_enter_a_mean_nor_count_as_patients():
    values = np.array([[1.0, 2.0, 3.0, 4.0, np.nan, np.nan], [1.0, 2.0, 3.0, 4.0, 5.0, np.nan]]).T
    few, enough = mean_intervals(values, draw_patients(names(6), 500))
    assert (few.bounds, few.method) == (None, "none: 4 patients, fewer than 5")
    assert enough.method == "percentile"
    assert 1 <= enough.bounds[0] <= 3 <= enough.bounds[1] <= 5


@pytest.mark.filterwarnings("error")
def test_values_that_do_not_vary_have_an_interval_of_no_width():
    ours = mean_intervals(np.full((25, 1), 0.9), draw_patients(names(25), 200))[0]
    assert ours.bounds == pytest.approx((0.9, 0.9))


def test_many_columns_give_what_each_gives_alone():
    values = RNG.normal(size=(30, 150))
    values[RNG.uniform(size=values.shape) < 0.1] = np.nan
    values[:, 140] = np.nan
    draws = draw_patients(names(30), 300)
    together = mean_intervals(values, draws)
    assert len(together) == 150
    assert together[140].bounds is None
    for i in (0, 63, 64, 149):
        alone = mean_intervals(values[:, [i]], draws)[0]
        assert together[i].bounds == pytest.approx(alone.bounds, rel=1e-12)


def test_a_seed_repeats_and_columns_share_their_draws():
    draws = draw_patients(names(30), 400, seed=1)
    assert np.array_equal(draws.counts, draw_patients(names(30), 400, seed=1).counts)
    assert not np.array_equal(draws.counts, draw_patients(names(30), 400, seed=2).counts)
    assert (draws.counts.sum(axis=1) == 30).all()
    values = RNG.normal(size=30)
    means = resampled_means(np.stack([values, values + 1], axis=1), draws)
    assert means[:, 1] - means[:, 0] == pytest.approx(1.0)


def test_chunks_draw_what_one_draw_would():
    indices = np.random.default_rng(9).integers(0, 7, (1203, 7))
    expected = np.stack([(indices == i).sum(axis=1) for i in range(7)], axis=1)
    assert np.array_equal(draw_patients(names(7), 1203, seed=9).counts, expected)


@pytest.mark.slow
def test_bca_intervals_of_a_skewed_mean_cover_about_nine_in_ten():
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(400):
        values = rng.exponential(size=(40, 1))
        low, high = mean_intervals(values, draw_patients(names(40), 1000, seed))[0].bounds
        hits += low <= 1.0 <= high
    assert 0.90 <= hits / 400 <= 0.97


# --- signed ranks --------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [5, 6, 13, 14, 30, 50])
def test_without_ties_the_exact_p_is_scipys(n):
    differences = RNG.normal(0.4, 1.0, n)
    ours = signed_rank(differences)
    assert (ours.method, ours.n, ours.zeros) == ("exact", n, 0)
    theirs = stats.wilcoxon(differences, zero_method="pratt", method="exact").pvalue
    assert ours.p == pytest.approx(theirs, abs=1e-10)


def test_ties_and_zeros_are_exact_up_to_fifty_pairs():
    differences = np.array([0.0, 0.0, 1.0, 1.0, -1.0, 2.0, 2.0, 3.0, -0.5, 4.0])
    ranks = stats.rankdata(np.abs(differences))[2:]
    seen = ranks[differences[2:] > 0].sum()
    sums = np.array([ranks @ signs for signs in product([0, 1], repeat=8)])
    expected = 2 * min(np.mean(sums <= seen), np.mean(sums >= seen))
    assert signed_rank(differences).p == pytest.approx(expected, abs=1e-12)
    theirs = stats.wilcoxon(differences, zero_method="pratt").pvalue
    assert signed_rank(differences).p == pytest.approx(theirs, abs=1e-10)


@pytest.mark.parametrize("decimals", [6, 1])
def test_above_fifty_pairs_it_is_scipys_normal_approximation(decimals):
    differences = np.round(RNG.normal(0.2, 1.0, 80), decimals)  # one decimal: ties and zeros
    ours = signed_rank(differences)
    theirs = stats.wilcoxon(differences, zero_method="pratt", method="asymptotic").pvalue
    assert ours.method == "normal"
    assert ours.p == pytest.approx(theirs, abs=1e-10)


def test_pairs_that_do_not_differ_leave_nothing_to_find():
    nothing = signed_rank(np.zeros(12))
    assert (nothing.p, nothing.method) == (1.0, "no difference")


@pytest.mark.parametrize("n", [1, 2, 5, 6, 8])
def test_the_smallest_possible_p_is_that_of_all_signs_alike(n):
    ours = signed_rank(np.arange(1.0, n + 1))
    assert ours.p == min(1.0, 2 / 2**n)


@pytest.mark.parametrize("zeros", [36, 360])
def test_four_differing_pairs_among_zeros_cannot_be_significant(zeros):
    few = signed_rank(np.array([0.0] * zeros + [1.0, 2.0, 3.0, 4.0]))
    assert (few.p, few.method) == (0.125, "exact")


def test_rounding_does_not_break_ties():
    broken = np.array([0.3 - 0.2, 0.1, -(0.7 - 0.6), 0.2, 0.5, 0.6])
    whole = np.array([1.0, 1.0, -1.0, 2.0, 5.0, 6.0])
    assert signed_rank(broken).p == signed_rank(whole).p


def test_the_sign_of_all_differences_does_not_matter():
    differences = np.round(RNG.normal(size=33), 1)
    assert signed_rank(differences).p == pytest.approx(signed_rank(-differences).p)


def test_ranks_are_scipys():
    values = np.array([3.0, 1.0, 1.0, 2.0, 3.0, 3.0, 9.0])
    assert (doubled_ranks(values) / 2).tolist() == stats.rankdata(values).tolist()


def test_hodges_lehmann_by_hand():
    assert hodges_lehmann(np.array([1.0, 2.0, 6.0])) == 2.75  # of 1, 1.5, 2, 3.5, 4, 6


def test_hodges_lehmann_shifts_with_its_data():
    values = RNG.normal(size=21)
    assert hodges_lehmann(values + 5) == pytest.approx(hodges_lehmann(values) + 5)


# --- counts and corrections ----------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), [(0, 5), (3, 9), (4, 4), (1, 0), (30, 12)])
def test_mcnemar_is_the_binomial_test(first, second):
    theirs = stats.binomtest(first, first + second).pvalue
    assert mcnemar(first, second) == pytest.approx(theirs, abs=1e-12)


def test_mcnemar_without_discordant_pairs_is_one():
    assert mcnemar(0, 0) == 1.0


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_leaves_out_what_was_not_tested_and_stays_below_one():
    assert holm([None, 0.6, 0.02, None, 0.9]) == [None, 1.0, 0.06, None, 1.0]
    assert holm([]) == []
