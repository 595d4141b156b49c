"""How the learning rate changes with the progress of a training.

Progress goes from 0 to 1 whatever happens to the number of steps, so a schedule knows no steps.
What is past, the epochs, is known to all and looked at by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from autoseg.config import TrainConfig
from autoseg.registry import resolve
from autoseg.training.tracking import Epoch

LEAST_FALL = 1e-4  # of the loss, as a share of it: less is none


def poly(progress: float, config: TrainConfig, past: Sequence[Epoch]) -> float:
    """Fall to zero as a power of what is left (nnU-Net: 0.9)."""
    return (1.0 - progress) ** config.poly_power


def cosine(progress: float, config: TrainConfig, past: Sequence[Epoch]) -> float:
    """Fall to zero along half a cosine, or swing `cosine_cycles` times."""
    return 0.5 * (1.0 + math.cos(2 * math.pi * config.cosine_cycles * progress))


def linear(progress: float, config: TrainConfig, past: Sequence[Epoch]) -> float:
    """Fall to zero evenly."""
    return 1.0 - progress


def step(progress: float, config: TrainConfig, past: Sequence[Epoch]) -> float:
    """Multiply by `step_factor` after each share `step_every` of the training."""
    # A little more, so that 0.3 / 0.1 is three whole shares.
    return config.step_factor ** math.floor(progress / config.step_every + 1e-9)


def plateau(progress: float, config: TrainConfig, past: Sequence[Epoch]) -> float:
    """Multiply by `step_factor` each time that `plateau_epochs` epochs brought nothing."""
    return config.step_factor ** count_plateaus(past, config.plateau_epochs)


def constant(progress: float, config: TrainConfig, past: Sequence[Epoch]) -> float:
    """Stay."""
    return 1.0


def count_plateaus(past: Sequence[Epoch], patience: int) -> int:
    """Return how often more than `patience` epochs on end had no lower loss (PyTorch's rule).

    The loss is that of the validation patches, or of training where there are none.
    """
    best, waited, found = math.inf, 0, 0
    for epoch in past:
        loss = epoch.train_loss if epoch.validation_loss is None else epoch.validation_loss
        if loss is not None and loss < best * (1 - LEAST_FALL):
            best, waited = loss, 0
            continue
        waited += 1
        if waited > patience:
            found, waited = found + 1, 0
    return found


Schedule = Callable[[float, TrainConfig, Sequence[Epoch]], float]
SCHEDULES: Mapping[str, Schedule] = {
    "poly": poly,
    "cosine": cosine,
    "linear": linear,
    "step": step,
    "plateau": plateau,
    "constant": constant,
}


def learning_rate(config: TrainConfig, progress: float, past: Sequence[Epoch] = ()) -> float:
    """Return the rate at `progress` in [0, 1]: it climbs over `warmup`, then follows the schedule.

    `past` are the epochs so far. A schedule of one's own, "package.module:function", is
    `(progress) -> factor`.
    """
    name = config.schedule or "poly"
    schedule = resolve("schedule", name, SCHEDULES)
    factor = schedule(progress, config, past) if name in SCHEDULES else schedule(progress)
    factor = config.rate_floor + (1 - config.rate_floor) * factor
    warmup = config.warmup or 0.0
    climbing = min(1.0, progress / warmup) if warmup > 0 else 1.0
    return (config.learning_rate or 0.0) * climbing * factor
