"""What is being done and how long it still takes: a live line on a terminal, log lines elsewhere.

A thread draws the line once a second, so nothing that works waits for it; what is written to stderr
meanwhile stands above it. In a file, a pipe, on Windows' console and with TERM=dumb nothing is
drawn, and the log says the same every half a minute.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from autoseg.terminal import LOCK, Screen, can_draw

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Describe = Callable[[], Sequence[str]]  # the same said at length and in brief, longest first

DRAWN_EVERY_S = 1.0
SAID_EVERY_S = 30.0
MEASURABLE_S = 1.0  # processes hand their first cases over in a burst

_lines: list[Describe] = []  # the innermost one is last, and is shown
_screen: Screen | None = None


@contextlib.contextmanager
def live_line(describe: Describe, said: bool = True) -> Iterator[None]:
    """Show what `describe()` says, as much of it as fits, from a second after the block began.

    Of blocks within blocks the innermost is shown. `said`: where there is no live line it is
    logged; otherwise nothing is.
    """
    ended = threading.Event()
    with LOCK:
        _lines.append(describe)
        if len(_lines) == 1:
            _begin()
    threading.Thread(target=_follow, args=(describe, said, ended), daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        with LOCK:
            _lines.remove(describe)
            if not _lines:
                _end()


def _follow(describe: Describe, said: bool, ended: threading.Event) -> None:
    last = time.monotonic()
    while not ended.wait(DRAWN_EVERY_S):
        with LOCK:
            if ended.is_set() or _lines[-1] is not describe:
                continue
            if _screen is not None:
                _screen.draw(describe())
                continue
        if said and time.monotonic() - last >= SAID_EVERY_S:
            last = time.monotonic()
            log.info("%s", describe()[0])


def clear() -> None:
    """Take the live line away at once: this process is about to end."""
    with LOCK:
        if _screen is not None:
            _screen.draw(())


class Count:
    """How many of `total` cases are done, how much of the running one, and the time they took."""

    def __init__(self, title: str, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.title, self.total, self.done, self.clock = title, total, 0, clock
        self._steps, self._step, self._stepped = 0, 0, False
        self.start()

    def start(self, total: int | None = None) -> None:
        """The first case, of `total` perhaps, begins now."""
        self.total = self.total if total is None else total
        self._begun = self._last = self.clock()
        self._first = (0, self._begun)  # cases that were done at once, and when

    def begin(self, steps: int) -> None:
        """A case begins that takes so many steps."""
        self._steps, self._step, self._stepped = steps, 0, True

    def step(self) -> None:
        """The running case has come a step further."""
        self._step += 1

    def add(self, cases: int = 1) -> None:
        """So many cases more are done."""
        self.done, self._last = self.done + cases, self.clock()
        if not self._first[0]:
            self._first = (self.done, self._last)
        self._steps = 0

    def seconds_left(self) -> float | None:
        """Return how long the other cases will take; None before anything is known."""
        now, part = self.clock(), 0.0
        if self._steps and self._step:
            part = min(1.0, self._step / self._steps)
        # Where other processes work, the first case waits for them to start. Of those worked on
        # one after the other, which tell their steps, it is as good as any.
        first, begun = self._first
        if self._stepped or self._last - begun < MEASURABLE_S:
            first, begun = 0, self._begun
        done = self.done - first + part
        if not done:
            return None
        if part:
            return (now - begun) / done * (self.total - self.done - part)
        each, left = (self._last - begun) / done, self.total - self.done
        return max(each * left - (now - self._last), each * (left - 1), 0.0)

    def describe(self) -> tuple[str, ...]:
        """Return the line: `predict: 3 of 20, 2 min 10 s left`."""
        left = self.seconds_left()
        if left is None:
            time_said = f"{say_duration(self.clock() - self._begun)} so far"
        else:
            time_said = f"{say_duration(left)} left"
        return f"{self.title}: {self.done} of {self.total}, {time_said}", time_said


def counted(items: Iterable[Item], count: Count) -> Iterator[Item]:
    """Pass `items` on, counting those that have been dealt with, under a line that tells."""
    count.start()
    with live_line(count.describe):
        for item in items:
            yield item
            count.add()


def say_duration(seconds: float) -> str:
    """Return a duration for people.

    >>> say_duration(42.3), say_duration(750), say_duration(9000)
    ('42 s', '12 min 30 s', '2 h 30 min')
    """
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _begin() -> None:
    global _screen
    if can_draw(sys.stderr):
        _screen = Screen(sys.stderr)
        sys.stderr = _screen
        _on_termination(signal.SIG_DFL, _end_by)


def _end() -> None:
    global _screen
    if _screen is not None:
        _screen.draw(())
        if sys.stderr is _screen:
            sys.stderr = _screen.stream
        _screen = None
        _on_termination(_end_by, signal.SIG_DFL)


def _on_termination(before: Any, after: Any) -> None:
    """Exchange what SIGTERM does, where it does `before`."""
    main = threading.current_thread() is threading.main_thread()
    if main and signal.getsignal(signal.SIGTERM) is before:
        signal.signal(signal.SIGTERM, after)


def _end_by(number: int, frame: object) -> None:
    clear()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
