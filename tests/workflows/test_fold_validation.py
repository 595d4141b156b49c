"""Validations that are interrupted, and validations done again."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch

from autoseg.errors import CorruptError, DataError, Stopped, UsageError
from autoseg.files import read_json
from autoseg.planning.folds import Fold, load_folds, save_folds
from autoseg.results import Summary
from autoseg.training import trainer
from autoseg.workflows import fold_validation, train_fold, train_report, validation
from autoseg.workflows.crossvalidate import evaluate_crossvalidation
from autoseg.workflows.train import train
from autoseg.workspace import Workspace
from tests.workflows.prepared import make_workspace

QUICK = ("steps_per_epoch=5", "precision=float32")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Eight scans, three of them for validation in fold 0."""
    for module in (train_fold, train_report):
        monkeypatch.setattr(module, "draw", lambda history, path: None)
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    return prepare(tmp_path)


def prepare(root: Path) -> Workspace:
    workspace = make_workspace(root, cases=8)
    ids = [f"ball_{number}" for number in range(8)]
    save_folds(workspace.folds("BALLS"), [Fold(tuple(ids[3:]), tuple(ids[:3])),
                                          Fold(tuple(ids[:3]), tuple(ids[3:]))])  # fmt: skip
    return workspace


def quick(workspace: Workspace, fold: str = "0", **changes: object) -> Summary | None:
    arguments = {"budget": "1epochs", "settings": QUICK, "device": "cpu"} | changes
    return train(workspace, "3d_fullres", fold, **arguments)


def again(workspace: Workspace, fold: str = "0") -> Summary | None:
    return train(workspace, "3d_fullres", fold, device="cpu", validate=True)


def run_folder(workspace: Workspace, fold: str = "0") -> Path:
    return workspace.run("BALLS", "3d_fullres", "S", fold)


def content(folder: Path) -> dict[str, bytes]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def count_cases(monkeypatch: pytest.MonkeyPatch, stop_in: int | None = None) -> list[str]:
    """Note which cases are predicted; in the one of number `stop_in` a signal comes."""
    predicted: list[str] = []
    real = validation.validate_case

    def noting(predict, case, *arguments):
        predicted.append(case.id)
        if len(predicted) == stop_in:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(predict, case, *arguments)

    monkeypatch.setattr(validation, "validate_case", noting)
    return predicted


def test_an_interrupted_validation_goes_on_with_the_cases_that_are_left(
    workspace: Workspace, tmp_path: Path
):
    straight = prepare(tmp_path / "straight")
    quick(straight)
    with pytest.MonkeyPatch.context() as patch:
        count_cases(patch, stop_in=2)
        with pytest.raises(Stopped, match="finished cases are kept") as caught:
            quick(workspace)
    assert caught.value.exit_code == 75
    assert not (run_folder(workspace) / "validation").exists()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "update", lambda *_: pytest.fail("trained again"))
        predicted = count_cases(patch)
        assert quick(workspace) is not None
    assert len(predicted) == 2  # the second was not finished when the signal came
    assert not (run_folder(workspace) / "validation.part").exists()
    assert content(run_folder(workspace) / "validation") == content(
        run_folder(straight) / "validation"
    )


def test_a_damaged_note_of_a_finished_case_is_predicted_again(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
):
    with pytest.MonkeyPatch.context() as patch:
        count_cases(patch, stop_in=3)
        with pytest.raises(Stopped):
            quick(workspace)
    part = run_folder(workspace) / "validation.part"
    (part / "cases" / "ball_0.json").write_text("{")
    with pytest.MonkeyPatch.context() as patch:
        predicted = count_cases(patch)
        quick(workspace)
    assert predicted == ["ball_0", "ball_2"]
    assert "ball_0 is predicted again" in caplog.text


def test_a_validation_of_other_weights_begins_anew(workspace: Workspace):
    with pytest.MonkeyPatch.context() as patch:
        count_cases(patch, stop_in=3)
        with pytest.raises(Stopped):
            quick(workspace)
    run = run_folder(workspace)
    shutil.copytree(run / "validation.part", run.parent / "kept")
    quick(workspace, settings=(*QUICK, "seed=1"), overwrite=True)
    (run.parent / "kept").rename(run / "validation.part")
    with pytest.MonkeyPatch.context() as patch:
        predicted = count_cases(patch)
        again(workspace)
    assert len(predicted) == 3


def test_validating_again_gives_the_same_files_and_replaces_damaged_ones(workspace: Workspace):
    quick(workspace)
    run = run_folder(workspace)
    before, result = content(run / "validation"), read_json(run / "result.json")
    (run / "validation" / "summary.json").write_text("damaged")
    shutil.rmtree(run / "validation" / "scores")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "train", lambda *_: pytest.fail("trained again"))
        summary = again(workspace)
    assert summary is not None
    assert content(run / "validation") == before
    assert read_json(run / "result.json") == result
    assert evaluate_crossvalidation(workspace).folds["3d_fullres-S"] == ("0",)


def test_until_a_validation_is_done_again_the_former_one_stays(workspace: Workspace):
    quick(workspace)
    run = run_folder(workspace)
    before = content(run / "validation")
    with pytest.MonkeyPatch.context() as patch:
        count_cases(patch, stop_in=2)
        with pytest.raises(Stopped):
            again(workspace)
    assert content(run / "validation") == before
    with pytest.MonkeyPatch.context() as patch:
        predicted = count_cases(patch)
        again(workspace)
    assert len(predicted) == 2
    assert content(run / "validation") == before


def test_a_crash_while_the_result_is_put_in_place_is_mended_by_the_same_command(
    workspace: Workspace,
):
    quick(workspace)
    run = run_folder(workspace)
    before = content(run / "validation")
    rename, calls = Path.rename, []

    def failing(path: Path, target: Path) -> Path:
        if path.name == "result":
            calls.append(path)
            raise OSError("power cut")
        return rename(path, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "rename", failing)
        with pytest.raises(OSError, match="power cut"):
            again(workspace)
    with pytest.MonkeyPatch.context() as patch:
        predicted = count_cases(patch)
        again(workspace)
    assert predicted == []
    assert content(run / "validation") == before


def test_all_validates_every_trained_fold(workspace: Workspace):
    quick(workspace, "0")
    quick(workspace, "1")
    with pytest.MonkeyPatch.context() as patch:
        predicted = count_cases(patch)
        again(workspace, "all")
    assert len(predicted) == 8


def test_a_model_that_came_without_its_run_can_be_validated(workspace: Workspace):
    quick(workspace)
    shutil.rmtree(run_folder(workspace).parent)
    assert again(workspace) is not None
    result = read_json(run_folder(workspace) / "result.json")
    assert result["steps"] == 5
    with pytest.raises(UsageError, match="fold 0 of 3d_fullres-S is finished"):
        quick(workspace)


def test_what_cannot_be_validated_is_said(workspace: Workspace):
    with pytest.raises(UsageError, match="3d_fullres-S is not trained -> trained: none"):
        again(workspace)
    quick(workspace, "full")
    with pytest.raises(UsageError, match=r"fold 0 of 3d_fullres-S is not trained.*: full"):
        again(workspace)
    with pytest.raises(UsageError, match="fold full has no validation cases"):
        again(workspace, "full")
    with pytest.MonkeyPatch.context() as patch:
        count_cases(patch, stop_in=1)
        with pytest.raises(Stopped):
            quick(workspace)
    with pytest.raises(UsageError, match="fold 0 is not finished -> the command that trains it"):
        again(workspace)


def test_cases_that_a_fold_has_learnt_from_are_no_validation(workspace: Workspace):
    quick(workspace)
    path = workspace.folds("BALLS")
    save_folds(path, load_folds(path)[::-1])
    with pytest.raises(DataError, match="the folds have changed since fold 0 was trained"):
        again(workspace)


def test_another_plan_than_that_of_the_weights_is_refused(workspace: Workspace):
    quick(workspace)
    path = workspace.plan("BALLS")
    path.write_text(path.read_text().replace('"batch_size": 2', '"batch_size": 3'))
    assert again(workspace) is not None  # nothing of the network or its input
    card = workspace.bundle("BALLS", "3d_fullres", "S") / "fold_0" / "card.json"
    card.write_text(json.dumps({**read_json(card), "model_id": "another"}))
    with pytest.raises(CorruptError, match="plan"):
        again(workspace)


def test_the_speed_of_an_interrupted_validation_is_kept(workspace: Workspace):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_fold, "plan_time", lambda *_: (None, "fast"))
        count_cases(patch, stop_in=2)
        with pytest.raises(Stopped):
            quick(workspace)
    speeds = []
    with pytest.MonkeyPatch.context() as patch:
        make = fold_validation.make_predictor
        patch.setattr(fold_validation, "make_predictor",
                      lambda order, network, speed: speeds.append(speed) or make(
                          order, network, speed))  # fmt: skip
        quick(workspace)
    assert speeds == ["fast"]
