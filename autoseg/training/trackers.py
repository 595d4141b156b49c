"""Trackers: where a training's numbers go besides `history.csv`. None of them can stop a training.

A tracker is an object with `log(step, {name: value})` and `close()`, made by a function
`(TrackedRun) -> tracker` that `--set trackers=...` names: "tensorboard", "wandb", "mlflow", or
"package.module:function". It lives in a thread of its own: whatever it raises, and however long it
takes, costs one warning.
"""

from __future__ import annotations

import importlib.util
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from autoseg.errors import UsageError
from autoseg.registry import resolve
from autoseg.training.services import mlflow_tracker, tensorboard_tracker, wandb_tracker

log = logging.getLogger(__name__)

QUEUED = 1000  # entries that may wait for a slow tracker; further ones are dropped
CLOSING_S = 15.0  # for all trackers together, when a training is over
EXTRA = "pip install 'autoseg[track]'"


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told about the training when it is made."""

    name: str  # "HIPPO 3d_fullres-S fold 0"
    dataset: str
    folder: Path  # exists; for what the tracker keeps on this disk
    id: str  # the same again when the training is continued
    step: int  # steps done already; what was told of later ones is told again
    settings: Mapping[str, Any]  # JSON primitives


class Tracker(Protocol):
    """What a tracker has to offer."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Take the values that stand after `step` steps."""

    def close(self) -> None:
        """Write what is left."""


TRACKERS: Mapping[str, Callable[[TrackedRun], Tracker]] = {
    "tensorboard": tensorboard_tracker,
    "wandb": wandb_tracker,
    "mlflow": mlflow_tracker,
}


def check_trackers(names: Iterable[str]) -> None:
    """Raise UsageError for a tracker that is unknown, or whose package is not installed."""
    for name in names:
        resolve("tracker", name, TRACKERS)
        if name in TRACKERS and importlib.util.find_spec(name) is None:
            raise UsageError(
                f"trackers={name}: the package {name} is not installed",
                remedy=f"{EXTRA}, or leave it out: history.csv is always written",
            )


class Trackers:
    """All trackers of a training. Nothing here raises; only `close` waits, and not for long."""

    def __init__(self, names: Sequence[str], run: TrackedRun) -> None:
        makers = {name: resolve("tracker", name, TRACKERS) for name in names}
        self._asides = [_Aside(name, make, run) for name, make in makers.items()]

    def log(self, step: int, values: Mapping[str, float | None]) -> None:
        """Hand the values that there are to every tracker."""
        known = {name: float(value) for name, value in values.items() if value is not None}
        for aside in self._asides:
            aside.put((step, known))

    def close(self) -> None:
        """Let the trackers finish; one that takes too long is left behind."""
        deadline = time.monotonic() + CLOSING_S
        for aside in self._asides:
            aside.put(None)
        for aside in self._asides:
            aside.join(max(0.0, deadline - time.monotonic()))


class _Aside:
    """One tracker in its thread; the first trouble is a warning and ends it."""

    def __init__(self, name: str, make: Callable[[TrackedRun], Tracker], run: TrackedRun) -> None:
        self.name, self._warned = name, False
        self._waiting: queue.Queue[tuple[int, Mapping[str, float]] | None] = queue.Queue(QUEUED)
        # A daemon: a tracker that hangs does not keep the process from ending.
        self._thread = threading.Thread(
            target=self._work, args=(make, run), name=f"tracker {name}", daemon=True
        )
        self._thread.start()

    def _work(self, make: Callable[[TrackedRun], Tracker], run: TrackedRun) -> None:
        try:
            tracker = make(run)
            while (entry := self._waiting.get()) is not None:
                tracker.log(*entry)
            tracker.close()
        except BaseException as error:  # a tracker that calls sys.exit() does not end a training
            self._warn(f"{type(error).__name__}: {error}")

    def put(self, entry: tuple[int, Mapping[str, float]] | None) -> None:
        try:
            self._waiting.put_nowait(entry)
        except queue.Full:
            self._warn("it takes too long")

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._warn(f"not finished after {CLOSING_S:g} s, left behind")

    def _warn(self, why: str) -> None:
        if not self._warned:
            self._warned = True
            first = (why.splitlines() or [""])[0][:300]
            log.warning("tracker %s: %s; the training goes on without it", self.name, first)
