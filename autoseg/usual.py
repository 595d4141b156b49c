"""What is usual among the scans that a model learnt from: ranges of numbers, and of no single scan.

A few hundred numbers at most, so that a plan stays readable and tells of nobody. They are
measured by `preprocessing/traits.py` and compared with new scans by `preprocessing/guard.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

# The ends of a range: not the extremes, lest one odd scan among a hundred open the gate.
LOW, HIGH = 1.0, 99.0  # percentiles over the cases
DIGITS = 4

Range = tuple[float, float, float]  # low end, median, high end


@dataclass(frozen=True)
class Traits:
    """Numbers that tell one kind of scan from another; see `preprocessing/traits.py`."""

    grid: Mapping[str, float]
    channels: tuple[Mapping[str, float], ...]
    pairs: Mapping[str, float]  # "0 1": of channels 0 and 1 together


@dataclass(frozen=True)
class Usual:
    """The ranges of traits over the training cases, and of how targets meet the scan's faces."""

    cases: int
    grid: Mapping[str, Range]
    channels: tuple[Mapping[str, Range], ...]
    pairs: Mapping[str, Range] = field(default_factory=dict)
    # Per target and face (Z, Y, X; low, high each): the section there as a share of its largest.
    cut: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


def usual(traits: Sequence[Traits], sections: Sequence[Mapping[str, Sequence[float]]]) -> Usual:
    """Return what the traits of the cases have in common, and the targets' sections at the faces.

    `sections` holds, per case, six shares for each target that is there.
    """
    channels = range(max(len(case.channels) for case in traits))
    faces: dict[str, list[Sequence[float]]] = {}
    for case in sections:
        for target, shares in case.items():
            faces.setdefault(target, []).append(shares)
    return Usual(
        len(traits),
        _ranges(case.grid for case in traits),
        tuple(_ranges(case.channels[i] for case in traits) for i in channels),
        _ranges(case.pairs for case in traits),
        {
            target: tuple(round(float(s), DIGITS) for s in np.percentile(rows, HIGH, axis=0))
            for target, rows in faces.items()
        },
    )


def _ranges(cases: Iterable[Mapping[str, float]]) -> dict[str, Range]:
    values: dict[str, list[float]] = {}
    for case in cases:
        for name, value in case.items():
            values.setdefault(name, []).append(value)
    return {name: _range(found) for name, found in values.items()}


def _range(values: Sequence[float]) -> Range:
    low, middle, high = (
        float(f"{value:.{DIGITS}g}") for value in np.percentile(values, (LOW, 50.0, HIGH))
    )
    return low, middle, high
