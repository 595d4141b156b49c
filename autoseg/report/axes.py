"""Axes of a chart: where numbers lie, which of them are written beside the grid, its frame.

Widths and places are in units of the drawing, which is as wide as the page lets it be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 480


@dataclass(frozen=True)
class Axis:
    """Numbers from `low` to `high` laid from place `start` to place `end` of the drawing."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    whole: bool = False  # only whole numbers are written beside it

    def place(self, value: float) -> float:
        """Return where a value lies; one outside lies at the end."""
        low, high, value = (self._scaled(v) for v in (self.low, self.high, value))
        share = (value - low) / (high - low) if high > low else 0.5
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def _scaled(self, value: float) -> float:
        return math.log10(max(value, 1e-12)) if self.log else value

    def ticks(self) -> list[float]:
        """Return round numbers between `low` and `high`."""
        if self.log:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            return [10.0**power for power in range(first, last + 1)]
        step = round_step((self.high - self.low) / 5)
        step = max(step, 1.0) if self.whole else step
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def round_step(rough: float) -> float:
    """Return the nearest larger of 1, 2 and 5 times a power of ten."""
    if rough <= 0 or not math.isfinite(rough):
        return 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999999)


def svg(height: float, content: str) -> str:
    """Return a drawing of `WIDTH` by `height`."""
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img">{content}</svg>'


def frame(x_axis: Axis, y_axis: Axis, across: str, up: str) -> str:
    """Return the grid of both axes with their numbers, and what they are."""
    lines = "".join(
        f'<path class="grid-line" d="M{x_axis.start:.0f} {y_axis.place(tick):.1f}'
        f'H{x_axis.end:.0f}"/><text class="soft" x="{x_axis.start - 6:.0f}" '
        f'y="{y_axis.place(tick) + 4:.1f}" text-anchor="end">{told(tick)}</text>'
        for tick in y_axis.ticks()
    )
    name = f'<text class="soft" x="4" y="13">{escape(up)}</text>'
    return vertical_grid(x_axis, y_axis.end, y_axis.start, across) + lines + name


def vertical_grid(axis: Axis, top: float, bottom: float, across: str) -> str:
    """Return the grid of the horizontal axis with its numbers, and what it is."""
    lines = "".join(
        f'<path class="grid-line" d="M{axis.place(tick):.1f} {top:.0f}V{bottom:.0f}"/>'
        f'<text class="soft" x="{axis.place(tick):.1f}" y="{bottom + 15:.0f}" '
        f'text-anchor="middle">{told(tick)}</text>'
        for tick in axis.ticks()
    )
    middle = (axis.start + axis.end) / 2
    name = (
        f'<text class="soft" x="{middle:.0f}" y="{bottom + 33:.0f}" text-anchor="middle">'
        f"{escape(across)}</text>"
    )
    return lines + name


def told(tick: float) -> str:
    """Return a number of an axis as short as it is clear."""
    return "0" if abs(tick) < 1e-9 else f"{tick:.6g}"


def padded(values: Sequence[float], log: bool = False) -> tuple[float, float]:
    """Return limits a little wider than the values; on a logarithmic axis whole decades."""
    if not values:
        return (0.1, 1.0) if log else (0.0, 1.0)
    low, high = min(values), max(values)
    if log:
        decades = math.floor(math.log10(low)), math.ceil(math.log10(high))
        return 10.0 ** decades[0], 10.0 ** max(decades[1], decades[0] + 1)
    margin = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    return low - margin, high + margin
