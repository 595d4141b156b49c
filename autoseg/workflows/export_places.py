"""Where an export goes: never over something else, and all of it or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from autoseg.errors import DataError, Problem, UsageError
from autoseg.outcomes import Item, Outcome, Result


def refuse_existing(output: Path, overwrite: bool, is_ours: Callable[[Path], bool]) -> None:
    """Raise UsageError when `output` is there and may not be replaced, or holds something else."""
    if output.exists() and not overwrite:
        remedy = "choose another place, or give --overwrite"
        raise UsageError("is there already", place=str(output), remedy=remedy)
    if output.exists() and not is_ours(output):
        raise UsageError("holds something else", place=str(output), remedy="choose another place")


def all_made(
    outcomes: Iterable[Outcome[Item, Result]], fact: str, place: str = ""
) -> list[tuple[Item, Result]]:
    """Return each item with its value; raise DataError listing all whose data are wrong.

    `fact` goes on from "2 of 3 ": "label maps cannot be used".
    """
    made: list[tuple[Item, Result]] = []
    problems: list[Problem] = []
    for outcome in outcomes:
        if isinstance(outcome.error, DataError):
            problems.append(outcome.error.as_problem())
        else:
            made.append((outcome.item, outcome.result()))
    if problems:
        count = f"{len(problems)} of {len(made) + len(problems)}"
        raise DataError(f"{count} {fact}, nothing was written", place=place, problems=problems)
    return made


def put_in_place(built: Path, output: Path, room: Path) -> None:
    """Rename what was `built` in `room` to `output`; an earlier one goes with the room."""
    output.parent.mkdir(parents=True, exist_ok=True)
    if output.exists():
        output.replace(room / "former")
    built.replace(output)
