"""What became of one case: a value, or the error that is told with the case's name."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from autoseg.errors import AutosegError
from autoseg.registry import blame

Item = TypeVar("Item")
Result = TypeVar("Result")


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


def name_of(item: object) -> str:
    """Return what messages call an item: its `id`, else the item itself."""
    return str(getattr(item, "id", item))


def attempt(
    function: Callable[[Item], Result], item: Item, named: Callable[[Item], str]
) -> Outcome[Item, Result]:
    """Return what became of `function(item)`; its error names the item."""
    try:
        return Outcome(item, function(item))
    except Exception as error:  # carried to the caller, who knows what a failed case means
        return Outcome(item, None, _at(error, named(item)))


def tried(function: Callable[..., Result], *arguments: Any) -> Result:
    """Return what `function` gives; tracebacks do not travel, so whose code failed is told here."""
    try:
        return function(*arguments)
    except Exception as error:
        told = blame(error)
        if told is None:
            raise
        raise told from error


def outcome_of(item: Item, future: Future[Result], name: str) -> Outcome[Item, Result]:
    """Wait for `future` and return what became of `item`; its error names it."""
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
