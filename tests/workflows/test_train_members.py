"""Several seeds of a fold, snapshots on the way, trackers: what they leave behind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from autoseg.bundle_reader import load_bundle, open_bundle
from autoseg.errors import UsageError
from autoseg.results import Summary
from autoseg.training.trackers import TrackedRun
from autoseg.workflows import train_fold, train_report
from autoseg.workflows.crossvalidate import evaluate_crossvalidation
from autoseg.workflows.train import train
from autoseg.workspace import Workspace
from tests.workflows.prepared import make_workspace

QUICK = ("steps_per_epoch=5", "precision=float32")
told: list[tuple[int, Mapping[str, float]]] = []


class Memory:
    """A tracker that remembers for the test."""

    def __init__(self, run: TrackedRun) -> None:
        runs.append(run)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        told.append((step, values))

    def close(self) -> None:
        told.append((-1, {}))


runs: list[TrackedRun] = []


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    for module in (train_fold, train_report):
        monkeypatch.setattr(module, "draw", lambda history, path: None)
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    return make_workspace(tmp_path)


def quick(workspace: Workspace, fold: str = "0", **changes: object) -> Summary | None:
    arguments = {"budget": "2epochs", "settings": QUICK, "device": "cpu"} | changes
    return train(workspace, "3d_fullres", fold, **arguments)


def bundle_of(workspace: Workspace) -> Path:
    return workspace.bundle("BALLS", "3d_fullres", "S")


def run_folder(workspace: Workspace, member: str = "0") -> Path:
    return workspace.run("BALLS", "3d_fullres", "S", member)


def test_every_seed_trains_a_member_and_prediction_takes_them_all(
    workspace: Workspace, tmp_path: Path
):
    quick(workspace, further_seeds=[3, 4])
    bundle = load_bundle(bundle_of(workspace))
    assert list(bundle.weights) == ["0", "0-seed3", "0-seed4"]
    assert bundle.config.seed == 0
    cards = open_bundle(bundle_of(workspace)).fold_cards
    assert [cards[name].card.get("seed") for name in bundle.weights] == [None, 3, 4]
    alone = make_workspace(tmp_path / "alone")
    quick(alone, settings=(*QUICK, "seed=3"))
    expected = load_bundle(bundle_of(alone)).weights["0"]
    for name, weight in bundle.weights["0-seed3"].items():
        assert torch.equal(weight, expected[name])
    assert list(load_bundle(bundle_of(workspace), ["0"]).weights) == ["0"]


def test_no_case_counts_twice_and_the_spread_over_seeds_is_told(workspace: Workspace):
    quick(workspace)
    before = evaluate_crossvalidation(workspace).summaries["3d_fullres-S"]
    quick(workspace, further_seeds=[1])
    quick(workspace, "1-seed1")
    result = evaluate_crossvalidation(workspace)
    after = result.summaries["3d_fullres-S"]
    assert [case.case for case in after.cases] == [case.case for case in before.cases]
    assert result.folds["3d_fullres-S"] == ("0",)
    (note,) = [note for note in result.notes if "seed" in note]
    assert note.startswith("3d_fullres-S, fold 0: mean foreground Dice ")
    assert "with the first seed, which counts" in note
    assert "standard deviation over seeds 0." in note


def test_a_run_that_was_moved_aside_is_no_fold(workspace: Workspace):
    quick(workspace)
    quick(workspace, overwrite=True)
    assert evaluate_crossvalidation(workspace).folds["3d_fullres-S"] == ("0",)


def test_a_fold_that_learns_otherwise_than_the_one_before_is_warned_about(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
):
    quick(workspace, settings=(*QUICK, "target_weights=balanced", "learning_rate=0.002"))
    same = ("target_weights=balanced", "learning_rate=0.002", "patience=9")
    quick(workspace, "1", budget="3epochs", settings=(*QUICK, *same))
    assert "of this model was trained with" not in caplog.text
    quick(workspace, "0-seed1", settings=(*QUICK, *same, "loss=ce", "mirror_axes=0,1"))
    fact = "the last fold of this model was trained with loss=dice_ce, mirror_axes=None; fold"
    assert f"{fact} 0-seed1 is not, and all are averaged and judged as one model" in caplog.messages
    quick(workspace, "2")
    assert "was trained with learning_rate=0.002, loss=ce, target_weights=" in caplog.text


def test_full_models_of_several_seeds_stay_apart_from_the_cross_validation(workspace: Workspace):
    quick(workspace, "full", budget="1epochs", further_seeds=[1])
    assert open_bundle(bundle_of(workspace)).folds == ("full", "full-seed1")
    quick(workspace, budget="1epochs")
    assert open_bundle(bundle_of(workspace)).folds == ("0",)


@pytest.mark.parametrize(
    ("fold", "changes", "message"),
    [
        ("0", {"further_seeds": [1, 1]}, "--seed 0 1 1, expected different numbers"),
        ("0", {"further_seeds": [0]}, "--seed 0 0, expected different numbers"),
        ("0-seed0", {}, "--seed 0 0, expected different numbers"),
        ("0-seed1", {"further_seeds": [2]}, "fold 0-seed1 names its seed"),
        ("7-seed1", {}, "there is no fold '7'"),
        ("0-sed1", {}, "there is no fold '0-sed1'"),
        ("full", {"settings": (*QUICK, "patience=3")}, "patience=3 looks at validation cases"),
        ("0", {"settings": (*QUICK, "keep_every=0")}, "keep_every = 0, expected more than zero"),
        ("0", {"settings": (*QUICK, "trackers=tensorbord")}, "did you mean 'tensorboard'"),
    ],
)
def test_what_cannot_be_meant_is_said_first(
    workspace: Workspace, fold: str, changes: dict, message: str
):
    with pytest.raises(UsageError, match=message):
        quick(workspace, fold, **changes)
    assert not workspace.models("BALLS").exists()


def test_further_seeds_need_the_seed_that_the_fold_was_trained_with(workspace: Workspace):
    quick(workspace, settings=(*QUICK, "seed=5"))
    with pytest.raises(UsageError, match=r"finished with seed 5, not 0.*--seed 5 0"):
        quick(workspace, further_seeds=[1])


def test_snapshots_are_bundles_of_their_own(workspace: Workspace):
    quick(workspace, budget="5epochs", settings=(*QUICK, "keep_every=2"))
    folder = run_folder(workspace) / "snapshots"
    assert sorted(path.name for path in folder.glob("epoch_*")) == ["epoch_0002", "epoch_0004"]
    early, late = (load_bundle(folder / name) for name in ("epoch_0002", "epoch_0004"))
    final = load_bundle(bundle_of(workspace))
    assert early.config.steps == 10
    for one, other in ((early, late), (late, final)):
        weights = one.weights["0"], other.weights["0"]
        assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_snapshot_that_cannot_be_written_costs_a_warning(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
):
    (run_folder(workspace) / "snapshots").mkdir(parents=True)
    (run_folder(workspace) / "snapshots" / "epoch_0001").write_text("in the way")
    assert quick(workspace, settings=(*QUICK, "keep_every=1")) is not None
    assert "no snapshot of epoch 1: " in caplog.text
    assert "no snapshot of epoch 2" not in caplog.text


def test_a_tracker_hears_of_every_epoch_and_of_the_final_validation(workspace: Workspace):
    told.clear()
    runs.clear()
    name = "tests.workflows.test_train_members:Memory"
    summary = quick(workspace, settings=(*QUICK, f"trackers={name}"))
    assert summary is not None
    assert [step for step, _ in told] == [5, 10, 10, -1]
    assert {"train_loss", "validation_loss", "learning_rate", "dice_core"} <= told[0][1].keys()
    assert told[2][1]["final_dice"] == summary.foreground_mean["dice"].mean
    (run,) = runs
    assert (run.name, run.dataset, run.step) == ("BALLS 3d_fullres-S fold 0", "BALLS", 0)
    assert run.id == (run_folder(workspace) / "trackers" / "id").read_text()
    # Nothing of it goes into a bundle that is mailed.
    assert json.loads((bundle_of(workspace) / "train.json").read_text())["trackers"] == []
