"""Two models in one metric: differences, directions, patients, misses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from autoseg.evaluation.calibration import CALIBRATION_METRICS
from autoseg.evaluation.lesions import BRATS_METRICS, LESION_METRICS
from autoseg.evaluation.metrics import METRICS, VERTEX_ONLY
from autoseg.evaluation.paired import (
    FALSE_ALARM,
    LOWER_IS_BETTER,
    MISSED,
    NO_BETTER_END,
    adjusted,
    compare_case_means,
    compare_misses,
    compare_values,
)
from autoseg.evaluation.statistics import draw_patients
from autoseg.evaluation.summary import patients_of
from autoseg.evaluation.topology import TOPOLOGY_METRICS
from autoseg.results import BOTH_EMPTY, PRED_EMPTY, REF_EMPTY
from tests.evaluation.scores import case

PAIR = ("A", "B")


def both(first, second, groups=None):
    """Return the cases of two models from their Dice, or their statuses."""
    scored = {}
    for name, dices in zip(PAIR, (first, second), strict=True):
        cases = [case(f"{i:02d}", a=dice, diagonal=100.0) for i, dice in enumerate(dices)]
        if groups:
            cases = [replace(c, group=g) for c, g in zip(cases, groups, strict=True)]
        scored[name] = cases
    return scored


def values(scored, metric="dice", tuned=False):
    draws = draw_patients(patients_of(scored["A"]), 500)
    return compare_values(scored, PAIR, "a", metric, draws, tuned)


def test_a_difference_by_hand():
    test = values(both([0.5, 0.6, 0.7, 0.8], [0.6, 0.6, 0.6, 0.9]))
    assert (test.n, test.of, test.patients) == (4, 4, 4)
    assert (test.mean_first, test.mean_second) == (pytest.approx(0.65), pytest.approx(0.675))
    assert test.difference == pytest.approx(0.025)
    assert test.median == pytest.approx(0.05)
    assert (test.better, test.equal, test.worse) == (2, 1, 1)


def test_a_shorter_distance_is_better():
    test = values(both([0.5, 0.6], [0.7, 0.6]), "hd95")  # 5 and 4 mm, then 3 and 4 mm
    assert test.difference == pytest.approx(-1.0)
    assert (test.better, test.equal, test.worse) == (1, 1, 0)


def test_p_is_that_of_the_signed_ranks():
    rng = np.random.default_rng(1)
    first = rng.uniform(0.6, 0.9, 24)
    second = first + rng.normal(0.01, 0.02, 24)
    test = values(both(first, second))
    assert test.method == "exact"
    assert test.p == pytest.approx(stats.wilcoxon(second, first, method="exact").pvalue, abs=1e-10)
    assert test.ci95[0] < test.difference < test.ci95[1]


@pytest.mark.parametrize("n", [1, 5])
def test_too_few_pairs_have_no_p_and_say_what_could_be_reached(n):
    test = values(both([0.5] * n, [0.6] * n))
    assert test.p is None
    assert test.method == f"none: n = {n}, the smallest possible p is {2 / 2**n:.3g}"


def test_without_a_pair_nothing_is_claimed():
    test = values(both([BOTH_EMPTY], [REF_EMPTY]))
    assert (test.n, test.p, test.method, test.difference) == (0, None, "none: n = 0", None)
    assert (test.median, test.hodges_lehmann, test.ci95) == (None, None, None)


def test_models_chosen_on_these_cases_are_not_tested():
    test = values(both([0.5] * 8, [0.6] * 8), tuned=True)
    assert (test.p, test.method) == (None, "none: chosen on these cases")
    assert test.difference == pytest.approx(0.1)


def test_distances_are_paired_where_both_are_defined_and_penalised_where_not():
    test = values(both([0.9, PRED_EMPTY, 0.8], [0.8, 0.5, PRED_EMPTY]), "hd95")
    assert (test.n, test.of) == (1, 3)
    assert test.penalised_first == pytest.approx((1 + 100 + 2) / 3)
    assert test.penalised_second == pytest.approx((2 + 5 + 100) / 3)


def test_a_patient_with_many_scans_counts_once():
    first, second = [0.5] * 12, [0.6] * 10 + [0.4, 0.45]
    alone = values(both(first, second))
    grouped = values(both(first, second, ["p"] * 10 + ["q", "r"]))
    assert (alone.patients, grouped.patients, grouped.n) == (12, 3, 12)
    assert grouped.p is None  # three patients
    assert grouped.median == pytest.approx(-0.05)  # of +0.1, -0.1 and -0.05
    assert grouped.difference == alone.difference  # a mean over cases


def test_case_means_are_over_the_targets_that_both_have():
    first = [case("1", a=0.9, b=0.5), case("2", a=0.8, b=PRED_EMPTY, diagonal=50.0)]
    second = [case("1", a=0.7, b=0.7), case("2", a=0.9, b=0.6, diagonal=50.0)]
    draws = draw_patients(["1", "2"], 100)
    scored = {"A": first, "B": second}
    dice = compare_case_means(scored, PAIR, ["a", "b"], "dice", draws)
    assert (dice.mean_first, dice.mean_second) == (pytest.approx(0.55), pytest.approx(0.725))
    assert (dice.p, dice.method, dice.n) == (None, "none: not tested", 2)
    hd95 = compare_case_means(scored, PAIR, ["a", "b"], "hd95", draws)
    # Case 1: 3 mm in both; case 2: 2 and 1 mm, of a alone.
    assert (hd95.mean_first, hd95.mean_second) == (pytest.approx(2.5), pytest.approx(2.0))
    assert hd95.penalised_first == pytest.approx((3 + (2 + 50) / 2) / 2)
    assert hd95.better == 1


HIGHER_IS_BETTER = {
    "dice", "iou", "nsd", "sensitivity", "precision", "specificity", "vs", "mcc", "kappa",
    "cldice", "lesion_f1", "lesion_pq", "lesion_sq", "lesion_rq", "lesion_sensitivity",
    "lesion_precision", "lesion_tp", "lesion_brats_dice",
}  # fmt: skip


def test_every_metric_has_a_better_end_or_none():
    # Who adds a metric says here or in paired.py which way is better.
    optional = {*LESION_METRICS, *BRATS_METRICS, *TOPOLOGY_METRICS, *CALIBRATION_METRICS}
    ends = [HIGHER_IS_BETTER, set(LOWER_IS_BETTER), set(NO_BETTER_END)]
    for metric in {*METRICS, *VERTEX_ONLY, *optional}:
        assert sum(metric in end for end in ends) == 1, metric


# --- misses --------------------------------------------------------------------------------------


def test_misses_and_false_alarms_are_counted_apart():
    first = [0.9, PRED_EMPTY, PRED_EMPTY, BOTH_EMPTY, REF_EMPTY]
    second = [PRED_EMPTY, 0.5, PRED_EMPTY, REF_EMPTY, REF_EMPTY]
    missed = compare_misses(both(first, second), PAIR, "a", MISSED, tuned=False)
    assert (missed.of, missed.only_first, missed.only_second, missed.both) == (3, 1, 1, 1)
    assert missed.p == 1.0
    alarms = compare_misses(both(first, second), PAIR, "a", FALSE_ALARM, tuned=False)
    assert (alarms.of, alarms.only_first, alarms.only_second, alarms.both) == (2, 0, 1, 1)


def test_many_misses_of_one_model_alone_are_significant():
    test = compare_misses(both([PRED_EMPTY] * 8, [0.5] * 8), PAIR, "a", MISSED, tuned=False)
    assert test.p == pytest.approx(2 / 2**8)
    assert compare_misses(both([0.9], [0.8]), PAIR, "a", MISSED, tuned=False).p is None
    again = compare_misses(both([PRED_EMPTY] * 8, [0.5] * 8), PAIR, "a", MISSED, tuned=True)
    assert again.p is None


def test_a_patient_is_missed_once_however_many_scans():
    scored = both([PRED_EMPTY] * 3, [0.5] * 3, ["p", "p", "q"])
    test = compare_misses(scored, PAIR, "a", MISSED, tuned=False)
    assert (test.of, test.only_first) == (2, 2)


def test_p_values_are_adjusted_together():
    tests = [values(both([0.5] * n, np.linspace(0.51, 0.6, n))) for n in (8, 6, 3)]
    adjusted_p = [test.p_holm for test in adjusted(tests)]
    assert adjusted_p == [pytest.approx(4 / 2**8), pytest.approx(2 / 2**6), None]
