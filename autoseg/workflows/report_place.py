"""Where a page goes: in place of an earlier one of ours, never of another file."""

from __future__ import annotations

from pathlib import Path

from autoseg.errors import UsageError
from autoseg.report.html import MARK


def refuse_foreign(path: Path) -> None:
    """Raise UsageError when `path` is a folder, or a file that is no page of ours."""
    if path.is_dir():
        raise UsageError("is a folder", place=str(path), expected="a file, such as report.html")
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as stream:
        if f'content="{MARK}"' not in stream.read(2000):
            remedy = "choose another place with -o, or give --overwrite"
            raise UsageError("is there and no report", place=str(path), remedy=remedy)
