"""Charts as SVG inside a page: curves, points, distributions of each target, ranked bars.

Plain strings; colours come from the page's style sheet (`c0` to `c7`), so that a chart is legible
on light and dark paper. What a mark is, is told by its `<title>` when the pointer rests on it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import pairwise
from unicodedata import east_asian_width

from autoseg.report.axes import WIDTH, Axis, frame, padded, svg, vertical_grid

COLOURS = 8  # classes of the style sheet
LETTER, WIDE = 7.0, 12.5  # width of an average letter, and of one that is as wide as high
ROW = 26  # height of a target's row
CROWD = 100  # points of a row, beyond which they are faint: the box is to be seen


def line_chart(
    curves: Mapping[str, Sequence[tuple[float, float]]],
    across: str,
    up: str,
    limits: tuple[float, float] | None = None,
) -> str:
    """Return curves of (x, y), each named at its end; `limits` of y, by default what there is."""
    curves = {name: points for name, points in curves.items() if points}
    height, right = 260, max(WIDTH - 12 - widest(curves), WIDTH / 2)
    xs = [x for points in curves.values() for x, _ in points]
    ys = [y for points in curves.values() for _, y in points]
    whole = all(float(x).is_integer() for x in xs)
    x_axis = Axis(min(xs, default=0), max(xs, default=1), 52, right, whole=whole)
    y_axis = Axis(*(limits or padded(ys)), height - 40, 24)
    lasts = [y_axis.place(points[-1][1]) for points in curves.values()]
    marks, ends = [], spread(lasts, 14, y_axis.start - 6)
    for number, (name, points) in enumerate(curves.items()):
        colour = f"c{number % COLOURS}"
        places = [(x_axis.place(x), y_axis.place(y)) for x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        title = f"{name}: {points[-1][1]:.4g} at {across} {points[-1][0]:g}"
        marks.append(
            f'<g class="{colour}"><title>{escape(title)}</title>'
            f'<polyline class="line" points="{path}"/>'
            f'<circle class="dot" cx="{places[-1][0]:.1f}" cy="{places[-1][1]:.1f}" r="3"/>'
            f'<text class="named" x="{places[-1][0] + 7:.1f}" y="{ends[number] + 4:.1f}">'
            f"{escape(shortened(name, WIDTH - 7 - right))}</text></g>"
        )
    return svg(height, frame(x_axis, y_axis, across, up) + "".join(marks))


def scatter(
    points: Sequence[tuple[float, float, str, int]],
    across: str,
    up: str,
    x_limits: tuple[float, float] | None = None,
    y_limits: tuple[float, float] | None = None,
) -> str:
    """Return points (x, y, title, number of the colour)."""
    height = 260
    x_axis = Axis(*(x_limits or padded([p[0] for p in points])), 52, WIDTH - 14)
    y_axis = Axis(*(y_limits or padded([p[1] for p in points])), height - 40, 24)
    marks = "".join(
        f'<circle class="dot c{colour % COLOURS}" cx="{x_axis.place(x):.1f}" '
        f'cy="{y_axis.place(y):.1f}" r="3.5"><title>{escape(title)}</title></circle>'
        for x, y, title, colour in points
    )
    return svg(height, frame(x_axis, y_axis, across, up) + marks)


def distributions(
    rows: Mapping[str, Mapping[str, float]],
    across: str,
    limits: tuple[float, float] | None = None,
    log: bool = False,
) -> str:
    """Return for each row (a target) its values by name: a point each, a box from p25 to p75.

    The median and n stand at the right end. `log` leaves out what is not above zero.
    """
    shown = {
        row: {name: value for name, value in values.items() if value > 0 or not log}
        for row, values in rows.items()
    }
    everything = [value for values in shown.values() for value in values.values()]
    left = min(24 + widest(shown), 170)
    low, high = limits or padded(everything, log)
    axis = Axis(low, high, left, WIDTH - 96, log)
    height = 18 + ROW * len(shown) + 40
    parts = [vertical_grid(axis, 18, height - 40, across)]
    for number, (row, values) in enumerate(shown.items()):
        parts.append(_distribution(row, values, axis, 18 + ROW * (number + 0.5), number))
    return svg(height, "".join(parts))


def _distribution(row: str, values: Mapping[str, float], axis: Axis, y: float, number: int) -> str:
    ordered = sorted(values.values())
    name = escape(shortened(row, axis.start - 12))
    label = f'<text x="4" y="{y + 4:.1f}"><title>{escape(row)}</title>{name}</text>'
    if not ordered:
        return f'<g>{label}<text class="soft" x="{axis.start:.0f}" y="{y + 4:.1f}">none</text></g>'
    p25, median, p75 = (quantile(ordered, share) for share in (0.25, 0.5, 0.75))
    dots = "".join(
        f'<circle class="dot" cx="{axis.place(value):.1f}" cy="{y + jitter(k):.1f}" r="2.6">'
        f"<title>{escape(name)}: {value:.4g}</title></circle>"
        for k, (name, value) in enumerate(sorted(values.items()))
    )
    if len(ordered) > CROWD:
        dots = f'<g class="faint">{dots}</g>'
    start, middle, end = axis.place(p25), axis.place(median), axis.place(p75)
    return (
        f'<g class="c{number % COLOURS}">{label}'
        f'<rect class="box" x="{start:.1f}" y="{y - 8:.1f}" width="{max(end - start, 1):.1f}" '
        f'height="16"><title>{escape(row)}: p25 {p25:.4g}, p75 {p75:.4g}</title></rect>{dots}'
        f'<path class="median" d="M{middle:.1f} {y - 9:.1f}v18"/>'
        f'<text x="{WIDTH - 88}" y="{y + 4:.1f}">{median:.3g}'
        f'<tspan class="soft"> n {len(ordered)}</tspan></text></g>'
    )


def ranking(
    rows: Sequence[tuple[str, float, tuple[float, float] | None, int]],
    across: str,
    limits: tuple[float, float],
) -> str:
    """Return rows (name, value, interval, n) as points with whiskers, in the order given."""
    left = min(24 + widest(row[0] for row in rows), 210)
    axis = Axis(*limits, left, WIDTH - 96)
    height = 18 + 20 * len(rows) + 40
    parts = [vertical_grid(axis, 18, height - 40, across)]
    for number, (name, value, interval, n) in enumerate(rows):
        y = 18 + 20 * (number + 0.5)
        told = f"{name}: {value:.4f}"
        whisker = ""
        if interval is not None:
            told += f", 95 % interval {interval[0]:.3f} to {interval[1]:.3f}"
            start, end = axis.place(interval[0]), axis.place(interval[1])
            whisker = f'<path class="whisker" d="M{start:.1f} {y:.1f}H{end:.1f}"/>'
        parts.append(
            f'<g class="c1"><title>{escape(told)}; n {n}</title>'
            f'<text x="4" y="{y + 4:.1f}">{escape(shortened(name, left - 12))}</text>{whisker}'
            f'<circle class="dot" cx="{axis.place(value):.1f}" cy="{y:.1f}" r="4"/>'
            f'<text x="{WIDTH - 88}" y="{y + 4:.1f}">{value:.3f}'
            f'<tspan class="soft"> n {n}</tspan></text></g>'
        )
    return svg(height, "".join(parts))


# --- parts of a chart ----------------------------------------------------------------------------


def spread(places: Sequence[float], least: float, end: float) -> list[float]:
    """Return the places moved apart, in their order, so that names at them do not overlap.

    None lies beyond `end`, but for more names than there is room for before it.
    """
    moved = list(places)
    order = sorted(range(len(moved)), key=lambda k: moved[k])
    for before, after in pairwise(order):
        moved[after] = max(moved[after], moved[before] + least)
    for room, number in enumerate(reversed(order)):
        moved[number] = min(moved[number], end - room * least)
    return moved


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the quantile of ascending values, linear between two of them."""
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def jitter(number: int) -> float:
    """Return a shift for the n-th point: the same in every drawing, different from its neighbours'.

    Multiples of the golden ratio fill the interval evenly.
    """
    return ((number * 0.618034) % 1 - 0.5) * 12


def shortened(text: str, room: float) -> str:
    """Return what fits into `room`: both ends of a long name, as many differ at the very end."""
    if width_of(text) <= room:
        return text
    keep = len(text)
    while keep > 2 and width_of(text[:keep]) + LETTER > room:
        keep -= 1
    end = keep // 2
    return f"{text[: keep - end]}…{text[-end:]}"


def width_of(text: str) -> float:
    """Return about how wide a text is; Chinese, Japanese and Korean letters are wide."""
    return sum(WIDE if east_asian_width(letter) in "WF" else LETTER for letter in text)


def widest(names: Iterable[str]) -> float:
    """Return the width of the widest name."""
    return max(map(width_of, names), default=0.0)
