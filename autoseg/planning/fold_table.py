"""Folds as a table: how many cases each trains on and validates, and of which tags."""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.dataset import Case
from autoseg.planning.folds import Fold


def tabulate_folds(folds: Sequence[Fold], cases: Sequence[Case]) -> str:
    """Return a table with a row for each fold, and validated cases by tag; "" without any tag.

    >>> cases = [Case("a", ()), Case("b", (), tags=("control",))]
    >>> print(tabulate_folds([Fold(("a",), ("b",)), Fold(("b",), ("a",))], cases))
    fold  train  validate  control
    0         1         1        1
    1         1         1        0
    """
    tags_of = {case.id: case.tags for case in cases}
    tags = sorted({tag for tags in tags_of.values() for tag in tags})
    if not tags:
        return ""
    rows = [["fold", "train", "validate", *tags]]
    for number, fold in enumerate(folds):
        counts = [sum(tag in tags_of.get(case, ()) for case in fold.validation) for tag in tags]
        rows.append([str(n) for n in (number, len(fold.train), len(fold.validation), *counts)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells]))
    return "\n".join(lines)
