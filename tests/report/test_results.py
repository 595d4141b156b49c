"""The cross-validation as tables: shares, folds that stand out, ends of the list of cases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autoseg.report.cases import about_cases, ends
from autoseg.report.learning import CURVES, MEAN, about_training, dice_curves
from autoseg.report.material import Material, Model, Run
from autoseg.report.means import case_means, means_table, share, success_table, tags_table
from autoseg.report.results import disagreement
from autoseg.results import BOTH_EMPTY, OK, REF_EMPTY, CaseScores, Mean, Summary, Value


def summary(dice: dict[str, tuple[float | None, ...]]) -> Summary:
    cases = tuple(
        CaseScores(
            case,
            {
                f"t{n}": {"dice": Value(value) if value is not None else Value(None, BOTH_EMPTY)}
                for n, value in enumerate(values)
            },
            (1, 1, 1),
            10.0,
        )
        for case, values in dice.items()
    )
    count = len(next(iter(dice.values())))
    return Summary(cases, {f"t{n}": {"dice": Mean(0, 1, 1, 0)} for n in range(count)}, {}, {})


def test_shares_count_cases_in_which_the_dice_is_defined():
    assert share(33, 40) == "82.5 % (33)"
    made = success_table(summary({"a": (0.9,), "b": (0.7,), "c": (0.2,), "d": (None,)}))
    assert "<td>t0</td><td>3</td><td>66.7 % (2)</td><td>66.7 % (2)</td><td>33.3 % (1)</td>" in made


def test_a_table_of_means_tells_what_was_not_simply_scored_and_the_penalised_distance():
    dice = Mean(0.4, 3, 4, 0.4, statuses={OK: 2, REF_EMPTY: 1, BOTH_EMPTY: 1}, ci95=(0.1, 0.7))
    means = {"dice": dice, "hd95": Mean(5.0, 2, 4, 90.0)}
    found = Summary((), {"t0": means}, means, {}, by_tag={"control": {"t0": means}})
    made = means_table(found)
    assert "<td>3 of 4</td><td>0.4000</td><td>0.100 to 0.700</td>" in made
    assert "<td>5.00 (n=2)</td><td>90.00</td>" in made
    assert "t0: 2 scored, 1 falsely found, 1 empty in both." in made
    assert '<td>control</td><td class="words">t0</td><td>3</td><td>0.4000</td>' in tags_table(found)
    assert tags_table(summary({"a": (0.9,)})) == ""


def test_an_interval_that_is_lacking_has_its_reason():
    dice = Mean(0.4, 2, 2, 0.4, ci95_method="none: fewer than 3 patients")
    found = Summary((), {"t0": {"dice": dice}}, {"dice": dice}, {})
    assert "Without an interval: fewer than 3 patients." in means_table(found)
    assert "penalised" not in means_table(found)


def test_a_fold_stands_out_beyond_the_noise_of_its_cases():
    assert (
        disagreement([0.5, 0.51, 0.52], [0.9, 0.91, 0.92]) == "worse by 0.4000: look at its cases"
    )
    assert disagreement([0.9, 0.91, 0.92], [0.5, 0.51, 0.52]).startswith("better")
    assert disagreement([0.5, 0.9, 0.7], [0.6, 0.8, 0.75]) == ""
    assert disagreement([0.1, 0.1], [0.9, 0.9, 0.9]) == "too few cases to tell"


def test_the_mean_of_a_case_is_over_the_targets_that_are_defined():
    means = case_means(summary({"a": (0.9, 0.5), "b": (None, 0.4), "c": (None, None)}))
    assert means == pytest.approx({"a": 0.7, "b": 0.4})


def test_no_case_is_among_the_best_and_the_worst():
    dice = {f"c{n}": (n / 10,) for n in range(5)}
    best, worst = ends(summary(dice))
    assert worst == ["c0", "c1", "c2"]
    assert best == ["c4", "c3"]


@pytest.mark.parametrize(("cases", "best"), [(1, False), (2, True)])
def test_where_all_cases_are_among_the_worst_there_is_no_table_of_the_best(cases, best):
    found = summary({f"case_{n}": (0.5 + n / 10,) for n in range(cases)})
    page = about_cases(Material("HIPPO", models=(Model("3d_fullres-S", {}, found),))).body
    assert "Worst cases" in page
    assert ("Best cases" in page) == best


def test_only_cases_that_hold_a_target_are_among_the_best_and_the_worst():
    found = summary({f"c{n}": (n / 10,) for n in range(1, 5)})
    control = CaseScores("control", {"t0": {"dice": Value(0.0, REF_EMPTY)}}, (1, 1, 1), 10.0)
    best, worst = ends(replace(found, cases=(*found.cases, control)))
    assert worst == ["c1", "c2"]
    assert best == ["c4", "c3"]


def test_what_single_folds_say_names_the_fold():
    runs = {
        "0": Run((), reasons=("Muon", "100 steps")),
        "1": Run((), reasons=("Muon", "150 steps")),
    }
    body = about_training(Material("D", models=(Model("3d-S", runs),))).body
    told = "<li>Muon</li><li>Fold 0: 100 steps</li><li>Fold 1: 150 steps</li>"
    assert f"<ul>{told}</ul>" in body


def test_of_many_curves_the_mean_and_the_lowest_at_the_end_are_drawn():
    rows = tuple(
        {"epoch": float(e), **{f"dice_t{n}": e / 10 + n / 100 for n in range(20)}} for e in (1, 2)
    )
    curves = dice_curves(rows)
    assert list(curves) == [MEAN, "t0", "t1", "t2", "t3", "t4", "t5"]
    assert len(curves) == CURVES
    assert curves[MEAN][1] == pytest.approx((2, 0.2 + 0.095))
