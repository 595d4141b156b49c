"""Laws of trackers: they get what is told, and nothing they do can stop a training."""

from __future__ import annotations

import importlib.util
import logging
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest

from autoseg.errors import UsageError
from autoseg.training import trackers
from autoseg.training.trackers import TrackedRun, Trackers, check_trackers


def make_run(folder: Path, step: int = 0) -> TrackedRun:
    folder.mkdir(exist_ok=True)
    settings = {"seed": 0, "loss": "dice_ce", "epochs": None, "mirror_axes": [0, 1]}
    return TrackedRun("HIPPO 3d_fullres-S fold 0", "HIPPO", folder, "a1b2c3d4", step, settings)


class Memory:
    """A tracker that remembers."""

    told: list[tuple[int, Mapping[str, float]]]
    closed = False

    def __init__(self, run: TrackedRun) -> None:
        self.run, self.told = run, []
        kept.append(self)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self.told.append((step, values))

    def close(self) -> None:
        self.closed = True


class Raising(Memory):
    def log(self, step: int, values: Mapping[str, float]) -> None:
        raise ConnectionError("no route to host\nsecond line")


class Exiting(Memory):
    def __init__(self, run: TrackedRun) -> None:
        sys.exit(3)


class Hanging(Memory):
    def log(self, step: int, values: Mapping[str, float]) -> None:
        released.wait(20)


kept: list[Memory] = []
released = threading.Event()
HERE = "tests.training.test_trackers"


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch):
    kept.clear()
    released.clear()
    monkeypatch.setattr(trackers, "CLOSING_S", 0.5)
    yield
    released.set()


def test_a_tracker_of_ones_own_gets_every_value_that_there_is(tmp_path: Path):
    all_of_them = Trackers([f"{HERE}:Memory"], make_run(tmp_path, 5))
    all_of_them.log(10, {"train_loss": 0.5, "validation_loss": None, "epoch": 1})
    all_of_them.log(20, {"train_loss": 0.25})
    all_of_them.close()
    (memory,) = kept
    assert memory.told == [(10, {"train_loss": 0.5, "epoch": 1.0}), (20, {"train_loss": 0.25})]
    assert memory.closed
    assert memory.run.step == 5


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Raising", "ConnectionError: no route to host"),
        ("Exiting", "SystemExit: 3"),
        ("Hanging", "not finished after 0.5 s, left behind"),
    ],
)
def test_whatever_a_tracker_does_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, why: str
):
    begin = time.monotonic()
    both = Trackers([f"{HERE}:{name}", f"{HERE}:Memory"], make_run(tmp_path))
    for step in range(5):
        both.log(step, {"loss": 1.0})
    both.close()
    assert time.monotonic() - begin < 5
    warnings = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert warnings == [f"tracker {HERE}:{name}: {why}; the training goes on without it"]
    assert [step for step, _ in kept[-1].told] == [0, 1, 2, 3, 4]


def test_a_slow_tracker_loses_entries_and_not_the_trainings_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(trackers, "QUEUED", 3)
    slow = Trackers([f"{HERE}:Hanging"], make_run(tmp_path))
    begin = time.monotonic()
    for step in range(100):
        slow.log(step, {"loss": 1.0})
    assert time.monotonic() - begin < 1
    slow.close()
    assert [r.getMessage() for r in caplog.records] == [
        f"tracker {HERE}:Hanging: it takes too long; the training goes on without it"
    ]


def test_a_missing_package_is_said_before_anything_begins(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"wandb is not installed.*pip install 'autoseg\[track\]'"):
        check_trackers(["wandb"])
    with pytest.raises(UsageError, match=r"unknown tracker 'wanbd'.*did you mean 'wandb'"):
        check_trackers(["wanbd"])
    with pytest.raises(UsageError, match="cannot import tracker 'nowhere:make'"):
        check_trackers(["nowhere:make"])
    check_trackers([f"{HERE}:Memory"])


def test_no_tracker_means_no_thread(tmp_path: Path):
    before = threading.active_count()
    nothing = Trackers([], make_run(tmp_path))
    nothing.log(1, {"loss": 1.0})
    nothing.close()
    assert threading.active_count() == before


def test_wandb_is_told_by_its_own_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    calls: list[tuple] = []

    class Run:
        offline = True

        def log(self, values: dict, step: int) -> None:
            calls.append(("log", values, step))

        def finish(self) -> None:
            calls.append(("finish",))

    fake = ModuleType("wandb")
    settings = type("S", (), {"mode": "online", "project": None})
    fake.setup = lambda: type("W", (), {"settings": settings})
    fake.Settings = lambda **kwargs: kwargs
    fake.login = lambda prompt: False
    fake.init = lambda **kwargs: calls.append(("init", kwargs)) or Run()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    told = Trackers(["wandb"], make_run(tmp_path))
    told.log(5, {"loss": 1.0})
    told.close()
    (_, arguments), *rest = calls
    assert arguments["mode"] == "offline"  # nobody is logged in: no question is asked
    assert arguments["id"] == "a1b2c3d4"
    assert arguments["resume"] == "allow"
    assert arguments["project"] == "autoseg"
    assert arguments["config"]["loss"] == "dice_ce"
    assert rest == [("log", {"loss": 1.0}, 5), ("finish",)]


def test_mlflow_is_told_by_its_own_functions_and_a_run_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    calls: list[tuple] = []

    class Client:
        def __init__(self, uri: str | None) -> None:
            self.tracking_uri = uri

        def __getattr__(self, name: str):
            def call(*values: object, **named: object):
                calls.append((name, values, named))
                info = type("I", (), {"run_id": "r"})
                answers = {
                    "get_experiment_by_name": type("E", (), {"experiment_id": "7"}),
                    "search_runs": [type("R", (), {"info": info})],
                }
                return answers.get(name)

            return call

    fake, entities = ModuleType("mlflow"), ModuleType("mlflow.entities")
    exceptions = ModuleType("mlflow.exceptions")
    fake.is_tracking_uri_set = lambda: True
    fake.MlflowClient = Client
    exceptions.MlflowException = RuntimeError
    entities.Metric = lambda *values: values
    for name, module in {"": fake, ".entities": entities, ".exceptions": exceptions}.items():
        monkeypatch.setitem(sys.modules, f"mlflow{name}", module)
    told = Trackers(["mlflow"], make_run(tmp_path, 5))
    told.log(10, {"dice_left (L)": 0.5})
    told.close()
    names = [name for name, _, _ in calls]
    assert names == ["get_experiment_by_name", "search_runs", "update_run", "log_batch",
                     "set_terminated"]  # fmt: skip
    ((metric, value, _, step),) = calls[3][2]["metrics"]
    assert (metric, value, step) == ("dice_left _L_", 0.5, 10)


def test_tensorboard_events_read_back_and_what_was_not_saved_is_purged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("tensorboard")
    monkeypatch.setattr(trackers, "CLOSING_S", 60.0)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    first = Trackers(["tensorboard"], make_run(tmp_path))
    for step in (5, 10, 15):
        first.log(step, {"train_loss": 1.0 / step})
    first.close()
    again = Trackers(["tensorboard"], make_run(tmp_path, 10))
    again.log(15, {"train_loss": 0.5})
    again.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    read = [(event.step, event.value) for event in events.Scalars("train_loss")]
    assert read == [(5, pytest.approx(0.2)), (10, pytest.approx(0.1)), (15, 0.5)]


@pytest.mark.slow
def test_mlflow_itself_keeps_the_numbers_of_a_continued_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    monkeypatch.setattr(trackers, "CLOSING_S", 60.0)  # it makes a database
    for step in (5, 10):
        told = Trackers(["mlflow"], make_run(tmp_path, step - 5))
        told.log(step, {"train_loss": 1.0 / step})
        told.close()
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("HIPPO").experiment_id])
    history = client.get_metric_history(run.info.run_id, "train_loss")
    assert [(metric.step, metric.value) for metric in history] == [(5, 0.2), (10, 0.1)]
    assert run.data.params["loss"] == "dice_ce"
    assert run.info.status == "FINISHED"


@pytest.mark.slow
def test_wandb_itself_writes_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(trackers, "CLOSING_S", 60.0)
    told = Trackers(["wandb"], make_run(tmp_path))
    told.log(5, {"train_loss": 0.2})
    told.close()
    (written,) = (tmp_path / "wandb").glob("offline-run-*-a1b2c3d4/run-a1b2c3d4.wandb")
    deadline = time.monotonic() + 20  # W&B's own process writes it
    while b"train_loss" not in written.read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.1)
