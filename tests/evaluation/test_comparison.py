"""Models on the same cases: what may be compared, what is said."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from autoseg.errors import DataError, UsageError
from autoseg.evaluation.comparison import Comparison, compare_summaries
from autoseg.evaluation.comparison_tables import format_comparison
from autoseg.evaluation.score import make_header
from autoseg.evaluation.summary import summarise
from autoseg.files import json_text
from autoseg.labels import Labels
from autoseg.records import from_json, to_json
from autoseg.results import BOTH_EMPTY, PRED_EMPTY, REF_EMPTY, Value
from tests.evaluation.scores import case

LABELS = Labels({"a": (1,), "b": (2,)})
RNG = np.random.default_rng(7)
BASE = RNG.uniform(0.6, 0.8, (24, 2))


def summary(dices, header=None, failed=None, names=None):
    cases = [
        case(name, a=a, b=b)
        for name, (a, b) in zip(names or (f"{i:02d}" for i in range(99)), dices, strict=False)
    ]
    return summarise(cases, LABELS, {**make_header(LABELS), **(header or {})}, failed)


def compare(*summaries, **options):
    named = dict(zip("ABCDE", summaries, strict=False))
    return compare_summaries(named, {name: f"runs/{name}" for name in named}, **options)


def shifted(a, b, noise=0.005):
    return BASE + np.array([a, b]) + RNG.normal(0, noise, BASE.shape)


# --- what may be compared ------------------------------------------------------------------------


def test_cases_that_not_all_have_are_listed():
    with pytest.raises(DataError) as error:
        compare(summary(BASE[:3]), summary(BASE[:2]), summary(BASE[:3]))
    assert "02: scored for A, C, not for B" in str(error.value)
    assert "expected the same cases, with the same references" in str(error.value)


def test_references_that_differ_are_found():
    other = summary(BASE[:2])
    metrics = {t: dict(values) for t, values in other.cases[1].metrics.items()}
    metrics["b"]["n_ref"] = Value(51)
    other = replace(other, cases=(other.cases[0], replace(other.cases[1], metrics=metrics)))
    with pytest.raises(DataError, match="01: the reference of b has 50 voxels for A, 51 for B"):
        compare(summary(BASE[:2]), other)


def test_scores_of_lesions_by_other_rules_are_not_compared():
    def with_lesions(volume):
        found = summary(BASE[:8], {"lesions": {"min_volume_mm3": volume}})
        cases = [
            replace(c, metrics={t: {**m, "lesion_f1": m["dice"]} for t, m in c.metrics.items()})
            for c in found.cases
        ]
        return replace(found, cases=tuple(cases))

    one, other = with_lesions(0.0), with_lesions(10.0)
    assert compare(one, other).tests  # Dice is the same by any rules
    assert compare(one, one, metrics=["lesion_f1"]).tests
    with pytest.raises(DataError, match="A was scored with lesions"):
        compare(one, other, metrics=["lesion_f1"])


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"mode": "voxel"}, "A was scored with mode surfel, B with voxel"),
        ({"nsd_tolerance_mm": {"a": 1.0, "b": 2.0}}, "A was scored with nsd_tolerance_mm"),
        ({"targets": {"a": [1]}}, "A was scored with targets"),
        ({"both_empty": "one"}, "A was scored with both_empty null, B with one"),
    ],
)
def test_settings_must_agree(header, message):
    with pytest.raises(DataError, match=message):
        compare(summary(BASE[:2]), summary(BASE[:2], header))


def test_a_model_whose_evaluation_failed_is_not_compared():
    with pytest.raises(DataError, match="B: 1 case could not be scored: 07"):
        compare(summary(BASE[:2]), summary(BASE[:2], failed={"07": "unreadable"}))


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("dise", "A has no metric 'dise' -> did you mean 'dice'?"),
        ("n_ref", "'n_ref' has no better end"),
        ("rve", "'rve' has no better end"),
    ],
)
def test_a_metric_must_be_known_and_have_a_better_end(metric, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        compare(summary(BASE), summary(BASE), metrics=[metric])


# --- what is said --------------------------------------------------------------------------------


def test_a_better_model_is_named_with_its_targets():
    found = compare(summary(BASE), summary(shifted(0.05, 0.0)), metrics=["dice"])
    assert [test.target for test in found.tests] == ["a", "b"]
    better, same = found.tests
    assert better.p_holm < 0.001 < 0.05 < same.p_holm
    assert better.p_holm == pytest.approx(2 * better.p)
    text = format_comparison(found)
    assert "signed-rank test (exact), two-sided, p corrected by Holm for 2 tests:\n" in text
    assert "  B is better than A: a (Dice)\n" in text
    assert "conditional on one training run of each model" in text


def test_a_comparison_survives_json():
    found = compare(summary(BASE), summary(shifted(0.05, 0.0)), summary(shifted(0.1, 0.0)))
    assert from_json(Comparison, json.loads(json_text(to_json(found)))) == found


def test_the_mean_within_cases_has_a_row_without_a_test():
    found = compare(summary(BASE), summary(shifted(0.05, 0.01)), metrics=["dice"])
    assert found.overall[0].difference == pytest.approx(
        sum(test.difference for test in found.tests) / 2
    )
    text = format_comparison(found)
    assert re.search(r"^mean within cases  Dice +24 .* - +-$", text, re.MULTILINE)


def test_equal_models_do_not_differ():
    found = compare(summary(BASE), summary(BASE))
    assert {(test.p, test.method) for test in found.tests} == {(1.0, "no difference")}
    assert "no difference has p < 0.05" in format_comparison(found)


def test_exchanging_the_models_turns_the_differences_round():
    one, other = summary(BASE), summary(shifted(0.02, 0.0))
    there, back = compare(one, other).tests[0], compare(other, one).tests[0]
    assert there.difference == pytest.approx(-back.difference)
    assert (there.better, there.worse) == (back.worse, back.better)
    assert there.p == pytest.approx(back.p)


def test_few_cases_say_that_nothing_can_be_shown():
    text = format_comparison(compare(summary(BASE[:5]), summary(BASE[:5] + 0.1)))
    assert "n = 5, the smallest possible p is 0.0625" in text
    assert "with fewer than 6 no difference can reach 0.05" in text
    assert "Wilcoxon" not in text


@pytest.mark.parametrize(
    ("header", "options", "who"),
    [
        ({}, {"tuned": True}, "a model was chosen"),
        ({"rules": {"a": ["largest"]}}, {}, "what is done to the label maps of B was chosen"),
    ],
)
def test_models_chosen_on_these_cases_get_no_p(header, options, who):
    found = compare(summary(BASE), summary(BASE, header), **options)
    assert all(test.p is None for test in found.tests)
    text = format_comparison(found)
    assert f"No p values: {who} on these cases, so they cannot test it." in text
    assert "conditional" not in text


def test_misses_are_shown_where_there_are_any():
    first = [(PRED_EMPTY, 0.8)] * 8
    found = compare(summary(first), summary([(0.7, 0.8)] * 8))
    text = format_comparison(found)
    assert re.search(r"^a +missed +8 +8 +0 +0 +0\.0078 +0\.0", text, re.MULTILINE)
    assert "distances to nothing counted at their worst, the means are 100.00 (A)" in text
    clean = format_comparison(compare(summary([(0.7, 0.8)] * 8), summary([(0.7, 0.9)] * 8)))
    assert "No model missed a target, or found one where none is." in clean


def test_controls_alone_are_compared_by_their_false_alarms():
    clean, alarms = [(BOTH_EMPTY, BOTH_EMPTY)] * 8, [(REF_EMPTY, BOTH_EMPTY)] * 8
    found = compare(summary(clean), summary(alarms), summary(clean))
    assert (found.tests, found.rankings) == ((), ())
    text = format_comparison(found)
    assert re.search(r"^a +false alarm +8 +0 +8 +0 +0\.0078 ", text, re.MULTILINE)
    assert "Wilcoxon" not in text


def test_every_mean_has_its_n():
    dices = [(PRED_EMPTY, 0.8), (0.7, BOTH_EMPTY), (0.6, 0.7)]
    text = format_comparison(compare(summary(dices), summary(dices)))
    rows = [re.split(r"\s{2,}", line) for line in text.splitlines() if re.match("[ab]  ", line)]
    found = {(row[0], row[1]): row[2] for row in rows if row[1] in ("Dice", "HD95 mm")}
    assert found == {
        ("a", "Dice"): "3", ("a", "HD95 mm"): "2 of 3",
        ("b", "Dice"): "2 of 3", ("b", "HD95 mm"): "2 of 3",
    }  # fmt: skip


def test_three_models_are_ranked_two_ways():
    found = compare(summary(BASE), summary(shifted(0.1, 0.1)), summary(shifted(0.05, 0.05)))
    assert [ranking.models for ranking in found.rankings] == [("B", "C", "A")] * 2
    assert len(found.tests) == 3 * 2 * 3  # pairs, targets, metrics
    text = format_comparison(found)
    assert "ranking: rank, then mean over cases, targets and metrics" in text
    assert "ranking: mean over cases, then rank by target and metric" in text
    assert "Kendall's tau" in text
    assert compare(summary(BASE), summary(BASE)).rankings == ()


def test_in_ranks_rightly_nothing_is_best_and_a_miss_is_worst():
    nothing = summary([(0.9, BOTH_EMPTY)] * 4)
    alarm = summary([(0.9, REF_EMPTY)] * 3 + [(0.9, BOTH_EMPTY)])
    missed = summary([(PRED_EMPTY, BOTH_EMPTY)] * 4)
    found = compare(nothing, alarm, missed, metrics=["hd95"])
    assert found.rankings[0].models[-1] == "C"
    # b is in no reference, so it is not ranked: a alone, where the first two are alike.
    assert found.rankings[0].ranks == (1.5, 1.5, 3.0)


@pytest.mark.parametrize(
    ("style", "sign"), [("markdown", "| target | metric |"), ("latex", "\\midrule")]
)
def test_the_tables_can_be_put_into_a_paper(style, sign):
    assert sign in format_comparison(compare(summary(BASE), summary(BASE)), style)


def test_different_versions_are_spoken_of():
    found = compare(summary(BASE), summary(BASE, {"autoseg": "9.9"}))
    assert "Scored by different versions of autoseg: A " in format_comparison(found)
