"""How the learning rate changes with the progress of a training.

Progress goes from 0 to 1 whatever happens to the number of steps, so a schedule knows no steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from autoseg.config import TrainConfig
from autoseg.registry import resolve


def poly(progress: float, config: TrainConfig) -> float:
    """Fall to zero as a power of what is left (nnU-Net: 0.9)."""
    return (1.0 - progress) ** config.poly_power


def cosine(progress: float, config: TrainConfig) -> float:
    """Fall to zero along half a cosine, or swing `cosine_cycles` times."""
    return 0.5 * (1.0 + math.cos(2 * math.pi * config.cosine_cycles * progress))


def linear(progress: float, config: TrainConfig) -> float:
    """Fall to zero evenly."""
    return 1.0 - progress


def step(progress: float, config: TrainConfig) -> float:
    """Multiply by `step_factor` after each share `step_every` of the training."""
    # A little more, so that 0.3 / 0.1 is three whole shares.
    return config.step_factor ** math.floor(progress / config.step_every + 1e-9)


def constant(progress: float, config: TrainConfig) -> float:
    """Stay."""
    return 1.0


SCHEDULES: Mapping[str, Callable[[float, TrainConfig], float]] = {
    "poly": poly,
    "cosine": cosine,
    "linear": linear,
    "step": step,
    "constant": constant,
}


def learning_rate(config: TrainConfig, progress: float) -> float:
    """Return the rate at `progress` in [0, 1]: it climbs over `warmup`, then follows the schedule.

    A schedule of one's own, "package.module:function", is `(progress) -> factor`.
    """
    name = config.schedule or "poly"
    schedule = resolve("schedule", name, SCHEDULES)
    factor = schedule(progress, config) if name in SCHEDULES else schedule(progress)
    warmup = config.warmup or 0.0
    climbing = min(1.0, progress / warmup) if warmup > 0 else 1.0
    return (config.learning_rate or 0.0) * climbing * factor
