"""Run one function over many cases: in order, few in flight, progress shown, failures kept apart.

A failing case does not stop the others: its error travels in its `Outcome`, and the verb decides.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from functools import partial

from autoseg.executors import IN_FLIGHT_PER_WORKER, spawned, submitted
from autoseg.outcomes import Item, Outcome, Result, attempt, name_of, tried
from autoseg.progress import Count, counted


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
    named = name or name_of
    function = partial(tried, function)
    if executor is not None:
        outcomes = submitted(executor, function, items, 2 * IN_FLIGHT_PER_WORKER, named)
    elif workers > 0 and len(items) > 1:
        outcomes = spawned(function, items, min(workers, len(items)), named)
    else:
        outcomes = (attempt(function, item, named) for item in items)
    with contextlib.closing(outcomes):  # type: ignore[type-var]
        yield from counted(outcomes, Count(title, len(items))) if title else outcomes
