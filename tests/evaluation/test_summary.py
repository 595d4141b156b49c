"""Means: plain with their n, penalised, by tag, over targets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autoseg.evaluation.means import mean_over_cases
from autoseg.evaluation.summary import summarise, worst_cases
from autoseg.labels import Labels
from autoseg.results import BOTH_EMPTY, PRED_EMPTY, REF_EMPTY, Value
from tests.evaluation.scores import case

LABELS = Labels({"a": (1,), "b": (2,)})


def test_null_values_do_not_enter_the_plain_mean_and_n_says_so():
    cases = [case("1", a=0.9), case("2", a=0.7), case("3", a=BOTH_EMPTY), case("4", a=PRED_EMPTY)]
    dice = mean_over_cases(cases, "a", "dice")
    assert (dice.mean, dice.n, dice.of) == (pytest.approx(1.6 / 3), 3, 4)
    assert dice.penalised == dice.mean
    assert dice.median == 0.7
    assert dice.statuses == {"ok": 2, "both_empty": 1, "pred_empty": 1}


def test_a_missed_distance_counts_as_the_diagonal_in_the_penalised_mean_only():
    cases = [
        case("1", a=0.9),
        case("2", a=PRED_EMPTY, diagonal=60.0),
        case("3", a=REF_EMPTY, diagonal=80.0),
        case("4", a=BOTH_EMPTY, diagonal=1000.0),
    ]
    hd95 = mean_over_cases(cases, "a", "hd95")
    assert (hd95.mean, hd95.n, hd95.of) == (pytest.approx(1.0), 1, 4)
    assert hd95.penalised == pytest.approx((1 + 60 + 80) / 3)


def test_a_mean_of_nothing_is_null():
    nothing = mean_over_cases([case("1", a=BOTH_EMPTY)], "a", "dice")
    assert (nothing.mean, nothing.n, nothing.penalised, nothing.std) == (None, 0, None, None)


def test_a_target_without_reference_is_left_out_of_the_foreground_mean():
    cases = [case("1", a=0.8, b=BOTH_EMPTY), case("2", a=0.6, b=REF_EMPTY)]
    summary = summarise(cases, LABELS)
    assert summary.foreground_mean["dice"].mean == pytest.approx(0.7)
    assert (summary.foreground_mean["dice"].n, summary.foreground_mean["dice"].of) == (1, 1)
    assert summary.targets_without_reference == ("b",)
    assert summary.mean["b"]["dice"].n == 1  # the false alarm is still there to be read


def test_the_foreground_mean_is_over_targets_not_over_all_values():
    cases = [
        case("1", a=0.9, b=0.5),
        case("2", a=0.9, b=BOTH_EMPTY),
        case("3", a=0.9, b=BOTH_EMPTY),
    ]
    assert summarise(cases, LABELS).foreground_mean["dice"].mean == pytest.approx(0.7)


def test_cases_are_grouped_by_their_tags():
    cases = [
        case("1", a=0.8),
        case("2", a=0.6),
        case("3", ("control",), a=REF_EMPTY),
        case("4", ("control", "site-B"), a=BOTH_EMPTY),
    ]
    summary = summarise(cases, Labels({"a": (1,)}))
    assert list(summary.by_tag) == ["", "control", "site-B"]
    assert summary.by_tag[""]["a"]["dice"].mean == pytest.approx(0.7)
    control = summary.by_tag["control"]["a"]
    assert (control["dice"].mean, control["dice"].n, control["dice"].of) == (0.0, 1, 2)
    assert control["fp"].mean == 20  # 40 voxels in one of two cases
    assert summary.mean["a"]["dice"].n == 3
    assert summarise(cases[:2], Labels({"a": (1,)})).by_tag == {}


def test_with_a_failed_case_there_are_no_means_unless_allowed():
    cases = [case("1", a=0.8)]
    labels = Labels({"a": (1,)})
    summary = summarise(cases, labels, {}, failed={"2": "unreadable"})
    assert (summary.mean, summary.foreground_mean) == ({}, {})
    assert summary.header["complete"] is False
    allowed = summarise(cases, labels, {}, failed={"2": "unreadable"}, allow_missing=True)
    assert allowed.mean["a"]["dice"].n == 1
    assert allowed.header["complete"] is False


def test_cases_are_in_order_of_their_names():
    summary = summarise([case("b", a=0.1), case("a", a=0.2)], Labels({"a": (1,)}))
    assert [scores.case for scores in summary.cases] == ["a", "b"]


# --- intervals, spread, cases --------------------------------------------------------------------


def test_spread_and_extremes_by_hand():
    cases = [case(name, a=dice) for name, dice in zip("pqrs", (0.5, 0.9, 0.6, 0.8), strict=True)]
    dice = mean_over_cases(cases, "a", "dice")
    assert dice.quartiles == pytest.approx((0.575, 0.825))
    assert (dice.minimum, dice.minimum_case, dice.maximum) == (0.5, "p", 0.9)


def test_scores_have_an_interval_and_counts_have_none():
    cases = [case(str(i), a=0.5 + i / 100) for i in range(30)]
    summary = summarise(cases, Labels({"a": (1,)}))
    dice = summary.mean["a"]["dice"]
    low, high = dice.ci95
    assert low < dice.mean < high
    assert dice.ci95_method == "bca"
    assert summary.header["ci95"]["patients"] == 30
    assert summary.mean["a"]["tp"].ci95 is None
    assert summary.case_mean["dice"].ci95 == dice.ci95  # one target: the same values, same draws
    assert summarise(cases, Labels({"a": (1,)}), intervals=False).mean["a"]["dice"].ci95 is None


def test_the_unit_is_the_patient():
    cases = [replace(case(str(i), a=0.5 + i / 100), group=f"p{i // 10}") for i in range(30)]
    summary = summarise(cases, Labels({"a": (1,)}))
    assert summary.mean["a"]["dice"].n == 30
    assert summary.mean["a"]["dice"].ci95_method == "none: 3 patients, fewer than 5"
    assert summary.header["ci95"]["patients"] == 3


def test_the_mean_within_cases_weighs_every_case_the_same():
    cases = [
        case("1", a=0.9, b=0.5),
        case("2", a=0.9, b=BOTH_EMPTY),
        case("3", a=0.9, b=BOTH_EMPTY),
    ]
    summary = summarise(cases, LABELS)
    within = summary.case_mean["dice"]
    assert (within.mean, within.n) == (pytest.approx((0.7 + 0.9 + 0.9) / 3), 3)
    assert summary.foreground_mean["dice"].mean == pytest.approx(0.7)


def test_within_a_case_a_missed_distance_is_its_diagonal_in_the_penalised_mean():
    within = summarise([case("1", a=0.9, b=PRED_EMPTY, diagonal=50.0)], LABELS).case_mean["hd95"]
    assert (within.mean, within.penalised) == (pytest.approx(1.0), pytest.approx(25.5))


def test_the_worst_cases_come_first_and_undefined_ones_not_at_all():
    cases = [case("1", a=0.9), case("2", a=0.2), case("3", a=BOTH_EMPTY), case("4", a=PRED_EMPTY)]
    assert [found.case for found in worst_cases(cases, "a")] == ["4", "2", "1"]
    assert [found.case for found in worst_cases(cases, "a", 1)] == ["4"]


def test_a_metric_that_only_some_cases_have_is_averaged_over_those():
    more = case("1", a=0.9)
    more = replace(more, metrics={"a": {**more.metrics["a"], "ece": Value(0.25)}})
    ece = summarise([more, case("2", a=0.9)], Labels({"a": (1,)})).mean["a"]["ece"]
    assert (ece.mean, ece.n, ece.of, ece.statuses) == (0.25, 1, 2, {"ok": 1, "skipped": 1})


def test_a_summary_of_nothing_has_no_means():
    summary = summarise([], LABELS)
    assert summary.mean == {"a": {}, "b": {}}
    assert summary.foreground_mean["dice"].mean is None
