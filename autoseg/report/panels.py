"""Distributions of many rows, as figures of which each fits on a printed page."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from autoseg.report.axes import padded
from autoseg.report.charts import distributions
from autoseg.report.html import figure

ROWS = 30  # of a figure: on A4 they take a page


def distribution_figures(
    rows: Mapping[str, Mapping[str, float]],
    across: str,
    caption: str,
    limits: tuple[float, float] | None = None,
    log: bool = False,
) -> list[str]:
    """Return `distributions` of all rows, in parts of about one length and on one axis."""
    values = [
        value for of_row in rows.values() for value in of_row.values() if value > 0 or not log
    ]
    limits = limits or padded(values, log)
    parts = max(-(-len(rows) // ROWS), 1)
    each, left = -(-len(rows) // parts), iter(rows.items())
    shown = [dict(islice(left, each)) for _ in range(parts)]
    return [figure(distributions(part, across, limits, log), caption) for part in shown]
