"""The line that tells how far a command is: on a terminal, and where there is none."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from autoseg.progress import Count, say_duration
from autoseg.terminal import CLEAR

pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals")

# A command in small: its line is drawn twenty times a second, so that a test takes half of one.
BEGINNING = """
import logging, os, signal, sys, time, warnings
from autoseg import cli, progress
from autoseg.parallel import map_cases
from autoseg.progress import live_line
from autoseg.stopping import stop_on_signals
progress.DRAWN_EVERY_S, progress.SAID_EVERY_S = 0.05, 0.12
cli._start_logging(logging.INFO)
log = logging.getLogger("autoseg.test")
def until(seconds):
    time.sleep(seconds)
"""


class Terminal:
    """A script on a terminal of its own; its screen is what `text` makes of the bytes."""

    def __init__(self, script: str, columns: int = 80, term: str = "xterm"):
        import fcntl
        import struct
        import termios

        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            environment = {**os.environ, "TERM": term}
            words = [sys.executable, "-c", BEGINNING + script]
            os.execve(sys.executable, words, environment)
        self.bytes = b""
        self.code: int | None = None

    def read(self, until: str = "") -> str:
        """Return all that was written, up to the end or to the first sight of `until`."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                more = os.read(self.fd, 65536)
            except OSError:  # the other end is closed
                more = b""
            if not more:
                self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
                break
            self.bytes += more
            if until and until in self.bytes.decode():
                break
        return self.bytes.decode()


def screen(text: str) -> list[str]:
    """Return the rows that a terminal shows: it knows \\r, \\n and clearing to the end."""
    rows, row, column = [""], 0, 0
    for piece in re.findall(rf"{re.escape(CLEAR)}|[\s\S]", text):
        if piece == CLEAR:
            rows[row:] = [rows[row][:column]]
        elif piece == "\r":
            column = 0
        elif piece == "\n":
            row += 1
            rows += [""] * (row == len(rows))
        else:
            assert piece.isprintable(), repr(piece)
            rows[row] = rows[row][:column].ljust(column) + piece + rows[row][column + 1 :]
            column += 1
    return rows


def frames(text: str) -> list[str]:
    """Return the live lines that were drawn, one after the other."""
    return re.findall(r"([^\r\n]+)\r(?!\n)", text.replace(CLEAR, ""))


CASES = """
def work(n):
    time.sleep(0.1)
    if n == 2:
        log.warning("case 2 is odd")
        warnings.warn("from a library")
    return n
print(sum(o.result() for o in map_cases(work, range(6), title="prepare")))
"""


def test_one_line_is_drawn_in_place_and_nothing_of_it_is_left():
    terminal = Terminal(CASES)
    text = terminal.read()
    assert terminal.code == 0
    lines = frames(text)
    assert len(lines) > 5
    assert all(re.fullmatch(r"prepare: \d of 6, \d s (left|so far)", line) for line in lines)
    counts = [int(line[9]) for line in lines]
    assert counts == sorted(counts)
    rows = screen(text)
    assert rows[0] == "case 2 is odd"
    assert rows[1].endswith("UserWarning: from a library")
    assert rows[-2:] == ["15", ""]
    assert not any("prepare" in row for row in rows)


def test_what_is_written_meanwhile_stands_above_the_line():
    text = Terminal(CASES).read(until="library")
    at = text.index("case 2 is odd")
    assert text[:at].endswith(CLEAR)  # of the line's row
    assert re.match(r"case 2 is odd\r\nprepare: \d of 6, \d s left\r", text[at:])


@pytest.mark.parametrize(("columns", "shown"), [(61, "a"), (60, "b"), (40, "b"), (39, "c")])
def test_the_longest_text_that_fits_is_shown_and_never_wraps(columns, shown):
    texts = ["a" * 60, "b" * 39, "c" * 10]
    script = f"with live_line(lambda: {texts}): until(0.15)"
    assert {line[0] for line in frames(Terminal(script, columns).read())} == {shown}


def test_what_does_not_fit_at_all_is_cut():
    assert set(frames(Terminal("with live_line(lambda: ['c' * 10]): until(0.15)", 8).read())) == {
        "c" * 7
    }


def test_a_narrower_window_is_noticed_at_once():
    import fcntl
    import struct
    import termios

    terminal = Terminal("with live_line(lambda: ['a' * 60, 'b' * 20]): until(0.6)")
    terminal.read(until="a" * 60)
    fcntl.ioctl(terminal.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    assert frames(terminal.read())[-1] == "b" * 20


def test_of_lines_within_lines_the_innermost_is_shown_and_the_outer_one_returns():
    script = """
with live_line(lambda: ["outer"]):
    until(0.15)
    with live_line(lambda: ["inner"]):
        until(0.15)
    until(0.15)
"""
    seen = frames(Terminal(script).read())
    changes = [line for line, before in zip(seen, ["", *seen], strict=False) if line != before]
    assert changes == ["outer", "inner", "outer"]


WORK = """
def work(stop=None):
    with live_line(lambda: ["working: 3 of 9"]):
        while stop is None or stop.signal_name is None:
            until(0.05)
"""
CTRL_C = "sys.exit(cli._guarded(work, False))"
PATIENT = "with stop_on_signals() as stop: work(stop); print('stopped by', stop.signal_name)"
TWICE = "with stop_on_signals() as stop: os.kill(os.getpid(), 15); work()"


@pytest.mark.parametrize(
    ("script", "number", "said", "code"),
    [
        (CTRL_C, signal.SIGINT, "autoseg: error: interrupted -> run the same command again", 130),
        (PATIENT, signal.SIGINT, "stopped by SIGINT", 0),
        (PATIENT, signal.SIGTERM, "stopped by SIGTERM", 0),
        ("work()", signal.SIGTERM, "", -signal.SIGTERM),
        (TWICE, signal.SIGTERM, "", 143),
    ],
)
def test_a_signal_leaves_the_cursor_on_a_fresh_line(script, number, said, code):
    terminal = Terminal(WORK + script)
    terminal.read(until="3 of 9")
    os.kill(terminal.pid, number)
    rows = screen(terminal.read())
    assert terminal.code == code
    assert rows == ([said, ""] if said else [""])


@pytest.mark.parametrize("how", ["pipe", "file", "dumb"])
def test_without_a_terminal_there_are_plain_lines_now_and_then(how, tmp_path):
    if how == "dumb":
        text = Terminal(CASES, term="dumb").read().replace("\r\n", "\n")
    elif how == "pipe":
        done = subprocess.run([sys.executable, "-c", BEGINNING + CASES], capture_output=True)
        text = (done.stderr + done.stdout).decode()
    else:
        with (tmp_path / "log").open("wb") as file:
            subprocess.run([sys.executable, "-c", BEGINNING + CASES], stdout=file, stderr=file)
        text = (tmp_path / "log").read_text()
    assert "\r" not in text
    assert "\x1b" not in text
    said = re.findall(r"^prepare: \d of 6, \d s left$", text, re.MULTILINE)
    assert 2 <= len(said) <= 5  # 0.6 s, one each 0.12 s
    assert text.splitlines()[-1] == "15"


def test_a_thousand_cases_in_a_second_are_no_thousand_lines():
    script = "list(map_cases(abs, range(1000), title='check'))"
    done = subprocess.run([sys.executable, "-c", BEGINNING + script], capture_output=True)
    assert done.stderr == b""


def test_a_case_that_takes_long_is_spoken_of_all_the_same():
    script = "list(map_cases(until, [0.5], title='merge'))"
    done = subprocess.run([sys.executable, "-c", BEGINNING + script], capture_output=True)
    assert re.match(rb"(merge: 0 of 1, \d s so far\n)+", done.stderr)


def test_another_commands_terminal_is_left_alone():
    script = """
import termios
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
if os.fork() == 0:
    os.setpgid(0, 0)
    with live_line(lambda: ["in the background"]):
        until(0.3)
    os._exit(0)
os.wait()
"""
    assert "background" not in Terminal(script).read()


# --- how long it still takes ---------------------------------------------------------------------


@pytest.fixture
def clock():
    class Clock:
        now = 100.0

        def __call__(self):
            return self.now

    return Clock()


def test_the_time_left_is_that_of_the_others_at_the_same_pace(clock):
    count = Count("prepare", 10, clock)
    assert count.seconds_left() is None
    clock.now += 30
    assert count.describe() == ("prepare: 0 of 10, 30 s so far", "30 s so far")
    clock.now += 10
    count.add(2)
    assert count.seconds_left() == pytest.approx(160)
    clock.now += 5
    assert count.seconds_left() == pytest.approx(155)  # it runs down while a case is worked on
    clock.now += 100  # and stops where that one has taken too long
    assert count.seconds_left() == pytest.approx(140)
    assert count.describe()[0] == "prepare: 2 of 10, 2 min 20 s left"
    count.add(8)
    assert count.seconds_left() == 0


def test_the_first_of_several_is_not_taken_for_typical(clock):
    count = Count("check", 10, clock)
    clock.now += 30  # processes start
    count.add()
    assert count.seconds_left() == pytest.approx(270)
    clock.now += 2
    count.add()
    clock.now += 2
    count.add()
    assert count.seconds_left() == pytest.approx(14)


def test_a_burst_is_not_taken_for_a_pace(clock):
    count = Count("check", 10, clock)
    clock.now += 8
    for _ in range(4):
        count.add()
    assert count.seconds_left() == pytest.approx(12)


def test_a_part_of_a_case_counts_as_that_part(clock):
    count = Count("predict", 4, clock)
    count.begin(10)
    clock.now += 20
    for _ in range(5):
        count.step()
    assert count.seconds_left() == pytest.approx(20 / 0.5 * 3.5)
    for _ in range(20):
        count.step()  # more than were announced
    assert count.seconds_left() == pytest.approx(60)
    count.add()
    assert count.seconds_left() == pytest.approx(60)
    count.begin(10)
    clock.now += 4
    count.add()  # a small one: both are as typical
    assert count.seconds_left() == pytest.approx(24)


def test_waiting_before_the_first_case_does_not_count(clock):
    count = Count("predict", 4, clock)
    clock.now += 1000
    count.start(2)
    clock.now += 10
    count.add()
    assert count.seconds_left() == pytest.approx(10)


def test_durations_read_well():
    assert [say_duration(s) for s in (-1, 59.4, 60, 61, 3599.6, 86400)] == [
        "0 s", "59 s", "1 min", "1 min 1 s", "1 h 0 min", "24 h 0 min",
    ]  # fmt: skip
