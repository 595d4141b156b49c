"""Targets that seem to lie beside their organ, judged over all cases that were looked at.

Two things must come together in the median of the cases, since each alone is common in good labels:
the target is no single tissue (a colon, a vertebra is none either), and it does not stand out from
what lies around it (nor does a muscle between muscles). How often labels that were moved are found
this way, and good ones blamed, is measured in `benchmarks/coherence.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from autoseg.errors import Problem, number_of
from autoseg.importing.coherence import Coherence
from autoseg.labels import Labels

# One tissue: few places are more uniform, and it varies hardly more than neighbours do.
COHERENT_RANK = 0.05
COHERENT_SPREAD = 1.5  # grains
# Standing out: another histogram than in the shell, more so than nearly everywhere else.
VISIBLE_CONTRAST = 0.2
VISIBLE_BLEND = 0.1


@dataclass(frozen=True)
class Placement:
    """How a target lies in its images: medians over `cases`, see `Coherence`."""

    target: str
    cases: int
    voxels: float
    spread: float
    grain: float
    rank: float
    contrast: float
    blend: float
    misplaced: bool
    example: str  # the case where it stands out least
    channel: int  # of the example, where it stands out most


def place_targets(labels: Labels, measured: Iterable[Coherence]) -> tuple[Placement, ...]:
    """Return how each target lies that could be measured in any case."""
    by_target: dict[str, list[Coherence]] = {name: [] for name in labels.names}
    for one in measured:
        by_target[one.target].append(one)
    return tuple(_place(name, found) for name, found in by_target.items() if found)


def _place(target: str, found: Sequence[Coherence]) -> Placement:
    table = [(one.voxels, one.spread, one.grain, one.rank, one.contrast, one.blend)
             for one in found]  # fmt: skip
    voxels, spread, grain, rank, contrast, blend = np.median(table, axis=0).tolist()
    mixed = rank >= COHERENT_RANK or spread > COHERENT_SPREAD * grain
    blends = contrast < VISIBLE_CONTRAST or blend > VISIBLE_BLEND
    least = min(found, key=lambda one: (one.contrast, one.case))
    return Placement(
        target, len(found), voxels, spread, grain, rank, contrast, blend,
        mixed and blends, least.case, least.channel,
    )  # fmt: skip


def blame(placement: Placement, picture: str) -> Problem:
    """Return the warning about a misplaced target, which names its `picture`."""
    cases = number_of(placement.cases, "case")
    found = (
        f"class {placement.target}: coherence rank {placement.rank:.2f} (median over {cases}), "
        f"spread {placement.spread:.4g} (among neighbours {placement.grain:.4g}), contrast "
        f"{placement.contrast:.2f} with what lies around it"
    )
    expected = (
        f"rank < {COHERENT_RANK:g} and spread < {COHERENT_SPREAD:g} times that among neighbours, "
        f"or contrast > {VISIBLE_CONTRAST:g}"
    )
    remedy = f"was it moved away from its organ? see {picture}"
    return Problem("labelsTr", found, expected, remedy)
