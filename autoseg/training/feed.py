"""Batches on the device before their step begins, and how long steps waited for them.

On a CPU augmentation is arithmetic like any other, so a step waits only while no batch was read. On
a GPU a batch is copied and augmented on a stream of its own, beside the arithmetic of the steps
before, which the host has asked for and not seen done. There the device itself says how long it
stood still, from the end of one step to the beginning of the next.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator

import torch

from autoseg.training.batch import Batch, each_tensor
from autoseg.training.state import Task, generator_of, to_device

AHEAD = 2  # steps that a GPU is asked for and has not done: their batches lie in its memory


def make_feed(batches: Iterable[Batch], task: Task, step: int) -> Feed | OverlappedFeed:
    """Return the batches from number `step` on, each prepared when it is asked for."""
    make = OverlappedFeed if task.device.type == "cuda" else Feed
    return make(batches, task, step)


def prepared(task: Task, batch: Batch, step: int) -> Batch:
    """Return `batch`, which is number `step`, augmented and on the device of `task`."""
    generator = generator_of(task.config.seed, step, task.device)
    return task.augment(to_device(batch, task.device), generator)


class Feed(Iterator[Batch]):
    """Prepared batches, and the seconds in which none was there to prepare."""

    def __init__(self, batches: Iterable[Batch], task: Task, step: int) -> None:
        self._batches, self._task, self._step = iter(batches), task, step
        self._waited_s: float | None = None

    def __next__(self) -> Batch:
        """Return the next batch."""
        begin = time.perf_counter()
        batch = next(self._batches)
        seconds = time.perf_counter() - begin
        # None: the first one, which nobody could have read before.
        self._waited_s = 0.0 if self._waited_s is None else self._waited_s + seconds
        self._step += 1
        return prepared(self._task, batch, self._step - 1)

    def take_waited_s(self) -> float:
        """Return the seconds that steps have waited since this was last asked."""
        waited_s, self._waited_s = self._waited_s or 0.0, 0.0
        return waited_s


class OverlappedFeed(Iterator[Batch]):
    """Batches prepared beside the steps before, and the seconds in which the GPU had no step."""

    def __init__(self, batches: Iterable[Batch], task: Task, step: int) -> None:
        self._batches, self._task, self._step = iter(batches), task, step
        self._learning = torch.cuda.current_stream(task.device)
        self._preparing = torch.cuda.Stream(task.device)
        self._gaps: deque[tuple[torch.cuda.Event, torch.cuda.Event]] = deque()
        self._waited_s, self._first = 0.0, step

    def __next__(self) -> Batch:
        """Return the next batch; what uses it on the stream of learning waits for it there."""
        end, begin = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        end.record(self._learning)
        self._count(all_but=AHEAD - 1)
        with torch.cuda.stream(self._preparing):
            batch = prepared(self._task, next(self._batches), self._step)
        self._learning.wait_stream(self._preparing)
        # Memory of one stream that is read on another: not to be used again before that is done.
        each_tensor(batch, lambda tensor: tensor.record_stream(self._learning))
        begin.record(self._learning)
        if self._step > self._first:  # as in `Feed`
            self._gaps.append((end, begin))
        self._step += 1
        return batch

    def take_waited_s(self) -> float:
        """Return the seconds that steps have waited since this was last asked."""
        self._count(all_but=0)
        waited_s, self._waited_s = self._waited_s, 0.0
        return waited_s

    def _count(self, all_but: int) -> None:
        """Add up gaps, oldest first, waiting until the device is past them."""
        while len(self._gaps) > all_but:
            end, begin = self._gaps.popleft()
            begin.synchronize()
            self._waited_s += end.elapsed_time(begin) / 1000
