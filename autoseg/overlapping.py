"""Cases in three steps, each of which is done beside those of the case before and after it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar, cast

from autoseg.outcomes import Item, Outcome, Result, attempt, name_of, outcome_of, tried
from autoseg.progress import Count, live_line

Ready = TypeVar("Ready")
Made = TypeVar("Made")


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
    steps = partial(tried, before), partial(tried, during), partial(tried, after)
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
                ready = outcome_of(item, ahead.pop(), name_of(item))
                ahead += [pool.submit(before, following) for following in items[number:][:1]]
                made = _then(during, ready)
                done()
                del ready  # may be large, and the next one is waited for below
                if behind is not None:
                    yield outcome_of(*behind, name_of(behind[0]))
                behind = None
                if made.error is None:
                    behind = item, pool.submit(after, item, cast(Made, made.value))
                else:
                    yield Outcome(item, None, made.error)
            if behind is not None:
                yield outcome_of(*behind, name_of(behind[0]))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _then(
    function: Callable[[Item, Ready], Made], ready: Outcome[Item, Ready]
) -> Outcome[Item, Made]:
    if ready.error is not None:
        return Outcome(ready.item, None, ready.error)
    return attempt(lambda item: function(item, cast(Ready, ready.value)), ready.item, name_of)
