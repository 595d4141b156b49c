"""Commands as child processes: one at a time in each slot, or all at once as parts of one.

A child has a session of its own, so that Ctrl-C reaches it once and through us. One whose parent
is gone ends when it next writes a line.
"""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from autoseg.stopping import StopRequest

log = logging.getLogger(__name__)

POLL_S = 0.1
GRACE_S = 30.0  # between asking the others to end, when one has failed, and ending them
ERROR = "autoseg: error: "


@dataclass
class Child:
    """A running command, its last error message, and the thread that passes its lines on."""

    process: subprocess.Popen[str]
    error: str = ""
    reader: threading.Thread = field(default_factory=threading.Thread)

    def code(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs."""
        code = self.process.poll()
        if code is not None and self.reader.ident is not None:
            self.reader.join()
        return code


def start_told(words: Sequence[str], environment: Mapping[str, str], title: str) -> Child:
    """Start a command whose lines on stderr are logged behind `title`; its stdout is dropped."""
    process = subprocess.Popen(
        words, env=environment, start_new_session=True, text=True, errors="replace",
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    child = Child(process)
    child.reader = threading.Thread(target=_pass_on, args=(child, title), daemon=True)
    child.reader.start()
    return child


def start_plain(words: Sequence[str], environment: Mapping[str, str], silent: bool) -> Child:
    """Start a command that writes where we do; a `silent` one keeps what it has for stdout."""
    return Child(
        subprocess.Popen(
            words, env=environment, start_new_session=True, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if silent else None,
        )
    )  # fmt: skip


def _pass_on(child: Child, title: str) -> None:
    assert child.process.stderr is not None
    for line in child.process.stderr:
        text = line.rstrip()
        if text.startswith(ERROR):
            child.error = text.removeprefix(ERROR)
        log.info("%s: %s", title, text)


def run_queue(
    jobs: Sequence[str], slots: int, start: Callable[[str, int], Child], stop: StopRequest
) -> dict[str, Child]:
    """Run every job, at most one in each slot; return the ended children by job.

    `start(job, slot)` begins one. A job that fails does not stop the others. When `stop` is set,
    all that run are asked to end, and no more are started.
    """
    waiting, running, ended = deque(jobs), dict[int, tuple[str, Child]](), dict[str, Child]()
    asked = False
    while running or (waiting and not stop.signal_name):
        for slot in range(slots):
            if waiting and slot not in running and not stop.signal_name:
                job = waiting.popleft()
                running[slot] = job, start(job, slot)
        if stop.signal_name and not asked:
            asked = True
            for _, child in running.values():
                child.process.terminate()
        for slot, (job, child) in list(running.items()):
            if child.code() is not None:
                ended[job] = child
                del running[slot]
        time.sleep(POLL_S)
    return ended


def run_together(children: Sequence[Child], stop: StopRequest) -> int:
    """Wait for parts of one command; return 0, or the code of the one that failed first.

    When one fails the others are asked to end, and made to after `GRACE_S`.
    """
    first, deadline = 0, float("inf")
    asked = False
    while any(child.code() is None for child in children):
        first = first or _first_failure(children)
        if (stop.signal_name or first) and not asked:
            asked = True
            for child in children:
                child.process.terminate()
        if first and deadline == float("inf"):
            deadline = time.monotonic() + GRACE_S
        if time.monotonic() > deadline:
            for child in children:
                child.process.kill()
        time.sleep(POLL_S)
    return first or _first_failure(children)


def _first_failure(children: Sequence[Child]) -> int:
    return next((code for child in children if (code := child.code())), 0)
