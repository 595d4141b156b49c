"""What a function warns of in another process comes back with its result.

Processes that write to one terminal at once spoil each other's lines, and what they log would not
reach `log.txt`. So a worker keeps quiet, and the first process says it for it, case by case.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

OURS, WARNINGS = "autoseg", "py.warnings"


@dataclass(frozen=True)
class Heard:
    """A value or an error, and the (logger, level, text) of all that was said on the way."""

    value: Any
    error: Exception | None
    cause: Exception | None
    said: tuple[tuple[str, int, str], ...]

    def result(self) -> Any:
        """Say what was said, then return the value or raise the error."""
        for name, level, text in self.said:
            logging.getLogger(name).log(level, "%s", text)
        if self.error is not None:
            raise self.error from self.cause
        return self.value


class Elsewhere(Exception):
    """The traceback of an error in another process, as its cause."""


def heard(function: Callable[[Any], Any], item: Any) -> Heard:
    """Call `function(item)` in a worker process, in which nothing else logs."""
    keeper = _Keeper()
    logging.captureWarnings(True)
    for name in (OURS, WARNINGS):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [keeper], False
    logging.getLogger(OURS).setLevel(logging.WARNING)
    try:
        return Heard(function(item), None, None, tuple(keeper.said))
    except Exception as error:  # carried to the caller, who knows what a failed case means
        return Heard(None, error, Elsewhere(traceback.format_exc()), tuple(keeper.said))


class _Keeper(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[tuple[str, int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        name = OURS if record.name == WARNINGS else record.name
        self.said.append((name, record.levelno, self.format(record).rstrip()))
