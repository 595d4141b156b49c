"""Means: plain with their n, penalised, by tag, over targets."""

from __future__ import annotations

import pytest

from autoseg.evaluation.summary import mean_over_cases, summarise
from autoseg.labels import Labels
from autoseg.results import BOTH_EMPTY, PRED_EMPTY, REF_EMPTY
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
