"""Folds side by side on several devices, and one fold on all of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from autoseg.errors import AutosegError, DataError, PartlyDone, ResourceError, Stopped, UsageError
from autoseg.outcomes import Outcome
from autoseg.stopping import StopRequest
from autoseg.training.budget import Budget, share
from autoseg.workflows import side_by_side
from autoseg.workflows.order import read_orders
from autoseg.workflows.side_by_side import leave_busy_out, list_devices, raise_failures, words_for
from autoseg.workspace import Workspace
from tests.workflows.prepared import make_workspace

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
SETTINGS = ["--set", "steps_per_epoch=5", "precision=float32"]


def command(root: Path, fold: str, budget: str, *more: str) -> list[str]:
    words = [sys.executable, "-m", "autoseg.cli", "train", "3d_fullres", fold, "-w", str(root)]
    return [*words, "--budget", budget, "--device", "cpu,cpu", *more, *SETTINGS]


def run_folder(root: Path, fold: int) -> Path:
    return Workspace(root).run("BALLS", "3d_fullres", "S", str(fold))


def finish(root: Path, *folds: int) -> None:
    """Make folds look finished."""
    for fold in folds:
        run_folder(root, fold).mkdir(parents=True)
        (run_folder(root, fold) / "result.json").write_text("{}")


def test_two_folds_run_side_by_side_and_a_signal_stops_both_with_75(tmp_path: Path):
    root = make_workspace(tmp_path).root
    finish(root, 2, 3, 4)
    process = subprocess.Popen(
        command(root, "all", "4000epochs"), env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    waiting, lines = {"fold 0: epoch", "fold 1: epoch"}, []
    for line in process.stderr:
        lines.append(line)
        waiting -= {begin for begin in waiting if line.startswith(begin)}
        if not waiting:
            process.send_signal(signal.SIGTERM)
            break
    rest = process.stderr.read()
    assert process.wait(60) == 75, "".join(lines) + rest
    assert "2 folds on cpu, cpu, all at once" in "".join(lines)
    assert "autoseg: error: stopped by SIGTERM; every fold is saved -> run the same" in rest
    for fold in (0, 1):
        assert list((run_folder(root, fold) / "resume").glob("*.safetensors"))


@pytest.mark.slow
def test_folds_that_fail_are_named_and_the_others_are_finished(tmp_path: Path):
    root = make_workspace(tmp_path).root
    finish(root, 1, 2, 3)
    held_out = json.loads(Workspace(root).folds("BALLS").read_text())["folds"][4]["validation"][0]
    (Workspace(root).prepared("BALLS") / "labels" / f"{held_out}.npz").unlink()
    answer = subprocess.run(
        command(root, "all", "1epochs"), env=ENVIRONMENT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert answer.returncode == 5, answer.stderr
    assert "autoseg: error: 1 of 2 folds failed: fold 4:" in answer.stderr
    assert (run_folder(root, 0) / "result.json").exists()
    assert not (run_folder(root, 4) / "result.json").exists()


def test_one_fold_on_two_devices_ends_with_the_code_of_its_processes(tmp_path: Path):
    root = make_workspace(tmp_path).root
    process = subprocess.Popen(
        command(root, "0", "4000epochs"), env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    shared = False
    for line in process.stderr:
        shared = shared or "2 processes train one model: a batch of 2 is shared as 1 + 1" in line
        if line.startswith("epoch"):
            process.send_signal(signal.SIGTERM)
            break
    rest = process.stderr.read()
    assert process.wait(60) == 75, rest
    assert shared
    assert rest.count("autoseg: error: ") == 1
    assert list((run_folder(root, 0) / "resume").glob("*.safetensors"))


def test_devices_are_those_of_the_list_and_of_one_kind(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(side_by_side.torch.cuda, "is_available", lambda: False)
    assert list_devices(None) == ["cpu"]
    assert list_devices("cpu, cpu") == ["cpu", "cpu"]
    monkeypatch.setattr(side_by_side.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(side_by_side.torch.cuda, "device_count", lambda: 3)
    assert list_devices(None) == list_devices("cuda") == ["cuda:0", "cuda:1", "cuda:2"]
    assert list_devices("cuda:2") == ["cuda:2"]
    with pytest.raises(UsageError, match="devices of one kind"):
        list_devices("cpu,cuda:0")
    with pytest.raises(ResourceError, match="there is no cuda:3"):
        list_devices("cuda:0,cuda:3")


def test_a_gpu_at_which_somebody_works_is_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", "autoseg")
    gib = 2**30
    memory = {"cuda:0": (20 * gib, 24 * gib), "cuda:1": (3 * gib, 24 * gib)}
    monkeypatch.setattr(
        side_by_side, "map_cases",
        lambda function, devices, **_: [Outcome(d, memory[d]) for d in devices],
    )  # fmt: skip
    assert leave_busy_out(["cuda:0", "cuda:1"]) == ["cuda:0"]
    assert "cuda:1 is left out: 3 of its 24 GB are free" in caplog.text
    assert leave_busy_out(["cuda:1"]) == ["cuda:1"]  # better than none


def test_the_command_of_a_child_means_the_same(tmp_path: Path):
    workspace = make_workspace(tmp_path)
    order = read_orders(workspace, "3d_fullres", "1", device="cpu")[0]
    words = words_for(order, "cuda:1", Budget(seconds=90.04), ["seed=3"], ["--overwrite"])
    assert words[1:] == [
        "-m", "autoseg.cli", "train", "3d_fullres", "1", "--workspace", str(tmp_path),
        "--dataset", "BALLS", "--size", "S", "--device", "cuda:1", "--budget", "90.0s",
        "--overwrite", "--set", "seed=3",
    ]  # fmt: skip
    assert "7epochs" in words_for(order, "cpu", Budget(epochs=7), [], [])


def test_a_time_budget_is_shared_by_the_rounds_that_are_left():
    assert share(Budget(seconds=90), spent_s=30, parts=3) == Budget(seconds=20)
    assert share(Budget(epochs=5), spent_s=30, parts=3) == Budget(epochs=5)


def ended(**codes: int) -> dict:
    return {
        fold[1:]: SimpleNamespace(code=lambda code=code: code, error="")
        for fold, code in codes.items()
    }


@pytest.mark.parametrize(
    ("codes", "kind", "message"),
    [
        ({"_0": 3, "_1": 3}, DataError, "fold 0: exit code 3; fold 1: exit code 3"),
        ({"_0": 3, "_1": 4}, PartlyDone, "2 of 2 folds failed"),
        ({"_0": 0, "_1": 6}, PartlyDone, "1 of 2 folds failed: fold 1: exit code 6"),
        ({"_0": -9, "_1": -9}, ResourceError, "fold 0: killed by signal 9"),
        ({"_0": 75, "_1": 75}, Stopped, "fold 0: exit code 75"),
        ({"_0": 1, "_1": 1}, AutosegError, "exit code 1"),
    ],
)
def test_failures_end_as_their_kind_if_all_are_alike(codes: dict, kind: type, message: str):
    with pytest.raises(kind, match=message) as caught:
        raise_failures(ended(**codes), 2, StopRequest())
    assert type(caught.value) is kind


def test_a_stop_that_came_after_the_last_fold_is_none():
    raise_failures(ended(_0=0, _1=0), 2, StopRequest("SIGTERM"))
    with pytest.raises(Stopped):
        raise_failures(ended(_0=0), 2, StopRequest("SIGTERM"))
