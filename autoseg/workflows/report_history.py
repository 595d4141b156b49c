"""Read `history.csv` of a run: what it lost and what it learnt, epoch by epoch."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from autoseg.errors import CorruptError
from autoseg.report.material import History


def read_history(path: Path) -> History:
    """Return the rows of a history, without cells that are empty or hold no finite number.

    Raises CorruptError when the file is no such table.
    """
    remedy = "remove it: the curves of this fold are then left out"
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            table = csv.DictReader(stream)
            rows = [
                {name: float(cell) for name, cell in row.items() if name and cell} for row in table
            ]
    except (ValueError, TypeError, csv.Error) as error:  # a cell, a line too long, no UTF-8
        raise CorruptError(f"is damaged ({error})", place=str(path), remedy=remedy) from error
    if any("epoch" not in row for row in rows):
        raise CorruptError("is damaged (a line without an epoch)", place=str(path), remedy=remedy)
    return tuple(
        {name: value for name, value in row.items() if math.isfinite(value)} for row in rows
    )
