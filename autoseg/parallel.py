"""Run one function over many cases: in order, few in flight, progress shown, failures kept apart.

A failing case does not stop the others: its error travels in its `Outcome`, and the verb decides.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import wait
from typing import Any, Generic, TypeVar, cast

from autoseg.errors import AutosegError, ResourceError
from autoseg.progress import Count, counted, live_line
from autoseg.registry import blame
from autoseg.relay import Heard, heard

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Ready = TypeVar("Ready")
Made = TypeVar("Made")
Result = TypeVar("Result")
IN_FLIGHT_PER_WORKER = 2  # enough to keep workers busy while the results are consumed


@dataclass(frozen=True)
class Outcome(Generic[Item, Result]):
    """What became of one item: a value, or the error that the function raised."""

    item: Item
    value: Result | None
    error: Exception | None = None

    def result(self) -> Result:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


def map_cases(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int = 0,
    title: str = "",
    name: Callable[[Item], str] | None = None,
    executor: Executor | None = None,
) -> Iterator[Outcome[Item, Result]]:
    """Yield one Outcome per item, in the order of `items`.

    `workers=0` is a plain loop in this process; otherwise that many fresh (spawned) processes, so
    `function` and items must pickle. Any `executor` may be given instead; it is left open.
    A worker that the operating system kills costs only its own case: ResourceError in its Outcome.
    With a `title` a line tells how many are done and how long the others will take.
    """
    items = list(items)
    named = name or _name
    function = partial(_tried, function)
    if executor is not None:
        outcomes = _submit(executor, function, items, 2 * IN_FLIGHT_PER_WORKER, named)
    elif workers > 0 and len(items) > 1:
        outcomes = _spawned(function, items, min(workers, len(items)), named)
    else:
        outcomes = (_call(function, item, named) for item in items)
    with contextlib.closing(outcomes):  # type: ignore[type-var]
        yield from counted(outcomes, Count(title, len(items))) if title else outcomes


def overlapped(
    before: Callable[[Item], Ready],
    during: Callable[[Item, Ready], Made],
    after: Callable[[Item, Made], Result],
    items: Sequence[Item],
    *,
    threads: int = 2,
    count: Count | None = None,
) -> Iterator[Outcome[Item, Result]]:
    """Yield one Outcome per item, in the order of `items`, each of which takes three steps.

    While `during` works on an item in the caller's thread, `after` ends the one before it and
    `before` makes the next one ready in as many other `threads` (2; or 1, for one and then the
    other). So three items at most are held. An item's first error is its Outcome. `count` is shown
    while they are worked on.
    """
    count = count or Count("", len(items))
    count.start()
    steps = partial(_tried, before), partial(_tried, during), partial(_tried, after)
    outcomes = _overlapped(*steps, items, threads, count.add)
    shown = live_line(count.describe) if count.title else contextlib.nullcontext()
    with contextlib.closing(outcomes), shown:  # type: ignore[type-var]
        yield from outcomes


def _overlapped(
    before: Callable[[Item], Ready],
    during: Callable[[Item, Ready], Made],
    after: Callable[[Item, Made], Result],
    items: Sequence[Item],
    threads: int,
    done: Callable[[], None],
) -> Iterator[Outcome[Item, Result]]:
    behind: tuple[Item, Future[Result]] | None = None
    with ThreadPoolExecutor(threads, thread_name_prefix="beside") as pool:
        try:
            ahead = [pool.submit(before, item) for item in items[:1]]
            for number, item in enumerate(items, start=1):
                ready = _outcome(item, ahead.pop(), _name(item))
                ahead += [pool.submit(before, following) for following in items[number:][:1]]
                made = _then(during, ready)
                done()
                del ready  # may be large, and the next one is waited for below
                if behind is not None:
                    yield _outcome(*behind, _name(behind[0]))
                behind = None
                if made.error is None:
                    behind = item, pool.submit(after, item, cast(Made, made.value))
                else:
                    yield Outcome(item, None, made.error)
            if behind is not None:
                yield _outcome(*behind, _name(behind[0]))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _then(
    function: Callable[[Item, Ready], Made], ready: Outcome[Item, Ready]
) -> Outcome[Item, Made]:
    if ready.error is not None:
        return Outcome(ready.item, None, ready.error)
    return _call(lambda item: function(item, cast(Ready, ready.value)), ready.item, _name)


def _name(item: object) -> str:
    return str(getattr(item, "id", item))


def _call(
    function: Callable[[Item], Result], item: Item, named: Callable[[Item], str]
) -> Outcome[Item, Result]:
    try:
        return Outcome(item, function(item))
    except Exception as error:  # carried to the caller, who knows what a failed case means
        return Outcome(item, None, _at(error, named(item)))


def _tried(function: Callable[..., Result], *arguments: Any) -> Result:
    """Return what `function` gives; tracebacks do not travel, so whose code failed is told here."""
    try:
        return function(*arguments)
    except Exception as error:
        told = blame(error)
        if told is None:
            raise
        raise told from error


def _outcome(item: Item, future: Future[Result], name: str) -> Outcome[Item, Result]:
    error = future.exception()
    if isinstance(error, Exception):
        return Outcome(item, None, _at(error, name))
    if error is not None:
        raise error  # KeyboardInterrupt and its kind stop everything
    return Outcome(item, future.result())


def _at(error: Exception, name: str) -> Exception:
    """Return `error` naming its case, unless it names a place already."""
    if isinstance(error, AutosegError) and not error.place:
        error.place = name
    return error


def _submit(
    executor: Executor,
    function: Callable[[Item], Result],
    items: Sequence[Item],
    in_flight: int,
    named: Callable[[Item], str],
) -> Iterator[Outcome[Item, Result]]:
    pending: deque[tuple[Item, Future[Result]]] = deque()
    left = iter(items)
    try:
        for item in itertools.islice(left, in_flight):
            pending.append((item, _send(executor, function, item)))
        while pending:
            item, future = pending[0]
            outcome = _outcome(item, future, named(item))
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


def _spawned(
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
            outcomes = _submit(pool, partial(heard, function), items[done:], in_flight, named)
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
        outcome = _outcome(item, pool.submit(heard, function, item), named(item))
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
    return _call(lambda _: cast(Heard, outcome.value).result(), outcome.item, named)


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
