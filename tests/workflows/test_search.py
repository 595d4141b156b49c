"""The verb `search`: which trials are trained, what is left of them, what goes on after a stop."""

from __future__ import annotations

import csv
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from autoseg.errors import (
    AutosegError,
    DataError,
    PartlyDone,
    ResourceError,
    Stopped,
    UsageError,
)
from autoseg.files import write_json
from autoseg.locks import locked
from autoseg.presets import training_settings
from autoseg.stopping import StopRequest
from autoseg.training.study import STARTUP
from autoseg.training.tracking import Epoch
from autoseg.workflows import search_trial
from autoseg.workflows.order import Order, read_orders
from autoseg.workflows.search import search
from autoseg.workflows.train_fold import train_fold
from autoseg.workspace import Workspace
from tests.workflows.prepared import make_workspace

pytest.importorskip("optuna", reason="it proposes what is tried: pip install 'autoseg[search]'")

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
GRID = ["loss=dice_ce/ce", "batch_size=2/4"]


def score_of(order: Order) -> float:
    """The Dice of a training that nobody does."""
    return {"dice_ce": 0.6, "ce": 0.5}[order.config.loss] + order.design.batch_size / 100


class Trainings:
    """Stands for `train_fold`: writes what it leaves, or does what the test puts in its place."""

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.instead: dict[int, Callable[[Order], object]] = {}  # by the number of the training

    def __call__(
        self, order: Order, started: float, stop: StopRequest, watch: search_trial.Watch
    ) -> None:
        self.orders.append(order)
        (order.bundle / "fold_0").mkdir(parents=True, exist_ok=True)
        (order.bundle / "fold_0" / "weights.safetensors").write_bytes(b"weights")
        write_json(order.run / "resume" / "step.json", {})
        self.instead.get(len(self.orders), lambda order: None)(order)
        for look in range(1, 11):
            watch(
                Epoch(look, look, 1.0, 1.0, {"core": score_of(order), "shell": None}, 0, 0),
                look / 10,
            )
        write_json(order.result, {"foreground_mean": {"dice": score_of(order)}})


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> Trainings:
    made = Trainings()
    monkeypatch.setattr(search_trial, "train_fold", made)
    return made


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path)


def run(workspace: Workspace, vary: list[str] = GRID, **changes: object) -> str:
    arguments: dict[str, object] = {"settings": ["steps=20"], "device": "cpu"} | changes
    if not {"grid", "trials", "budget"} & set(changes):
        arguments["grid"] = True
    return search(workspace, "3d_fullres", [0], vary, **arguments)  # type: ignore[arg-type]


def folder_of(workspace: Workspace, name: str = "3d_fullres-S") -> Path:
    return workspace.search("BALLS", name)


def rows(workspace: Workspace, name: str = "3d_fullres-S") -> list[dict[str, str]]:
    with (folder_of(workspace, name) / "trials.csv").open() as stream:
        return list(csv.DictReader(stream))


def weights(workspace: Workspace) -> list[str]:
    return [path.parents[2].name for path in folder_of(workspace).rglob("weights.safetensors")]


def raiser(error: BaseException) -> Callable[[Order], None]:
    def deed(order: Order) -> None:
        raise error

    return deed


def test_a_grid_is_every_combination_in_order_and_leaves_a_table_and_the_best(
    workspace: Workspace, trainings: Trainings
):
    text = run(workspace, settings=["steps=20", "momentum=0.9"])
    table = [
        (r["trial"], r["loss"], r["batch_size"], r["score"], r["state"]) for r in rows(workspace)
    ]
    assert table == [
        ("1", "dice_ce", "2", "0.620000", "complete"),
        ("2", "dice_ce", "4", "0.640000", "complete"),
        ("3", "ce", "2", "0.520000", "complete"),
        ("4", "ce", "4", "0.540000", "complete"),
    ]
    best = json.loads((folder_of(workspace) / "best.json").read_text())
    assert best["train"] == {"loss": "dice_ce", "batch_size": 4, "momentum": 0.9}
    assert "Dice 0.6400 on fold 0 of BALLS, the best of 4 trials" in best["about"]
    assert (folder_of(workspace) / "report.txt").read_text() == f"{text}\n"
    assert "best: trial 2, Dice 0.6400: loss=dice_ce batch_size=4" in text
    assert "optimistic: it is the best of 4" in text
    assert "Not looked at: fold 1, 2, 3, 4." in text
    assert f"autoseg_train 3d_fullres 1 -d BALLS --size S -w {workspace.root} --preset" in text
    assert not list(workspace.models("BALLS").glob("3d_fullres*"))  # the models are not touched


def test_the_best_settings_are_a_preset(workspace: Workspace, trainings: Trainings):
    run(workspace)
    found = training_settings(str(folder_of(workspace) / "best.json"))
    assert sorted(found) == ["batch_size=4", "loss=dice_ce"]


def test_weights_are_kept_of_the_best_trial_only(workspace: Workspace, trainings: Trainings):
    run(workspace)
    assert weights(workspace) == ["0002"]
    assert not list(folder_of(workspace).glob("trials/000[134]/**/resume"))
    assert (folder_of(workspace) / "trials/0001/run/fold_0/result.json").is_file()


def test_a_trial_says_how_it_went_and_how_long_the_others_take(
    workspace: Workspace, trainings: Trainings, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", "autoseg")
    run(workspace)
    lines = [line for line in caplog.messages if line.startswith("trial ")]
    assert len(lines) == 4
    assert "trial 1 of 4: loss=dice_ce batch_size=2: Dice 0.6200, the best so far; " in lines[0]
    assert "trial 3 of 4: loss=ce batch_size=2: Dice 0.5200 (best 0.6400, trial 2); " in lines[2]
    assert all(line.endswith(" left") for line in lines)
    assert len(caplog.messages) == 5  # what a training says goes to the log of its trial


def test_a_trial_that_cannot_be_trained_is_recorded_and_skipped(
    workspace: Workspace, trainings: Trainings
):
    trainings.instead[2] = raiser(MemoryError())
    trainings.instead[3] = raiser(RuntimeError("no kernel for this\nand more"))
    text = run(workspace, ["loss=dice_ce/nosuch/ce", "batch_size=2/4"])
    assert [(r["state"], r["error"].split(" ->")[0]) for r in rows(workspace)] == [
        ("complete", ""),
        ("failed", "MemoryError"),
        ("failed", "unknown loss 'nosuch'"),
        ("failed", "unknown loss 'nosuch'"),
        ("failed", "RuntimeError: no kernel for this"),
        ("complete", ""),
    ]
    assert "trial 2 failed: MemoryError" in text
    assert "6 trials (2 complete, 4 failed)" in text
    log = folder_of(workspace) / "trials" / "0005" / "log.txt"
    assert "Traceback" in log.read_text()


def test_a_search_without_any_score_exits_5_and_says_why(
    workspace: Workspace, trainings: Trainings
):
    with pytest.raises(PartlyDone, match=r"none of 2 trials has a score \(unknown loss 'a'"):
        run(workspace, ["loss=a/b"])


@pytest.mark.parametrize(
    "error", [DataError("the data are gone"), OSError(28, "No space left on device"), None]
)
def test_what_is_wrong_with_data_or_disk_ends_the_search_and_the_trial_goes_on_later(
    workspace: Workspace, trainings: Trainings, error: Exception | None
):
    full = ResourceError("the disk is full")
    full.__cause__ = OSError(28, "No space left on device")
    trainings.instead[2] = raiser(error or full)
    with pytest.raises(type(error or full)):
        run(workspace)
    assert [r["state"] for r in rows(workspace)] == ["complete", "running", "waiting", "waiting"]
    run(workspace)
    assert [r["state"] for r in rows(workspace)] == ["complete"] * 4
    assert trainings.orders[1].run == trainings.orders[2].run


def test_a_stopped_search_goes_on_with_the_trial_it_was_at_however_often(
    workspace: Workspace, trainings: Trainings
):
    for number in (3, 4, 5):
        trainings.instead[number] = raiser(Stopped("stopped by SIGTERM after step 7"))
        with pytest.raises(Stopped):
            run(workspace)
        states = [r["state"] for r in rows(workspace)]
        assert states == ["complete", "complete", "running", "waiting"]
    run(workspace)
    assert [r["state"] for r in rows(workspace)] == ["complete"] * 4
    assert [o.run.parents[1].name for o in trainings.orders] == [
        "0001", "0002", "0003", "0003", "0003", "0003", "0004"
    ]  # fmt: skip
    assert trainings.orders[2] == trainings.orders[5]


def test_a_trial_whose_process_dies_twice_is_given_up(workspace: Workspace, trainings: Trainings):
    class Killed(BaseException):
        """As if the system had killed the process: nobody catches it."""

    trainings.instead[1] = trainings.instead[2] = raiser(Killed())
    for _ in range(2):
        with pytest.raises(Killed):
            run(workspace)
    run(workspace)
    assert [r["state"] for r in rows(workspace)] == ["failed", "complete", "complete", "complete"]
    assert rows(workspace)[0]["error"].startswith("its process ended 2 times without a word")


def test_trials_of_other_processes_are_left_to_them(workspace: Workspace, trainings: Trainings):
    trainings.instead[1] = raiser(Stopped("stopped by SIGTERM"))
    with pytest.raises(Stopped):
        run(workspace)
    with locked(folder_of(workspace) / "trials" / "0001" / "run"):  # another works at it
        text = run(workspace)
        with pytest.raises(AutosegError, match="in use by another process"):
            run(workspace, overwrite=True)
    assert [r["state"] for r in rows(workspace)] == ["running"] + ["complete"] * 3
    assert "4 trials (1 running, 3 complete)" in text


def test_a_finished_search_is_not_run_over_but_can_be_longer(
    workspace: Workspace, trainings: Trainings
):
    vary = ["loss=dice_ce/ce", "learning_rate=log:1e-4..1e-2"]
    run(workspace, vary, trials=2)
    with pytest.raises(
        UsageError, match=r"the search is finished: 2 trials, see report.txt -> more --trials"
    ):
        run(workspace, vary, trials=2)
    run(workspace, vary, trials=3)
    assert len(rows(workspace)) == len(trainings.orders) == 3
    run(workspace, vary, trials=1, overwrite=True)
    assert len(rows(workspace)) == 1
    assert len(list(folder_of(workspace).parent.glob("3d_fullres-S.bak-*"))) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": ["steps=30"]}, {"vary": [GRID[0], "batch_size=2/3"]}, {"seed": 1},
        {"trial_budget": "3epochs", "settings": []}, {"pruner": "median"},
    ],
)  # fmt: skip
def test_a_search_that_asks_for_something_else_needs_another_name(
    workspace: Workspace, trainings: Trainings, changes: dict[str, object]
):
    run(workspace)
    with pytest.raises(UsageError, match=r"asked for something else is there \(.*another --name"):
        run(workspace, **changes)  # type: ignore[arg-type]
    run(workspace, name="other", **changes)  # type: ignore[arg-type]
    assert len(rows(workspace, "other")) == 4


def test_a_trial_that_falls_behind_is_ended_and_has_no_score(
    workspace: Workspace, trainings: Trainings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(f"{__name__}.score_of", lambda order: 1 - order.config.dice_smooth)
    run(workspace, ["dice_smooth=0.1/0.2/0.3/0.4/0.5/0.9/0.15"], grid=True, pruner="median")
    states = [r["state"] for r in rows(workspace)]
    assert states == [*["complete"] * STARTUP, "pruned", "complete"]
    assert rows(workspace)[5]["error"] == "Dice 0.1000 of patches after 30%"


def test_settings_that_were_tried_are_not_trained_again(workspace: Workspace, trainings: Trainings):
    vary = ["batch_size=2..3", "loss=dice_ce/ce"]
    run(workspace, vary, trials=9)
    tried = {(r["batch_size"], r["loss"]) for r in rows(workspace)}
    assert len(trainings.orders) == len(tried) <= 4
    copies = [r for r in rows(workspace) if "not repeated" in r["error"]]
    assert len(copies) == 9 - len(tried)


def test_a_time_for_all_trials_ends_the_search(
    workspace: Workspace, trainings: Trainings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(search_trial, "_spent", lambda trial, begun: 25.0)
    run(workspace, ["learning_rate=log:1e-4..1e-2"], budget="80s")
    assert [r["seconds"] for r in rows(workspace)] == ["25.0"] * 3


def test_the_score_is_the_mean_over_folds(
    workspace: Workspace, trainings: Trainings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(
        f"{__name__}.score_of",
        lambda order: 0.5 + 0.2 * (order.fold == "2") + order.config.ema / 10,
    )
    text = search(
        workspace, "3d_fullres", [0, "2"], ["ema=0/0.5"], grid=True, settings=["steps=20"],
        device="cpu",
    )  # fmt: skip
    assert [float(r["score"]) for r in rows(workspace)] == pytest.approx([0.6, 0.65])
    assert [order.fold for order in trainings.orders] == ["0", "2", "0", "2"]
    assert "Not looked at: fold 1, 3, 4." in text


@pytest.mark.parametrize(
    ("settings", "budget", "epoch"),
    [
        (["steps=20"], None, 2), (["steps=4"], None, 1), ([], "30s", 50), ([], "3epochs", 250),
        ([], None, 250), (["steps=20", "steps_per_epoch=7"], None, 7),
        (["steps=20", "patience=3"], None, 250),
    ],
)  # fmt: skip
def test_a_trial_is_looked_at_ten_times_where_nothing_else_counts_epochs(
    workspace: Workspace, trainings: Trainings, settings: list[str], budget: str | None, epoch: int
):
    run(workspace, settings=settings, trial_budget=budget)
    assert {order.config.steps_per_epoch for order in trainings.orders} == {epoch}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": True, "trials": 3}, "--grid tries every combination, so --trials cannot be"),
        ({"trials": 4}, "there are only 4 combinations -> --grid, without --trials, tries"),
        ({"budget": "9s"}, "there are only 4 combinations -> --grid, without --trials, tries"),
        ({"trials": 0}, "--trials 0, expected 1 or more"),
        ({"budget": "9epochs"}, "--budget 9epochs, expected a time for all trials"),
        ({"pruner": "best"}, "--pruner best, expected one of median, halving, none"),
        ({"name": "../x"}, "--name ../x, expected letters, digits, and _ . - after the first"),
        ({"name": ".."}, "--name .., expected letters"),
        ({"name": ""}, "--name , expected letters"),
        ({"trial_budget": "9s"}, "--budget 9s and steps=20 both say how long to train"),
        ({"vary": ["steps=5/9"], "settings": [], "trial_budget": "9s"},
         "--trial-budget 9s and --vary steps both say how long to train"),
        ({"dataset": "BALS"}, "unknown dataset 'BALS' -> did you mean 'BALLS'?"),
        ({"settings": ["optimizer=sdg"]}, "unknown optimizer 'sdg'"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_told_before_any_trial(
    workspace: Workspace, trainings: Trainings, changes: dict[str, object], message: str
):
    with pytest.raises(UsageError) as error:
        run(workspace, **changes)  # type: ignore[arg-type]
    assert message in str(error.value)
    assert trainings.orders == []
    assert not folder_of(workspace).exists()


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        (["full"], "fold full has no validation cases to score a trial on"),
        ([0, 0], "folds 0 0, expected each fold once"),
        ([9], "9"),
    ],
)
def test_only_folds_with_a_score_can_be_searched_on(
    workspace: Workspace, trainings: Trainings, folds: list[str | int], message: str
):
    with pytest.raises(UsageError) as error:
        search(workspace, "3d_fullres", folds, GRID, grid=True, device="cpu")
    assert message in str(error.value)


def test_who_watches_a_training_sees_its_epochs_and_may_end_it_for_good(workspace: Workspace):
    class Enough(Exception):
        """Raised by who watches."""

    seen: list[tuple[int, float]] = []

    def watch(epoch: Epoch, progress: float) -> None:
        seen.append((epoch.step, progress))
        assert set(epoch.pseudo_dice) == {"core", "shell"}
        if progress >= 0.5:
            raise Enough

    settings = ["steps=4", "steps_per_epoch=1", "precision=float32"]
    (order,) = read_orders(workspace, "3d_fullres", "0", settings=settings, device="cpu")
    with pytest.raises(Enough):
        train_fold(order, time.monotonic(), StopRequest(), watch=watch)
    assert seen == [(1, 0.25), (2, 0.5)]
    assert not order.result.exists()
    gc.collect()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def words_for(root: Path, *more: str) -> list[str]:
    words = [sys.executable, "-m", "autoseg.cli", "search", "3d_fullres", "0", "-w", str(root)]
    return [*words, "--device", "cpu", "--grid", "--vary", *GRID, *more]


@pytest.mark.slow
def test_two_processes_share_a_search_that_a_signal_stops_and_a_command_continues(tmp_path: Path):
    root = make_workspace(tmp_path).root
    words = words_for(root, "--set", "steps=400", "precision=float32")
    both = [
        subprocess.Popen(words, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) for _ in "ab"
    ]
    first = both[0].stderr
    assert first is not None
    for line in first:
        if line.startswith("trial "):
            break
    both[0].send_signal(signal.SIGTERM)
    first.read()
    assert both[0].wait() == 75
    both[1].communicate()
    assert both[1].returncode == 0
    found = rows(Workspace(root))
    # What the first was at when it was stopped, the second went on with after its own.
    assert [r["state"] for r in found] == ["complete"] * 4
    again = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert "the search is finished: 4 trials" in again.stderr
