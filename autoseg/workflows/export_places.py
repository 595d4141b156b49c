"""Where an export goes: never over something else, and all of it or nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from autoseg.errors import UsageError


def refuse_existing(output: Path, overwrite: bool, is_ours: Callable[[Path], bool]) -> None:
    """Raise UsageError when `output` is there and may not be replaced, or holds something else."""
    if output.exists() and not overwrite:
        remedy = "choose another place, or give --overwrite"
        raise UsageError("is there already", place=str(output), remedy=remedy)
    if output.exists() and not is_ours(output):
        raise UsageError("holds something else", place=str(output), remedy="choose another place")


def put_in_place(built: Path, output: Path, room: Path) -> None:
    """Rename what was `built` in `room` to `output`; an earlier one goes with the room."""
    output.parent.mkdir(parents=True, exist_ok=True)
    if output.exists():
        output.replace(room / "former")
    built.replace(output)
