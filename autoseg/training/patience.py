"""Ending early: when the fixed validation patches show enough, or no progress, the rate comes down.

Progress is a smoothed validation loss that falls, or a smoothed mean Dice that rises. Neither alone
would do: Dice stands at zero until a rare target is first found, and cross-entropy climbs while
Dice still rises. A training never just stops: with its rate still high the weights would be those
of a random moment, so a short ending follows in which the rate falls to zero as it would have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from autoseg.config import TrainConfig
from autoseg.training.budget import Length
from autoseg.training.tracking import Epoch

WINDOW = 5  # epochs whose mean is looked at; an exponential average lags behind much longer
ENDING = 0.1  # of the steps done: how long the rate takes to fall to zero


def reason_to_end(history: Sequence[Epoch], config: TrainConfig) -> str | None:
    """Return why the ending should begin now; None where it should not."""
    if config.target_dice is not None:
        recent = [value for value in map(_negative_mean, history[-WINDOW:]) if value is not None]
        reached = -sum(recent) / len(recent) if recent else 0.0
        if len(recent) == WINDOW and reached >= config.target_dice:
            return f"mean Dice of {WINDOW} epochs is {reached:.3f}, {config.target_dice:g} is asked"
    stale = stale_epochs(history, config.patience_gain)
    if config.patience is not None and stale >= config.patience:
        return f"no progress for {config.patience} epochs"
    return None


def stale_epochs(history: Sequence[Epoch], least_gain: float = 1e-3) -> int:
    """Return the number of epochs since the last progress; 0 where there is nothing to see.

    Something always creeps: progress is `least_gain` of Dice, or of the loss as a share of it.
    """
    losses = [epoch.validation_loss for epoch in history]
    # The sign turns both into something that shall fall.
    dice = [_negative_mean(epoch) for epoch in history]
    return min(_stale(losses, least_gain, True), _stale(dice, least_gain, False))


def _negative_mean(epoch: Epoch) -> float | None:
    values = [value for value in epoch.pseudo_dice.values() if value is not None]
    return -sum(values) / len(values) if values else None


def _stale(values: Sequence[float | None], least_gain: float, relative: bool) -> int:
    """Return for how many entries the mean of the last five of `values` has not fallen any more."""
    best, last = math.inf, 0
    for number in range(1, len(values) + 1):
        recent = [value for value in values[max(0, number - WINDOW) : number] if value is not None]
        if not recent:
            continue
        mean = sum(recent) / len(recent)
        gain = least_gain * (abs(best) if relative else 1.0)
        if math.isinf(best) or mean < best - gain:
            best, last = mean, number
    return len(values) - last


def ending_from(length: Length, step: int, steps_per_epoch: int) -> Length | None:
    """Return the length whose ending begins at `step`; None when the end is as near already."""
    steps = step + max(steps_per_epoch, round(ENDING * step))
    if length.ending or steps >= length.steps:
        return None
    return replace(length.replanned(step, steps), ending=True)
