"""Child processes: queued or together, their lines passed on, asked to end when we are."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from autoseg import children
from autoseg.children import Child, run_queue, run_together, start_plain, start_told
from autoseg.stopping import StopRequest

WAIT_FOR_SIGTERM = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
print('ready', file=sys.stderr, flush=True)
time.sleep(60)
"""


def told(code: str, title: str = "job") -> Child:
    return start_told([sys.executable, "-c", code], os.environ, title)


def plain(code: str) -> Child:
    return start_plain([sys.executable, "-c", code], os.environ, silent=True)


def test_jobs_run_one_in_each_slot_and_a_failure_stops_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", "autoseg")
    # Each of the first two waits for the other: they would never end one after the other.
    code = """if 1:
        import pathlib, sys, time
        me, folder = sys.argv[1], pathlib.Path(sys.argv[2])
        (folder / me).touch()
        while me in 'ab' and not ((folder / 'a').exists() and (folder / 'b').exists()):
            time.sleep(0.01)
        print('hello', file=sys.stderr)
        if me == 'b':
            print('autoseg: error: no such thing', file=sys.stderr)
            sys.exit(3)
    """
    slots: dict[str, int] = {}

    def start(job: str, slot: int) -> Child:
        slots[job] = slot
        words = [sys.executable, "-c", code, job, str(tmp_path)]
        return start_told(words, os.environ, f"job {job}")

    ended = run_queue(["a", "b", "c"], 2, start, StopRequest())
    assert {job: child.code() for job, child in ended.items()} == {"a": 0, "b": 3, "c": 0}
    assert ended["b"].error == "no such thing"
    assert {slots["a"], slots["b"]} == {0, 1}
    assert {"job a: hello", "job b: hello", "job c: hello"} <= set(caplog.messages)


def test_a_stop_is_passed_on_and_nothing_more_is_started(caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "autoseg")
    stop = StopRequest()

    def ask() -> None:
        while "job: ready" not in caplog.messages:
            time.sleep(0.01)
        stop.signal_name = "SIGTERM"

    threading.Thread(target=ask).start()
    ended = run_queue(["a", "b"], 1, lambda job, slot: told(WAIT_FOR_SIGTERM), stop)
    assert {job: child.code() for job, child in ended.items()} == {"a": 75}


def test_when_one_part_fails_the_others_are_ended_and_its_code_counts(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(children, "GRACE_S", 0.2)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    begin = time.monotonic()
    parts = [plain(deaf), plain("import sys, time; time.sleep(1); sys.exit(3)")]
    assert run_together(parts, StopRequest()) == 3
    assert time.monotonic() - begin < 20
    assert [part.code() for part in parts] == [-9, 3]


def test_parts_that_all_go_well_are_a_success():
    assert run_together([plain("pass"), plain("pass")], StopRequest()) == 0
