"""What the finished folds say together."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from autoseg.errors import UsageError
from autoseg.evaluation.choice_text import format_crossvalidation
from autoseg.evaluation.crossvalidation import decide
from autoseg.evaluation.summary import summarise
from autoseg.evaluation.tables import write_summary
from autoseg.evaluation.trained import collect_models
from autoseg.labels import Labels
from tests.evaluation.scores import case

LABELS = Labels({"a": (1,)})
SPLIT = [["p", "q"], ["r", "s"], ["t"], ["u"], ["v"]]


def validate(models: Path, model: str, fold: str, **dice: float) -> None:
    cases = [case(name, a=value) for name, value in dice.items()]
    write_summary(models / model / "run" / f"fold_{fold}" / "validation", summarise(cases, LABELS))


def cross_validate(models: Path):
    return decide("HIPPO", collect_models(models, LABELS, SPLIT), LABELS, SPLIT)


def test_one_fold_of_five_is_enough_and_it_says_so(tmp_path):
    validate(tmp_path, "3d_fullres-S", "0", p=0.8, q=0.9)
    result = cross_validate(tmp_path)
    assert result.folds == {"3d_fullres-S": ("0",)}
    assert result.choice.models == ("3d_fullres-S",)
    text = format_crossvalidation(result)
    assert "HIPPO 3d_fullres-S, 1 of 5 folds (0)" in text
    assert re.search(r"^a +2 +0\.8500 ", text, re.MULTILINE)
    assert "best: 3d_fullres-S: the only model" in text


def test_models_are_compared_and_what_is_lacking_is_said(tmp_path):
    validate(tmp_path, "2d-S", "0", p=0.7, q=0.7)
    validate(tmp_path, "3d_fullres-S", "0", p=0.8)
    validate(tmp_path, "3d_fullres-S", "1", r=0.6, s=0.6)
    (tmp_path / "2d-S" / "run" / "fold_1").mkdir()
    (tmp_path / "2d-S" / "run" / "fold_full").mkdir()
    (tmp_path / "best.json").write_text("{}")
    result = cross_validate(tmp_path)
    assert result.summaries["3d_fullres-S"].mean["a"]["dice"].n == 3
    assert result.choice.evidence == pytest.approx({"2d-S": 0.7, "3d_fullres-S": 0.8})
    assert result.notes == (
        "2d-S: not validated yet: fold 1",
        "3d_fullres-S fold 0: 1 case not scored: q",
    )


def test_without_a_finished_fold_the_remedy_is_to_train(tmp_path):
    with pytest.raises(UsageError, match="run autoseg_train 3d_fullres 0"):
        cross_validate(tmp_path)
