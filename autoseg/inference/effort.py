"""How much is computed for one case, and in which order that is given up when time is short.

No torch here: what a budget means is said before anything heavy is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from autoseg.config import PredictConfig
from autoseg.inference.speed import GROWING, MIRRORING, OVERLAPS, settle

WIDE_STEP = 0.75  # of tiles that overlap by a quarter


@dataclass(frozen=True)
class Effort:
    """What is averaged for one case."""

    folds: int  # of each model, the first ones; fewer where it has fewer
    mirror: str  # "all", "half" or "off"
    step: float  # of the sliding window, in tiles
    grow: bool  # may a tile outgrow the patch where that saves a second one?


def efforts(config: PredictConfig, folds: int, folds_free: bool = True) -> tuple[Effort, ...]:
    """Return what may be done for a case, from the most, which `config` says, to the least.

    `folds` are those of the largest model. What `config` sets itself (`step`, `mirror`) stays, and
    so do folds that were named (`folds_free` False). Given up, one after the other, is what costs
    the least accuracy for the time it saves.
    """
    settled = settle(config)
    effort = Effort(folds, settled.mirror or "all", settled.step or 0.5, config.speed in GROWING)
    ladder = [effort, effort := replace(effort, grow=True)]
    if config.mirror is None:
        names = list(MIRRORING)
        for mirror in names[names.index(effort.mirror) + 1 :]:
            ladder.append(effort := replace(effort, mirror=mirror))
    if config.step is None and effort.step < WIDE_STEP:
        ladder.append(effort := replace(effort, step=WIDE_STEP))
    if folds_free:
        for fewer in range(folds - 1, 0, -1):
            ladder.append(replace(effort, folds=fewer))
    return tuple(dict.fromkeys(ladder))


def describe_effort(effort: Effort, folds: Sequence[Sequence[str]]) -> str:
    """Return one phrase; `folds` are the trained folds of each model.

    >>> describe_effort(Effort(1, "half", 0.5, True), [["0", "1"]])
    'fold 0, every other mirror image averaged, tiles overlap by half and may outgrow the patch'
    """
    taken = [names[: effort.folds] for names in folds]
    words = [f"fold{'s' * (len(names) > 1)} {' '.join(names)}" for names in taken]
    overlap = OVERLAPS.get(effort.step, f"{100 * (1 - effort.step):.0f} %")
    tiles = f"tiles overlap by {overlap}{' and may outgrow the patch' * effort.grow}"
    return f"{' + '.join(words)}, {MIRRORING[effort.mirror]}, {tiles}"


def effort_json(effort: Effort, folds: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Return what `predictions.json` says of a case: the folds of each model, and the rest."""
    return {
        "folds": [list(names[: effort.folds]) for names in folds],
        "mirror": effort.mirror,
        "step": effort.step,
        "longer_tiles": effort.grow,
    }
