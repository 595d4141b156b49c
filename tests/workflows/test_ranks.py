"""One fold trained by several processes: as one would, and ending together."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from autoseg.errors import DataError, Stopped, UsageError
from autoseg.evaluation.tables import read_summary
from autoseg.training import loader, trainer
from autoseg.training.checkpoint import load_checkpoint
from autoseg.training.distributed import Ranks
from autoseg.training.launch import read_launch
from autoseg.workflows import train_fold, train_report
from autoseg.workflows.ranks import warn_different_weights
from autoseg.workflows.train import train
from autoseg.workspace import Workspace
from tests.ranks import Pool
from tests.workflows.prepared import make_workspace

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ("steps_per_epoch=5", "precision=float32", "batch_size=3")
# float32 sums in another order; Muon and the schedule make more of it than the 20 steps of a curve.
CLOSE = 1e-4
TIMES = ("seconds", "waiting")


def run_training(root: Path, changes: dict[str, Any], stop: dict[int, int], fail: int = 0) -> Any:
    """Train fold 0; rank r signals itself after step `stop[r]`, rank 1 fails in batch `fail`."""
    launch = read_launch(dict(os.environ))
    rank = launch.rank if launch else 0
    update, make_batch = trainer.update, loader.make_batch

    def stopping(training, task, batch, learn):
        update(training, task, batch, learn)
        if stop.get(rank) == training.step + 1:
            os.kill(os.getpid(), signal.SIGTERM)

    def failing(*arguments, **more):
        if fail and rank == 1 and arguments[5] == fail:
            raise DataError("file not found", place="case.npz")
        return make_batch(*arguments, **more)

    with pytest.MonkeyPatch.context() as patch:
        for module in (train_fold, train_report):
            patch.setattr(module, "draw", lambda history, path: None)
        patch.setattr(trainer, "update", stopping)
        patch.setattr(loader, "make_batch", failing)
        arguments = {"budget": "4epochs", "settings": SETTINGS, "device": "cpu"} | changes
        return train(Workspace(root), "3d_fullres", 0, **arguments)


def run_folder(root: Path) -> Path:
    return Workspace(root).run("BALLS", "3d_fullres", "S", "0")


def history(root: Path) -> list[dict[str, float]]:
    rows = csv.DictReader((run_folder(root) / "history.csv").open())
    return [{k: float(v) for k, v in row.items() if k not in TIMES and v} for row in rows]


def same_course(one: Path, other: Path) -> bool:
    pairs = zip(history(one), history(other), strict=True)
    return all(a == pytest.approx(b, abs=CLOSE) for a, b in pairs)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same fold, trained by one process: 7 cases for training and 2 for validation."""
    root = make_workspace(tmp_path_factory.mktemp("alone"), cases=9).root
    run_training(root, {}, {})
    return root


@pytest.mark.parametrize("size", [2, 3])
def test_a_shared_fold_has_the_course_and_the_files_of_one_process(
    pool: Pool, alone: Path, tmp_path: Path, size: int
):
    root = make_workspace(tmp_path, cases=9).root
    summary, *nothing = pool.launch(size, run_training, root, {}, {})
    assert nothing == [None] * (size - 1)
    assert same_course(alone, root)
    assert len(history(root)) == 4
    files = [sorted(str(p.relative_to(r)) for p in r.rglob("*")) for r in (alone, root)]
    assert files[0] == files[1]
    held_out = json.loads(Workspace(root).folds("BALLS").read_text())["folds"][0]["validation"]
    written = run_folder(root) / "validation"
    assert [case.case for case in summary.cases] == held_out
    assert [case.case for case in read_summary(written / "summary.json").cases] == held_out
    assert list(json.loads((written / "scores/index.json").read_text())["cases"]) == held_out
    assert len(held_out) == 2
    log = (run_folder(root) / "log.txt").read_text()
    shares = {2: "2 + 1", 3: "1 + 1 + 1"}[size]
    assert f"{size} processes train one model: a batch of 3 is shared as {shares}" in log
    assert log.count("epoch 4, step 20/20") == 1


def test_two_then_one_then_three_ranks_end_where_one_would(pool: Pool, alone: Path, tmp_path: Path):
    root = make_workspace(tmp_path, cases=9).root
    first, second = pool.launch(2, run_training, root, {}, {0: 7, 1: 7})
    assert isinstance(first, Stopped)
    assert isinstance(second, SystemExit)
    with pytest.raises(Stopped, match="SIGTERM after step 12"):
        run_training(root, {}, {0: 12})
    pool.launch(3, run_training, root, {}, {})
    assert same_course(alone, root)


def test_a_signal_to_one_rank_stops_all_after_the_same_step(pool: Pool, tmp_path: Path):
    root = make_workspace(tmp_path).root
    told, silent = pool.launch(2, run_training, root, {}, {1: 7})
    assert isinstance(told, Stopped)
    assert "stopped by SIGTERM after step 7; everything is saved" in str(told)
    assert (type(silent), silent.code) == (SystemExit, 75)
    checkpoint = load_checkpoint(run_folder(root) / "resume")
    assert checkpoint is not None
    assert checkpoint.facts["training"]["step"] == 7


def test_a_rank_that_cannot_make_its_batch_tells_why_and_what_was_learnt_is_saved(
    pool: Pool, tmp_path: Path
):
    root = make_workspace(tmp_path).root
    silent, told = pool.launch(2, run_training, root, {}, {}, 6)
    assert isinstance(told, DataError)
    assert (type(silent), silent.code) == (SystemExit, 3)
    checkpoint = load_checkpoint(run_folder(root) / "resume")
    assert checkpoint is not None
    assert checkpoint.facts["training"]["step"] == 6


def test_more_ranks_than_samples_are_refused_with_the_size_of_the_batch(pool: Pool, tmp_path: Path):
    root = make_workspace(tmp_path).root
    told, *silent = pool.launch(3, run_training, root, {"settings": ("batch_size=2",)}, {})
    assert isinstance(told, UsageError)
    assert "3 processes cannot share a batch of 2" in str(told)
    assert "at most 2 processes, or --set batch_size=3" in str(told)
    assert [end.code for end in silent] == [2, 2]
    assert not run_folder(root).exists()


def test_a_time_budget_is_kept_by_ranks_too(pool: Pool, tmp_path: Path):
    root = make_workspace(tmp_path).root
    begin = time.monotonic()
    pool.launch(2, run_training, root, {"budget": "6s"}, {})
    assert 3.0 < time.monotonic() - begin < 6.6 + 1.0
    assert history(root)[-1]["learning_rate"] < 1e-4


def differently(root: Path) -> Any:
    launch = read_launch(dict(os.environ))
    assert launch is not None
    return run_training(root, {"settings": (*SETTINGS, f"seed={launch.rank}")}, {})


def test_ranks_that_were_given_different_commands_are_refused(pool: Pool, tmp_path: Path):
    root = make_workspace(tmp_path).root
    silent, told = pool.launch(2, differently, root)
    assert isinstance(told, UsageError)
    assert "process 1 was given another command" in str(told)
    assert silent.code == 2


def custom_loss(scores, batch, labels, batch_dice):
    each = [
        ((scores[i, 0] - batch.target[i].float()) ** 2).mean() for i in range(len(batch.target))
    ]
    return sum(each) / len(each)


@pytest.mark.parametrize(
    "setting", [f"loss={__name__}:custom_loss", "accumulate=2"], ids=["own loss", "accumulate"]
)
def test_means_over_samples_and_micro_batches_are_exact_too(
    pool: Pool, tmp_path: Path, setting: str
):
    roots = [make_workspace(tmp_path / name, cases=5).root for name in "ab"]
    settings = (*SETTINGS, setting)
    run_training(roots[0], {"settings": settings}, {})
    pool.launch(2, run_training, roots[1], {"settings": settings}, {})
    assert same_course(*roots)


def differ(ranks: Ranks) -> float:
    return warn_different_weights({"w": torch.tensor([2.0, 1.0 + 0.1 * ranks.rank])}, ranks)


def test_weights_that_differ_between_ranks_are_noticed(pool: Pool):
    # A trainer of one's own that does not add the gradients up.
    assert pool.run(2, differ) == pytest.approx([0.05, 0.05])


def differ_in_statistics(ranks: Ranks) -> float:
    norm = torch.nn.BatchNorm2d(1)
    norm.running_mean += ranks.rank
    difference = warn_different_weights(norm.state_dict(prefix="norm."), ranks)
    ranks.same_weights(norm)
    return difference + float(norm.running_mean)


def test_statistics_of_a_batch_normalisation_differ_and_the_first_ranks_are_kept(pool: Pool):
    assert pool.run(2, differ_in_statistics) == [0.0, 0.0]


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("fold", ["0", "all"])
def test_two_gpus_train_one_fold_together_or_folds_side_by_side(tmp_path: Path, fold: str):
    root = make_workspace(tmp_path).root
    words = ["train", "3d_fullres", fold, "-w", str(root), "--device", "cuda:0,cuda:1"]
    words += ["--size", "S", "--budget", "2epochs", "--set", *SETTINGS]
    subprocess.run([sys.executable, "-m", "autoseg.cli", *words], check=True, cwd=ROOT)
    assert (run_folder(root) / "result.json").exists()
