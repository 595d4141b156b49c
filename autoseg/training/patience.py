"""Ending early: when the fixed validation patches show no progress, the rate comes down.

Progress is a smoothed validation loss that falls, or a smoothed mean Dice that rises. Neither alone
would do: Dice stands at zero until a rare target is first found, and cross-entropy climbs while
Dice still rises. A training never just stops: with its rate still high the weights would be those
of a random moment, so a short ending follows in which the rate falls to zero as it would have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from autoseg.training.budget import Length
from autoseg.training.tracking import Epoch

WINDOW = 5  # epochs whose mean is looked at; an exponential average lags behind much longer
LEAST_GAIN = 1e-3  # of Dice, and of the loss as a share of it: something always creeps
ENDING = 0.1  # of the steps done: how long the rate takes to fall to zero


def stale_epochs(history: Sequence[Epoch]) -> int:
    """Return the number of epochs since the last progress; 0 where there is nothing to see."""
    losses = [epoch.validation_loss for epoch in history]
    # The sign turns both into something that shall fall.
    dice = [_negative_mean(epoch) for epoch in history]
    return min(_stale(losses, relative=True), _stale(dice, relative=False))


def _negative_mean(epoch: Epoch) -> float | None:
    values = [value for value in epoch.pseudo_dice.values() if value is not None]
    return -sum(values) / len(values) if values else None


def _stale(values: Sequence[float | None], relative: bool) -> int:
    """Return for how many entries the mean of the last five of `values` has not fallen any more."""
    best, last = math.inf, 0
    for number in range(1, len(values) + 1):
        recent = [value for value in values[max(0, number - WINDOW) : number] if value is not None]
        if not recent:
            continue
        mean = sum(recent) / len(recent)
        gain = LEAST_GAIN * (abs(best) if relative else 1.0)
        if math.isinf(best) or mean < best - gain:
            best, last = mean, number
    return len(values) - last


def ending_from(length: Length, step: int, steps_per_epoch: int) -> Length | None:
    """Return the length whose ending begins at `step`; None when the end is as near already."""
    steps = step + max(steps_per_epoch, round(ENDING * step))
    if length.ending or steps >= length.steps:
        return None
    return replace(length.replanned(step, steps), ending=True)
