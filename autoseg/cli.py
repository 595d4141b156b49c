"""Words on a command line to one verb; results on stdout, progress and messages on stderr.

What the user can mend ends in one line "autoseg: error: what -> remedy" and the exit code of its
kind (`errors.py`), also where a function of their own failed; anything else is our bug, keeps its
traceback and exits 1.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

from autoseg import __version__
from autoseg.commands import COMMANDS
from autoseg.errors import AutosegError, ResourceError, Stopped, UsageError, suggest
from autoseg.registry import blame

INTERNAL_ERROR, INTERRUPTED, BROKEN_PIPE = 1, 130, 141  # the last two: 128 + the signal's number
# What the system refuses is the user's to mend, wherever it happens.
SYSTEM_REFUSALS = {
    errno.ENOSPC: "free some space, then run the same command again",
    errno.EDQUOT: "free some space, then run the same command again",
    errno.EACCES: "choose a place that you may read and write",
    errno.EPERM: "choose a place that you may read and write",
    errno.EROFS: "choose a place that you may write",
}


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are UsageErrors, like all others."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, remedy=f"see {self.prog} -h")


def _make_parser(name: str, prog: str) -> argparse.ArgumentParser:
    command = COMMANDS[name]
    parser = _Parser(prog=prog, description=command.summary, allow_abbrev=False)
    command.add_options(parser)
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    return parser


def _parse(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    options, unknown = parser.parse_known_args(words)
    if unknown:
        known = [word for action in parser._actions for word in action.option_strings]
        option = unknown[0].split("=")[0]
        remedy = suggest(option, known) if option.startswith("-") else f"see {parser.prog} -h"
        raise UsageError(f"unknown argument '{option}'", remedy=remedy)
    return options


def _overview() -> str:
    lines = [f"  {name:<12}{command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: autoseg COMMAND ...",
            "",
            "From a folder of scans and labels to an evaluated segmentation model.",
            "",
            *lines,
            "",
            "autoseg COMMAND -h explains a command; autoseg --version names the version.",
            "autoseg_plan, autoseg_train, autoseg_predict and autoseg_evaluate are commands too.",
        ]
    )


def _umbrella(words: Sequence[str]) -> None:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
    elif words[0] == "--version":
        print(f"autoseg {__version__}")
    elif words[0] in COMMANDS:
        _run_command(words[0], words[1:], f"autoseg {words[0]}")
    else:
        raise UsageError(f"unknown command '{words[0]}'", remedy=suggest(words[0], COMMANDS))


def _run_command(name: str, words: Sequence[str], prog: str) -> None:
    options = _parse(_make_parser(name, prog), words)
    _start_logging(logging.DEBUG if options.debug else logging.INFO)
    text = COMMANDS[name].run(options)
    if text:
        print(text)


class _ToStderr(logging.Handler):
    """Write log lines to what stderr is at the time: a live line stands for it, see `progress`."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(self.format(record) + "\n")


def _start_logging(level: int) -> None:
    logger = logging.getLogger("autoseg")
    logger.handlers = [_ToStderr()]
    logger.setLevel(level)
    logger.propagate = False


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the process at once and say so, while modules are loaded as at any time.

    Every file is written atomically, so this is safe; what can save more looks for a request
    itself (`stopping.py`).
    """

    def end(number: int, frame: object) -> None:
        if "autoseg.progress" in sys.modules:  # else there is no live line
            sys.modules["autoseg.progress"].clear()
        told = Stopped("stopped by SIGTERM", remedy="run the same command again to continue")
        os.write(2, f"autoseg: error: {told}\n".encode())  # stderr may be at work just now
        os._exit(told.exit_code)

    try:
        before = signal.signal(signal.SIGTERM, end)
    except ValueError:  # not the main thread, which alone is told of signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _guarded(run: Callable[[], None], debug: bool) -> int:
    """Return the exit code of `run()`, after telling on stderr what went wrong."""
    try:
        with _ended_by_sigterm():
            run()
            sys.stdout.flush()
    except SystemExit as end:  # argparse, after printing help
        return int(end.code or 0)
    except BrokenPipeError:
        # The reader (head, less) has seen enough; a later flush must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        print("autoseg: error: interrupted -> run the same command again", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        return _tell(error, debug)
    return 0


def _tell(error: Exception, debug: bool) -> int:
    mendable = _as_mendable(error)
    if debug or mendable is None:
        traceback.print_exception(error)
    if mendable is None:
        fact = f"internal error: {type(error).__name__}"
        print(f"autoseg: error: {fact} -> please report the lines above", file=sys.stderr)
        return INTERNAL_ERROR
    *problems, last = str(mendable).split("\n")
    print("\n".join([*problems, f"autoseg: error: {last}"]), file=sys.stderr)
    return mendable.exit_code


def _as_mendable(error: Exception) -> AutosegError | None:
    """Return what the user can do something about, None for a mistake of ours."""
    if isinstance(error, AutosegError):
        return error
    # torch's refusal of memory on a processor has no type of its own.
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error):
        return ResourceError("out of memory", remedy="fewer --workers, or a smaller --size")
    if isinstance(error, OSError) and error.errno in SYSTEM_REFUSALS:
        fact, place = (error.strerror or "").lower(), str(error.filename or "")
        return ResourceError(fact, place=place, remedy=SYSTEM_REFUSALS[error.errno])
    return blame(error)


def main(words: Sequence[str] | None = None) -> int:
    """Run `autoseg COMMAND ...` and return its exit code; the words default to the shell's."""
    given = list(sys.argv[1:] if words is None else words)
    return _guarded(lambda: _umbrella(given), "--debug" in given)


def _main_of(name: str, words: Sequence[str] | None) -> int:
    given = list(sys.argv[1:] if words is None else words)
    return _guarded(lambda: _run_command(name, given, f"autoseg_{name}"), "--debug" in given)


def main_plan(words: Sequence[str] | None = None) -> int:
    """Run `autoseg_plan ...`."""
    return _main_of("plan", words)


def main_train(words: Sequence[str] | None = None) -> int:
    """Run `autoseg_train ...`."""
    return _main_of("train", words)


def main_predict(words: Sequence[str] | None = None) -> int:
    """Run `autoseg_predict ...`."""
    return _main_of("predict", words)


def main_evaluate(words: Sequence[str] | None = None) -> int:
    """Run `autoseg_evaluate ...`."""
    return _main_of("evaluate", words)


if __name__ == "__main__":
    sys.exit(main())
