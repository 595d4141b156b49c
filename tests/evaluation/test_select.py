"""Pooling folds and choosing the best model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autoseg.errors import DataError
from autoseg.evaluation.select import choose_best, pool_folds
from autoseg.evaluation.summary import summarise
from autoseg.labels import Labels
from tests.evaluation.scores import case

LABELS = Labels({"a": (1,)})


def summary(header=None, **dice):
    return summarise([case(name, a=value) for name, value in dice.items()], LABELS, header)


def test_folds_are_pooled_over_cases_not_over_their_means():
    pooled = pool_folds({"0": summary(x=0.9), "1": summary(y=0.3, z=0.6)}, LABELS, "2d-S")
    assert pooled.mean["a"]["dice"].mean == pytest.approx(0.6)
    assert pooled.mean["a"]["dice"].n == 3
    assert pooled.header["folds"] == ["0", "1"]


def test_a_pooled_case_tells_where_its_label_map_lies():
    fold = summary(x=0.9, y=0.8)
    fold = replace(fold, cases=(replace(fold.cases[0], prediction_file="x.nii.gz"), fold.cases[1]))
    found = pool_folds({"3": fold}, LABELS, "2d-S")
    files = [case.prediction_file for case in found.cases]
    assert files == ["2d-S/run/fold_3/validation/x.nii.gz", ""]


def test_a_case_of_two_folds_is_refused():
    with pytest.raises(DataError, match="'x' was validated in fold 0 and in fold 3"):
        pool_folds({"0": summary(x=0.9), "3": summary(x=0.8)}, LABELS, "2d-S")


def test_folds_scored_in_different_ways_are_not_pooled():
    folds = {"0": summary({"mode": "surfel"}, x=0.9), "1": summary({"mode": "voxel"}, y=0.8)}
    with pytest.raises(DataError, match="fold 1 was scored with mode voxel, fold 0 with surfel"):
        pool_folds(folds, LABELS, "2d-S")


def test_the_best_is_chosen_over_the_cases_that_all_have():
    one = summary(x=0.8, y=0.8, easy=1.0)  # better in the mean only because of the easy case
    other = summary(x=0.82, y=0.82)
    choice = choose_best({"2d-S": one, "3d_fullres-S": other}, LABELS)
    assert choice.models == ("3d_fullres-S",)
    assert choice.evidence == pytest.approx({"2d-S": 0.8, "3d_fullres-S": 0.82})
    assert "over the 2 cases that all models have scored (2d-S 0.8000)" in choice.reasons[0]


def test_one_model_is_chosen_and_says_so():
    choice = choose_best({"2d-S": summary(x=0.8)}, LABELS)
    assert choice.models == ("2d-S",)
    assert "the only model, mean foreground Dice 0.8000 over 1 case." in choice.reasons[0]


def test_models_without_a_common_case_are_not_compared():
    choice = choose_best({"2d-S": summary(x=0.9), "3d-S": summary(y=0.1, z=0.1)}, LABELS)
    assert choice.models == ("3d-S",)
    assert "cannot be compared" in choice.reasons[0]


def test_a_tie_goes_to_the_first():
    choice = choose_best({"2d-S": summary(x=0.8), "3d-S": summary(x=0.8)}, LABELS)
    assert choice.models == ("2d-S",)


def test_a_pair_must_add_more_than_the_margin_to_the_best_single_model():
    singles = {"2d-S": summary(x=0.7), "3d-S": summary(x=0.8)}
    choice = choose_best(singles | {"2d-S + 3d-S": summary(x=0.82)}, LABELS)
    assert choice.models == ("2d-S", "3d-S")
    assert choice.evidence["2d-S + 3d-S"] == pytest.approx(0.82)
    choice = choose_best(singles | {"2d-S + 3d-S": summary(x=0.8009)}, LABELS)
    assert choice.models == ("3d-S",)
    assert "by +0.0009: not more than the 0.001 that a second model must add" in choice.reasons[1]


def test_the_choice_can_be_made_among_some_cases():
    models = {"2d-S": summary(x=0.7, y=0.9), "3d-S": summary(x=0.8, y=0.5)}
    assert choose_best(models, LABELS).models == ("2d-S",)
    assert choose_best(models, LABELS, frozenset({"x"})).models == ("3d-S",)


def test_an_incomplete_model_is_not_chosen():
    broken = summarise([case("x", a=0.9)], LABELS, {}, failed={"y": "unreadable"})
    assert choose_best({"2d-S": broken, "3d-S": summary(x=0.5)}, LABELS).models == ("3d-S",)
    assert choose_best({"2d-S": broken}, LABELS).models == ()
