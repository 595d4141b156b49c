"""The price of choosing and reporting on the same cases."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.evaluation.optimism import estimate_optimism, make_parts
from tests.evaluation.scores import case

CASES = [case(name, a=0.5) for name in "pqrstu"]
DICE = {  # of two models; each is the better one in its own fold
    "one": dict(zip("pqrstu", [0.9, 0.9, 0.6, 0.6, 0.7, 0.7], strict=True)),
    "two": dict(zip("pqrstu", [0.6, 0.6, 0.9, 0.9, 0.6, 0.6], strict=True)),
}
FOLDS = dict(zip("pqrstu", "001122", strict=True))


def decide(ids):
    means = {name: np.mean([dice[i] for i in sorted(ids)]) for name, dice in DICE.items()}
    return max(means, key=means.get), {}


def score(decision, ids):
    return np.array([[DICE[decision[0]][i]] for i in ids])


def estimate(fold_of=FOLDS, cases=CASES, decide=decide):
    present = np.ones((len(cases), 1), dtype=bool)
    return estimate_optimism(
        ("one", {}), cases, present, fold_of, decide, score, lambda decision: decision[0]
    )


def test_each_fold_is_scored_with_what_the_others_would_choose():
    # Without fold 0: one 0.65, two 0.75 -> two, 0.6 there. Without 1: one, 0.6. Without 2: tie at
    # 0.75, the first -> one, 0.7.
    found = estimate()
    assert found.chosen == ("two", "one", "one")
    assert found.apparent == pytest.approx(4.4 / 6)
    assert found.nested == pytest.approx((2 * 0.6 + 2 * 0.6 + 2 * 0.7) / 6)
    assert (found.cases, found.parts, found.by) == (6, 3, "fold")


def test_a_choice_that_is_always_the_same_has_no_optimism():
    found = estimate(decide=lambda ids: ("one", {}))
    assert found.nested == found.apparent


def test_the_left_out_fold_has_no_say_also_in_cases_that_are_not_compared():
    seen = []

    def watch(ids):
        seen.append(set(ids))
        return "one", {}

    estimate({**FOLDS, "extra": "0"}, decide=watch)
    assert seen[0] == set("rstu")
    assert seen[1] == {*"pqtu", "extra"}


def test_a_single_fold_is_dealt_by_patients():
    cases = [case(name, a=0.5) for name in ("a1", "a2", "b", "c", "d", "e", "f")]
    cases = [
        type(c)(**{**c.__dict__, "group": "a"}) if c.case.startswith("a") else c for c in cases
    ]
    parts, by = make_parts(cases, dict.fromkeys((c.case for c in cases), "0"))
    assert by == "part of the patients"
    assert parts == [["a1", "a2", "f"], ["b"], ["c"], ["d"], ["e"]]


def test_one_case_says_nothing_about_optimism():
    assert estimate({"p": "0"}, CASES[:1]) is None


def test_nothing_is_estimated_where_nothing_can_be_chosen():
    assert estimate(decide=lambda ids: None) is None
