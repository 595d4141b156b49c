"""How much is computed for one case, and what is given up when time is short.

Of everything that fits into the time, what loses least accuracy is done. No torch here: what a
budget means is said before anything heavy is loaded.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from autoseg.config import PredictConfig
from autoseg.errors import UsageError
from autoseg.inference.speed import GROWING, LOCALISING, MIRRORING, OVERLAPS, settle

WIDE_STEP = 0.75  # of tiles that overlap by a quarter
# Dice lost, measured on hippocampus volumes that no fold had seen (docs/prediction.md). Fewer folds
# lose as a mean of independent errors does: 5 -> 4, 3, 2, 1 lost 0.0004, 0.0009, 0.0016, 0.0049.
FOLD_LOSS = 0.006  # times (1 / folds taken - 1 / folds there are)
MIRROR_LOSS = {"all": 0.0, "half": 0.0002, "off": 0.0043}
STEP_LOSS = 0.0042  # of a step of 0.75 instead of 0.5
GROW_LOSS = 0.0003


@dataclass(frozen=True)
class Effort:
    """What is averaged for one case."""

    folds: int  # of each model, the first ones; fewer where it has fewer
    mirror: str  # "all", "half" or "off"
    step: float  # of the sliding window, in tiles
    grow: bool  # may a tile outgrow the patch where that saves a second one?


def efforts(config: PredictConfig, folds: int, folds_free: bool = True) -> tuple[Effort, ...]:
    """Return what may be done for a case, from what `config` says on, the most accurate first.

    `folds` are those of the largest model. What `config` sets itself (`step`, `mirror`) stays, and
    so do folds that were named (`folds_free` False).
    """
    settled = settle(config)
    if settled.speed in LOCALISING:
        fact = f"a budget with speed {settled.speed}, whose time is not known before it has looked"
        raise UsageError(fact, expected="speed accurate, balanced or fast")
    most = Effort(folds, settled.mirror or "all", settled.step or 0.5, config.speed in GROWING)
    names = list(MIRRORING)
    free = config.mirror is None
    mirrors = names[names.index(most.mirror) :] if free else [most.mirror]
    wider = config.step is None and most.step < WIDE_STEP
    choices = itertools.product(
        range(folds, 0, -1) if folds_free else [folds],
        mirrors,
        [most.step, WIDE_STEP] if wider else [most.step],
        [True] if most.grow else [False, True],
    )
    # Sorting keeps the order of equals: the most is first.
    return tuple(sorted(itertools.starmap(Effort, choices), key=lambda e: expected_loss(e, folds)))


def expected_loss(effort: Effort, folds: int) -> float:
    """Return the Dice that `effort` loses against all of `folds`, all mirror images, step 0.5."""
    loss = FOLD_LOSS * (1 / effort.folds - 1 / folds) + MIRROR_LOSS[effort.mirror]
    loss += STEP_LOSS * max(0.0, effort.step - 0.5) / (WIDE_STEP - 0.5)
    return round(loss + (GROW_LOSS if effort.grow else 0.0), 6)


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
