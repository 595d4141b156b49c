"""Cases handed to an executor, few in flight; processes that are spawned, and may be killed."""

from __future__ import annotations

import contextlib
import itertools
import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.connection import wait
from typing import Any, cast

from autoseg.errors import ResourceError
from autoseg.outcomes import Item, Outcome, Result, attempt, outcome_of
from autoseg.relay import Heard, heard

log = logging.getLogger(__name__)

IN_FLIGHT_PER_WORKER = 2  # enough to keep workers busy while the results are consumed


def submitted(
    executor: Executor,
    function: Callable[[Item], Result],
    items: Sequence[Item],
    in_flight: int,
    named: Callable[[Item], str],
) -> Iterator[Outcome[Item, Result]]:
    """Yield an Outcome for each of `items`, in their order, `in_flight` of them at once at most."""
    pending: deque[tuple[Item, Future[Result]]] = deque()
    left = iter(items)
    try:
        for item in itertools.islice(left, in_flight):
            pending.append((item, _send(executor, function, item)))
        while pending:
            item, future = pending[0]
            outcome = outcome_of(item, future, named(item))
            pending.popleft()
            for following in itertools.islice(left, 1):
                pending.append((following, _send(executor, function, following)))
            yield outcome
    finally:
        for _, future in pending:
            future.cancel()


def _send(executor: Executor, function: Callable[[Item], Result], item: Item) -> Future[Result]:
    try:
        return executor.submit(function, item)
    except BrokenExecutor as error:
        broken: Future[Result] = Future()
        broken.set_exception(error)
        return broken


def spawned(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    named: Callable[[Item], str],
) -> Iterator[Outcome[Item, Result]]:
    """Work through `items` in processes; when one is killed, continue with a single one."""
    done = 0
    while done < len(items):
        with _pool(workers) as pool:
            in_flight = workers * IN_FLIGHT_PER_WORKER
            outcomes = submitted(pool, partial(heard, function), items[done:], in_flight, named)
            for outcome in outcomes:
                if isinstance(outcome.error, BrokenProcessPool):
                    break
                done += 1
                yield _said(outcome, named)
            else:
                return
        # Nobody can tell whose worker was killed, so the next case is tried alone.
        log.warning("a worker process was killed, continuing with one process")
        workers = 1
        yield _alone(function, items[done], named)
        done += 1


def _alone(
    function: Callable[[Item], Result], item: Item, named: Callable[[Item], str]
) -> Outcome[Item, Result]:
    with _pool(1) as pool:
        outcome = outcome_of(item, pool.submit(heard, function, item), named(item))
    if not isinstance(outcome.error, BrokenProcessPool):
        return _said(outcome, named)
    killed = ResourceError(
        "its worker process was killed by the operating system, likely for want of memory",
        place=named(item),
        remedy="free memory, or run with fewer workers",
    )
    return Outcome(item, None, killed)


def _said(outcome: Outcome[Item, Heard], named: Callable[[Item], str]) -> Outcome[Item, Any]:
    """Say what a worker said; return what its function made."""
    if outcome.value is None:
        return Outcome(outcome.item, None, outcome.error)
    return attempt(lambda _: cast(Heard, outcome.value).result(), outcome.item, named)


@contextlib.contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    """Leave signals to the parent, and end with it however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: Any) -> None:
    wait([sentinel])
    os._exit(1)
