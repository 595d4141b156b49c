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
GRID = ("voxel z", "voxel y", "voxel x", "extent z", "extent y", "extent x", "volume")

Range = tuple[float, float, float]  # low end, median, high end


@dataclass(frozen=True)
class Traits:
    """Numbers that tell one kind of scan from another; see `preprocessing/traits.py`."""

    grid: Mapping[str, float]  # all of GRID
    channels: tuple[Mapping[str, float], ...]
    pairs: Mapping[str, float]  # "0 1": of channels 0 and 1 together


@dataclass(frozen=True)
class Sections:
    """Areas of one target's sections in mm2, across the canonical axes (Z, Y, X)."""

    largest: tuple[float, ...]  # across each axis
    faces: tuple[float, ...]  # in the outermost slices: low and high end of each axis
    near: tuple[float, ...]  # the largest within some slices of these faces


@dataclass(frozen=True)
class Usual:
    """The ranges of traits over the training cases, and the sections of their targets."""

    cases: int
    grid: Mapping[str, Range]
    channels: tuple[Mapping[str, Range], ...]
    pairs: Mapping[str, Range] = field(default_factory=dict)
    # Of the cases that show a target: its median largest sections, and how much faces cut at most.
    sections: Mapping[str, Sections] = field(default_factory=dict)


def usual(traits: Sequence[Traits], sections: Sequence[Mapping[str, Sections]]) -> Usual:
    """Return what the cases have in common; `sections` holds, of each, the targets it shows."""
    channels = range(max(len(case.channels) for case in traits))
    targets: dict[str, list[Sections]] = {}
    for shown in sections:
        for target, own in shown.items():
            targets.setdefault(target, []).append(own)
    return Usual(
        len(traits),
        _ranges(case.grid for case in traits),
        tuple(_ranges(case.channels[i] for case in traits) for i in channels),
        _ranges(case.pairs for case in traits),
        {target: _typical(rows) for target, rows in sorted(targets.items())},
    )


def _typical(rows: Sequence[Sections]) -> Sections:
    largest = np.median([row.largest for row in rows], axis=0)
    faces, near = (
        np.percentile([getattr(row, name) for row in rows], HIGH, axis=0)
        for name in ("faces", "near")
    )
    return Sections(_short(largest), _short(faces), _short(near))


def _short(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(f"{value:.{DIGITS}g}") for value in values)


def _ranges(cases: Iterable[Mapping[str, float]]) -> dict[str, Range]:
    values: dict[str, list[float]] = {}
    for case in cases:
        for name, value in case.items():
            values.setdefault(name, []).append(value)
    return {name: _range(found) for name, found in values.items()}


def _range(values: Sequence[float]) -> Range:
    low, middle, high = _short(np.percentile(values, (LOW, 50.0, HIGH)))
    return low, middle, high
