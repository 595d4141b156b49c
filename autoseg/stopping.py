"""Ctrl-C and SIGTERM as a request: what runs looks at it where stopping loses nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from autoseg.errors import Stopped
from autoseg.progress import clear


@dataclass
class StopRequest:
    """Set by a signal: which one, or None."""

    signal_name: str | None = None
    parent: int | None = None  # whose end means to stop as well

    @property
    def number(self) -> int:
        """The signal's number, 0 without one; that of SIGHUP when the parent has gone."""
        if self.signal_name is None and self.parent not in (None, os.getppid()):
            self.signal_name = signal.SIGHUP.name
        return signal.Signals[self.signal_name].value if self.signal_name else 0

    def check(self) -> None:
        """Raise Stopped when a signal came."""
        if self.signal_name is not None:
            remedy = "run the same command again to continue"
            raise Stopped(f"stopped by {self.signal_name}", remedy=remedy)


@contextlib.contextmanager
def stop_on_signals(patient: bool = False, parent: int | None = None) -> Iterator[StopRequest]:
    """Let SIGTERM, SIGINT and SIGUSR1 ask for a stop in the block; a second one exits at once.

    Unless `patient`: whoever starts many processes may signal each several times. The end of the
    process `parent` is a request too.
    """
    request = StopRequest(parent=parent)

    def ask(number: int, frame: object) -> None:
        if request.signal_name is not None:
            if patient:
                return
            clear()
            os._exit(128 + number)  # every file is written atomically, so this is safe
        request.signal_name = signal.Signals(number).name

    if threading.current_thread() is not threading.main_thread():
        yield request  # Python delivers signals to the main thread only
        return
    before = {s: signal.signal(s, ask) for s in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
