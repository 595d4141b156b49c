"""From validation scores of two models to best.json, and from there to predictions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from autoseg.evaluation.choice_text import format_crossvalidation
from autoseg.evaluation.select import PLUS
from autoseg.evaluation.summary import summarise
from autoseg.evaluation.tables import read_summary, write_summary
from autoseg.image import Geometry, Orientation
from autoseg.inference.scores import FOLDER, ScoreKeeper, read_index
from autoseg.labels import Labels
from autoseg.preprocessing.native import read_native
from autoseg.preprocessing.prepare import Frame
from autoseg.preprocessing.store import open_prepared
from autoseg.records import from_json
from autoseg.results import Choice
from autoseg.workflows.crossvalidate import evaluate_crossvalidation
from autoseg.workflows.pairs import Decoder
from autoseg.workflows.predict_choice import choose_models
from autoseg.workflows.validation import score, write_label_map
from autoseg.workspace import Workspace
from tests.inference.conftest import make_bundle
from tests.workflows.prepared import LABELS, make_plan, make_workspace

A, B = "2d-S", "3d_fullres-S"
BOTH = A + PLUS + B


def validate(workspace: Workspace, model: str, wrong: dict[str, int], keep: bool = True) -> None:
    """Leave validations of folds 0 and 1 behind: the truth, with target 1 unsure on one side.

    `wrong[case]`: the half of the scan, 0 or 1, where the model does not see its target 1.
    """
    folds = json.loads(workspace.folds("BALLS").read_text())["folds"]
    for fold in (0, 1):
        configuration = "3d_fullres"
        output = workspace.models("BALLS") / model / "run" / f"fold_{fold}" / "validation"
        keeper, scores = ScoreKeeper(output / FOLDER, LABELS), []
        for name in folds[fold]["validation"]:
            case = open_prepared(workspace.prepared("BALLS") / configuration, name)
            logits = scores_of(np.asarray(case.labels), wrong.get(name))
            keeper.keep(name, logits, case.frame)
            label_map = LABELS.decode(logits)
            write_label_map(output / f"{name}.nii.gz", label_map, case.frame.source, LABELS)
            scores.append(
                score(label_map, case, LABELS, workspace.prepared("BALLS"), f"{name}.nii.gz")
            )
        if keep:
            keeper.close()
        write_summary(output, summarise(scores, LABELS))


def scores_of(indices: np.ndarray, half: int | None) -> np.ndarray:
    """Logits (3, z, y, x): 9 for what is there; where a target is not seen, background by 1."""
    logits = np.stack([np.where(indices == value, 9.0, 0.0) for value in range(3)])
    if half is not None:
        side = np.zeros(indices.shape, dtype=bool)
        side[:, indices.shape[1] // 2 :] = True
        missed = (side if half else ~side) & (indices == 1)
        logits[0][missed], logits[1][missed] = 1.0, 0.0
    return logits.astype(np.float32)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path, cases=10)


def test_two_models_with_other_errors_are_better_together(workspace, caplog):
    names = [f"ball_{n}" for n in range(10)]
    validate(workspace, A, dict.fromkeys(names, 0))
    validate(workspace, B, dict.fromkeys(names, 1))
    result = evaluate_crossvalidation(workspace)
    # Where one model is sure (9) and the other unsure (1), the mean of probabilities follows it.
    assert result.choice.models == (A, B)
    assert result.choice.evidence[BOTH] == 1
    assert result.choice.evidence[A] < 0.9
    estimate = result.choice.estimate
    assert (estimate.apparent, estimate.nested, estimate.parts, estimate.by) == (1, 1, 2, "fold")
    assert set(estimate.chosen) == {BOTH}
    folder = workspace.models("BALLS") / "ensembles" / f"{A}+{B}"
    assert read_summary(folder / "summary.json").mean["core"]["dice"].mean == 1
    text = format_crossvalidation(result)
    assert "BALLS 2d-S + 3d_fullres-S, 2 of 5 folds (0, 1)" in text
    assert "more than the 0.001 that a second model must add" in text
    assert "left out of the choice (optimism +0.0000; 2 parts, the same choice each time)" in text
    stored = from_json(Choice, json.loads(workspace.best("BALLS").read_text()))
    assert stored == result.choice

    caplog.set_level("INFO", "autoseg")
    caplog.clear()
    evaluate_crossvalidation(workspace)
    assert "scoring" not in caplog.text  # read from where it was written
    validate(workspace, B, dict.fromkeys(names, 0))
    again = evaluate_crossvalidation(workspace)
    assert "scoring 2d-S + 3d_fullres-S together on 4 cases" in caplog.text
    assert again.choice.models == (A,)


def test_without_kept_scores_a_pair_is_not_scored_and_that_is_said(workspace):
    validate(workspace, A, {})
    validate(workspace, B, {}, keep=False)
    result = evaluate_crossvalidation(workspace)
    assert result.choice.models == (A,)
    assert f"{BOTH}: not scored as an ensemble: {B} has not kept" in "\n".join(result.notes)


def add_specks(workspace: Workspace, model: str) -> None:
    """Add a second component to every predicted label map of a model, and score it."""
    for folder in (workspace.models("BALLS") / model / "run").glob("fold_*/validation"):
        scores = []
        for path in sorted(folder.glob("*.nii.gz")):
            name = path.name.removesuffix(".nii.gz")
            case = open_prepared(workspace.prepared("BALLS") / "3d_fullres", name)
            label_map = read_native(workspace.prepared("BALLS"), name)
            label_map[0, 0, :6] = 1
            write_label_map(path, label_map, case.frame.source, LABELS)
            scores.append(score(label_map, case, LABELS, workspace.prepared("BALLS"), path.name))
        write_summary(folder, summarise(scores, LABELS))


def test_a_rule_is_adopted_stored_and_followed(workspace):
    validate(workspace, B, {})
    add_specks(workspace, B)
    make_bundle(workspace.models("BALLS") / B / "bundle", ("0", "1"), make_plan())
    result = evaluate_crossvalidation(workspace)
    assert result.choice.rules == {"*": ({"rule": "largest_component"},)}
    assert result.choice.estimate.apparent == 1
    assert result.choice.evidence[B] < 0.98
    assert result.final.mean["core"]["dice"].mean == 1
    assert result.final.mean["core"]["hd95"].mean == 0
    best = read_summary(workspace.models("BALLS") / "best" / "summary.json")
    assert best.header["rules"] == {"*": [{"rule": "largest_component"}]}
    text = format_crossvalidation(result)
    assert "rule: all targets: largest component: Dice core" in text
    assert "-> 1.0000 (n=4)" in text

    def chosen(**asked):
        asked = {"configuration": None, "size": None} | asked
        return choose_models(workspace, dataset=None, folds=None, bundles=None, **asked)

    assert [rule.name for rule in chosen().rules["*"]] == ["largest_component"]
    assert chosen(configuration="3d_fullres").rules == {}  # not the choice, though the same model


def test_rules_are_not_tried_where_label_maps_are_gone(workspace):
    validate(workspace, B, {})
    for path in (workspace.models("BALLS") / B).glob("run/*/validation/*.nii.gz"):
        path.unlink()
    result = evaluate_crossvalidation(workspace)
    assert result.choice.rules == {}
    assert any("no rules tried, 4 label maps are gone" in note for note in result.notes)


def test_one_fold_says_so_and_estimates_from_its_patients(workspace):
    validate(workspace, B, {})
    for path in (workspace.models("BALLS") / B / "run" / "fold_1" / "validation").iterdir():
        if path.is_file():
            path.unlink()
    result = evaluate_crossvalidation(workspace)
    text = format_crossvalidation(result)
    assert "BALLS 3d_fullres-S, 1 of 5 folds (0)" in text
    assert "3d_fullres-S: not validated yet: fold 1" in text
    assert result.choice.estimate.by == "part of the patients"
    assert "rules: none of those tried helped" in text


def test_kept_scores_are_decoded_with_other_thresholds(tmp_path):
    regions = Labels({"kidney": (1, 2), "tumour": (2,)})
    whole = ((0, 2), (0, 3), (0, 4))
    frame = Frame(Geometry((2, 3, 4)), Orientation(), (0, 1, 2), whole, (2, 3, 4), (1, 1, 1),
                  (1, 1, 1))  # fmt: skip
    logits = np.full((2, 2, 3, 4), -20.0, dtype=np.float32)
    logits[0, 1], logits[1, 1, 1] = 3.0, -0.5  # a tumour with a probability of 0.38
    folder = tmp_path / "scores"
    keeper = ScoreKeeper(folder, regions)
    keeper.keep("x", logits, frame)
    keeper.close()
    decoder = Decoder(({"x": (folder, read_index(folder).cases["x"])},), regions)
    assert np.unique(decoder("x")).tolist() == [0, 1]
    found = decoder("x", (0.5, 0.3))
    assert found[1, 1].tolist() == [2] * 4
    assert found[1, 0].tolist() == [1] * 4
    assert not found[0].any()
