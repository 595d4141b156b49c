"""The verb `train`, on balls of a few hundred voxels."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from autoseg.bundle_reader import load_bundle
from autoseg.errors import CorruptError, DataError, LockedError, ResourceError, Stopped, UsageError
from autoseg.locks import locked
from autoseg.plan_file import load_plan, save_plan
from autoseg.preprocessing.manifest import recipe_of
from autoseg.results import Summary
from autoseg.training import trainer
from autoseg.workflows import fold_validation, method, train_fold, train_report, validation
from autoseg.workflows.train import train
from autoseg.workspace import Workspace
from tests.workflows.prepared import make_plan, make_workspace

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("steps_per_epoch=5", "precision=float32")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    for module in (train_fold, train_report):
        monkeypatch.setattr(module, "draw", lambda history, path: path.write_bytes(b"picture"))
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    return make_workspace(tmp_path)


def quick(workspace: Workspace, fold: str | int = 0, **changes: object) -> Summary | None:
    arguments = {"budget": "2epochs", "settings": QUICK, "device": "cpu"} | changes
    return train(workspace, "3d_fullres", fold, **arguments)


def run_folder(workspace: Workspace, fold: int | str = 0) -> Path:
    return workspace.run("BALLS", "3d_fullres", "S", str(fold))


def weights_of(workspace: Workspace, fold: int | str = 0) -> bytes:
    bundle = workspace.bundle("BALLS", "3d_fullres", "S")
    return (bundle / f"fold_{fold}" / "weights.safetensors").read_bytes()


def test_a_fold_leaves_weights_history_log_picture_predictions_and_scores(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", "autoseg")
    summary = quick(workspace)
    run = run_folder(workspace)
    assert {path.name for path in run.iterdir()} == {
        ".autoseg.lock", "history.csv", "log.txt", "progress.png", "result.json", "validation",
    }  # fmt: skip
    held_out = json.loads(workspace.folds("BALLS").read_text())["folds"][0]["validation"]
    assert summary is not None
    assert [case.case for case in summary.cases] == held_out
    assert {path.name for path in (run / "validation").iterdir()} == {
        "metrics.csv", "scores", "summary.json", *(f"{case}.nii.gz" for case in held_out),
    }  # fmt: skip
    rows = list(csv.DictReader((run / "history.csv").open()))
    assert [row["step"] for row in rows] == ["5", "10"]
    assert {"dice_core", "dice_shell", "train_loss", "validation_loss"} <= rows[0].keys()
    bundle = load_bundle(workspace.bundle("BALLS", "3d_fullres", "S"))
    assert bundle.config.steps == 10
    assert bundle.config.optimizer == "muon"
    first = caplog.messages[:6]
    assert first[0] == "dataset BALLS, 3d_fullres, fold 0: 4 cases, 1 for validation"
    assert first[1].startswith("size S (the default on a CPU): patch 8x8x8, batch 2; device: CPU")
    assert first[2] == "network plain_unet (features 4-8): 2,143 parameters"
    assert first[3] == "float32: set by hand"
    assert first[4] == "2 epochs of 5 steps, as asked"
    assert first[5].startswith("10 steps -> Muon at 0.003")
    assert "10 steps -> Muon" in (run / "log.txt").read_text()


def test_two_seeded_runs_give_the_same_bytes_and_another_seed_does_not(
    workspace: Workspace, tmp_path: Path
):
    other = make_workspace(tmp_path / "other")
    quick(workspace)
    quick(other)
    assert weights_of(workspace) == weights_of(other)
    quick(other, settings=(*QUICK, "seed=1"), overwrite=True)
    assert weights_of(workspace) != weights_of(other)


def test_a_finished_fold_is_refused_and_overwriting_keeps_the_old_run(workspace: Workspace):
    quick(workspace)
    with pytest.raises(UsageError, match=r"fold 0 of 3d_fullres-S is finished.*--overwrite"):
        quick(workspace)
    quick(workspace, overwrite=True)
    backup = [p for p in run_folder(workspace).parent.iterdir() if ".bak-" in p.name]
    assert len(backup) == 1
    assert (backup[0] / "result.json").exists()


def test_two_batches_of_one_accumulated_train_like_one_batch_of_two(
    workspace: Workspace, tmp_path: Path
):
    # Per-sample Dice and cross-entropy; the same patches and augmentation.
    other = make_workspace(tmp_path / "other")
    settings = (*QUICK, "optimizer=sgd", "learning_rate=0.01")
    quick(workspace, settings=settings)
    quick(other, settings=(*settings, "batch_size=1", "accumulate=2"))
    whole, parts = (load_bundle(w.bundle("BALLS", "3d_fullres", "S")) for w in (workspace, other))
    for name, weight in whole.weights["0"].items():
        torch.testing.assert_close(parts.weights["0"][name], weight, rtol=1e-3, atol=1e-5)
    assert not all(torch.equal(parts.weights["0"][n], w) for n, w in whole.weights["0"].items())


def test_checkpointing_trains_the_same_weights(workspace: Workspace, tmp_path: Path):
    other = make_workspace(tmp_path / "other")
    quick(workspace)
    quick(other, settings=(*QUICK, "checkpointing=true"))
    assert weights_of(workspace) == weights_of(other)


def stop_after(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    update = trainer.update

    def stopping(training, task, batch, learn):
        update(training, task, batch, learn)
        if training.step == step - 1:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(trainer, "update", stopping)


def test_sigterm_saves_and_the_same_command_ends_with_the_same_bytes(
    workspace: Workspace, tmp_path: Path
):
    other = make_workspace(tmp_path / "other")
    quick(workspace)
    with pytest.MonkeyPatch.context() as patch:
        stop_after(7, patch)
        with pytest.raises(Stopped, match=r"SIGTERM after step 7; everything is saved") as caught:
            quick(other)
    assert caught.value.exit_code == 75
    with pytest.raises(UsageError, match=r"other settings is there \(seed=0\)"):
        quick(other, settings=(*QUICK, "seed=3"))
    quick(other)
    assert weights_of(workspace) == weights_of(other)
    assert not (run_folder(other) / "resume").exists()


def test_more_epochs_may_be_asked_of_an_unfinished_run(workspace: Workspace):
    with pytest.MonkeyPatch.context() as patch:
        stop_after(7, patch)
        with pytest.raises(Stopped):
            quick(workspace)
    quick(workspace, budget="4epochs")
    rows = list(csv.DictReader((run_folder(workspace) / "history.csv").open()))
    assert [row["step"] for row in rows] == ["5", "10", "15", "20"]
    assert float(rows[-1]["learning_rate"]) < float(rows[-2]["learning_rate"])


def test_a_crash_while_validating_repeats_the_validation_only(workspace: Workspace):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            train_fold, "validate_fold", lambda *_: (_ for _ in ()).throw(OSError("power cut"))
        )
        with pytest.raises(OSError, match="power cut"):
            quick(workspace)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "update", lambda *_: pytest.fail("trained again"))
        assert quick(workspace) is not None


def test_a_changed_plan_does_not_continue_an_old_run(workspace: Workspace):
    with pytest.MonkeyPatch.context() as patch:
        stop_after(7, patch)
        with pytest.raises(Stopped):
            quick(workspace)
    with pytest.raises(CorruptError, match="the plan or the folds have changed"):
        quick(workspace, settings=(*QUICK, "patch_size=4x4x4"))


def test_a_plan_with_another_batch_does_not_continue_an_old_run(workspace: Workspace):
    with pytest.MonkeyPatch.context() as patch:
        stop_after(7, patch)
        with pytest.raises(Stopped):
            quick(workspace)
    path = workspace.plan("BALLS")
    path.write_text(path.read_text().replace('"batch_size": 2', '"batch_size": 3'))
    with pytest.raises(CorruptError, match="the plan or the folds have changed"):
        quick(workspace)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fold": 7}, "no fold '7'.*one of 0, 1, 2, 3, 4, all, full"),
        ({"size": "Q"}, "size 'Q' is not planned"),
        ({"dataset": "BALS"}, "did you mean 'BALLS'"),
        ({"settings": ("epohcs=3",)}, "did you mean 'epochs'"),
        ({"settings": ("loss=dise",)}, "unknown loss 'dise'"),
        ({"settings": ("patch_size=9x8x8",)}, r"patch_size\[0\] = 9.*a multiple of 2"),
        ({"settings": ("recipe=quick",)}, "unknown recipe 'quick'"),
        ({"settings": ("seed=-1",)}, "seed = -1, expected from 0 to"),
        ({"settings": ("foreground_fraction=1.5",)}, "foreground_fraction = 1.5.*from 0 to 1"),
        ({"settings": ("mirror_axes=3",)}, "mirror_axes = .*some of 0, 1 and 2"),
        ({"budget": "soon"}, "--budget soon"),
        ({"budget": "20m", "settings": ("steps=9",)}, "--budget 20m and steps=9 both say how long"),
        ({"settings": ("epochs=3",)}, "--budget 2epochs and epochs=3 both say how long to train"),
        ({"device": "tpu"}, "unknown device|not supported"),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_begins(
    workspace: Workspace, changes: dict, message: str
):
    with pytest.raises(UsageError, match=message):
        quick(workspace, **changes)
    assert not workspace.models("BALLS").exists()


def test_data_prepared_for_another_plan_are_refused(workspace: Workspace):
    plan = make_plan()
    moved = dataclasses.replace(plan.intensities[0], mean=7.0)
    save_plan(workspace.plan("BALLS"), dataclasses.replace(plan, intensities=(moved,)))
    with pytest.raises(DataError, match=r"plan was changed.*run autoseg_plan again"):
        quick(workspace)


def test_two_trainings_of_one_fold_do_not_meet(workspace: Workspace):
    with locked(run_folder(workspace)), pytest.raises(LockedError):
        quick(workspace)


def test_all_trains_what_is_missing_and_full_uses_every_case(workspace: Workspace):
    quick(workspace, 1, budget="1epochs")
    before = weights_of(workspace, 1)
    quick(workspace, "all", budget="1epochs")
    assert weights_of(workspace, 1) == before
    with pytest.raises(UsageError, match="fold 0, 1, 2, 3, 4 of 3d_fullres-S is finished"):
        quick(workspace, "all", budget="1epochs")
    assert quick(workspace, "full", budget="1epochs") is None
    bundle = workspace.bundle("BALLS", "3d_fullres", "S")
    assert sorted(load_bundle(bundle).weights) == ["0", "1", "2", "3", "4"]
    assert list(load_bundle(bundle, ["full"]).weights) == ["full"]
    assert json.loads((run_folder(workspace, "full") / "result.json").read_text())["steps"] == 5


def test_a_budget_for_a_handful_of_steps_is_warned_about(
    workspace: Workspace, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(train_fold, "plan_time", lambda *_: (time.monotonic(), "fast"))
    quick(workspace, budget="3s")
    assert "a budget of 3 s allows only 1 training steps here: too few to learn" in caplog.text


def test_what_mirroring_does_to_sides_is_said(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", "autoseg")
    path = workspace.plan("BALLS")
    path.write_text(path.read_text().replace('"core"', '"kidney_left"'))
    folder = workspace.prepared("BALLS") / "3d_fullres"
    plan = load_plan(path)
    manifest = folder / "manifest.json"
    recipe = recipe_of(plan, plan.configuration("3d_fullres"))
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "recipe": recipe}))
    quick(workspace, budget="1epochs")
    assert "kidney_left names a side without its partner; mirroring left-right may" in caplog.text
    caplog.clear()
    quick(workspace, 1, budget="1epochs", settings=(*QUICK, "mirror_axes=0,1"))
    assert "names a side" not in caplog.text


def test_false_positives_in_controls_are_reported_by_tag(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    caplog.set_level("INFO", "autoseg")
    for module in (train_fold, train_report):
        monkeypatch.setattr(module, "draw", lambda history, path: None)
    quick(make_workspace(tmp_path, cases=6, controls=3), budget="1epochs")
    assert "control: core in " in caplog.text
    assert "cases without any" in caplog.text


def test_without_simpleitk_label_maps_are_npz(
    workspace: Workspace, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    caplog.set_level("INFO", "autoseg")
    monkeypatch.setattr(validation.importlib.util, "find_spec", lambda name: None)
    quick(workspace, budget="1epochs")
    assert "SimpleITK is not installed" in caplog.text
    (path,) = (run_folder(workspace) / "validation").glob("*.npz")
    with np.load(path) as archive:
        assert archive["labels"].shape == (12, 14, 12)


def test_a_picture_that_cannot_be_drawn_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    def broken(*_: object) -> None:
        raise ImportError("no matplotlib")

    monkeypatch.setattr(train_report, "draw_progress", broken)
    train_report.draw([], tmp_path / "progress.png")
    assert "progress.png not drawn: no matplotlib" in caplog.text


def test_a_time_budget_is_kept_validation_included(workspace: Workspace):
    update = trainer.update

    def slow(training, task, batch, learn):
        time.sleep(0.02)
        update(training, task, batch, learn)

    begin = time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "update", slow)
        summary = quick(workspace, budget="8s", started=begin)
    assert summary is not None
    # The last half second is for machines where several test runs share two cores.
    assert 5.0 < time.monotonic() - begin < 8.8 + 0.5
    rows = list(csv.DictReader((run_folder(workspace) / "history.csv").open()))
    assert float(rows[-1]["learning_rate"]) < 1e-4


COMMAND = """
import sys
from pathlib import Path
from autoseg.training import trainer
from autoseg.training.checkpoint import Keeper
from autoseg.workflows.train import train
from autoseg.workspace import Workspace
Keeper.is_due = lambda self: True
train(Workspace(Path(sys.argv[1])), "3d_fullres", 0, budget="4epochs", device="cpu",
      settings=["steps_per_epoch=10", "precision=float32"])
"""


def command(workspace: Workspace) -> list[str]:
    return [sys.executable, "-c", COMMAND, str(workspace.root)]


def test_kill_9_and_the_same_command_end_with_the_same_bytes(tmp_path: Path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    straight, broken = make_workspace(tmp_path / "a"), make_workspace(tmp_path / "b")
    subprocess.run(command(straight), env=environment, check=True, capture_output=True)
    process = subprocess.Popen(command(broken), env=environment, stderr=subprocess.DEVNULL)
    resume = run_folder(broken) / "resume"
    deadline = time.monotonic() + 60
    while len(list(resume.glob("*.json"))) < 2 and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (run_folder(broken) / "result.json").exists()
    subprocess.run(command(broken), env=environment, check=True, capture_output=True)
    assert weights_of(straight) == weights_of(broken)
    bundles = [w.bundle("BALLS", "3d_fullres", "S") for w in (straight, broken)]
    for name in ("card.json", "train.json", "fold_0/card.json"):
        assert (bundles[0] / name).read_bytes() == (bundles[1] / name).read_bytes()


def test_weights_by_volume_become_numbers_of_the_training_cases(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", "autoseg")
    quick(workspace, settings=(*QUICK, "target_weights=balanced", "target_sampling=rarity"))
    config = load_bundle(workspace.bundle("BALLS", "3d_fullres", "S")).config
    weights = dict(part.split("=") for part in (config.target_weights or "").split(","))
    assert float(weights["core"]) > 1 > float(weights["shell"])
    assert config.target_sampling == config.target_weights
    assert f"target_weights=balanced: {config.target_weights}" in caplog.messages


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("target_weights=cor=2", r"unknown target 'cor'.*did you mean 'core'"),
        ("target_sampling=background=1", "unknown target 'background'"),
        ("loss=dice+bce", "bce alone, or ce"),
        ("trainer=defalt", "unknown trainer 'defalt' -> did you mean 'default'"),
        ("precision=half", "precision=half -> known names: auto, bfloat16, float16, float32"),
        ("precision=float16", "precision=float16 needs a GPU"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_before_anything_begins(
    workspace: Workspace, setting: str, message: str
):
    with pytest.raises(UsageError, match=message):
        quick(workspace, settings=(*QUICK, setting))
    assert not workspace.run("BALLS", "3d_fullres", "S", "0").exists()


def test_a_target_that_no_training_case_shows_is_named(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def without_core(*about):
        train_cases, held_out = fold_validation.open_cases(*about)
        core, shell = train_cases[0].foreground
        empty = (core[:0], shell)
        return [dataclasses.replace(case, foreground=empty) for case in train_cases], held_out

    quick(workspace)
    assert "cannot be learnt" not in caplog.text
    monkeypatch.setattr(train_fold, "open_cases", without_core)
    quick(workspace, overwrite=True)
    fact = "no training case of fold 0 shows 1 of 2 targets, which cannot be learnt: core"
    assert fact in caplog.messages


def test_a_batch_that_cannot_fit_in_memory_is_refused_before_anything_begins(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
):
    words = r"the 100,000,000 patches of 8x8x8 of a step need .* GB or more"
    for setting in ("batch_size=100000000", "accumulate=50000000"):
        with pytest.raises(ResourceError, match=words):
            quick(workspace, settings=(*QUICK, setting))
    monkeypatch.setattr(method, "memory_bytes", lambda: 10_000)  # the images alone need 4,096
    with pytest.raises(ResourceError, match=r"a batch of 2 .*accumulate="):
        quick(workspace)
    monkeypatch.setattr(method, "memory_bytes", lambda: 0)  # not known
    quick(workspace)


def test_a_loss_of_the_users_own_that_fails_leaves_its_traceback_in_the_log(workspace: Workspace):
    settings = (*QUICK, "loss=tests.failing:fail")
    with pytest.raises(KeyError, match="nothing"):  # one line of it on a command line, exit code 2
        quick(workspace, settings=settings)
    text = (run_folder(workspace) / "log.txt").read_text()
    assert "Traceback (most recent call last):" in text
    assert "KeyError: 'nothing'" in text
