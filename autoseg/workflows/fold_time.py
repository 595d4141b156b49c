"""How much of a fold's time budget is left to training: the final validation needs the rest."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

from torch import nn

from autoseg.config import PredictConfig
from autoseg.inference.array_predictor import ArrayPredictor, build_predictor
from autoseg.preprocessing.store import PreparedCase
from autoseg.progress import say_duration
from autoseg.training.budget import FEW_STEPS, Pace
from autoseg.training.distributed import ALONE, Ranks
from autoseg.workflows.order import Order
from autoseg.workflows.validation import estimate_seconds

log = logging.getLogger(__name__)

FAST_VALIDATION = 0.25  # of a time budget: a validation that takes longer gives up mirroring
CLOSING_S = 2.5  # weights, the last picture, the summary


def plan_time(
    order: Order,
    network: nn.Module,
    held_out: Sequence[PreparedCase],
    started: float,
    ranks: Ranks = ALONE,
) -> tuple[float | None, str]:
    """Return when the last step must be done, and the speed of the final validation."""
    total = order.budget.seconds
    if total is None:
        return None, "balanced"
    for speed in ("balanced", "fast"):
        estimate = partial(reserve_seconds, order, network, held_out, speed, ranks)
        reserve = ranks.slowest(estimate)
        if reserve <= FAST_VALIDATION * total:
            break
    mirrored = "" if speed == "balanced" else ", without mirroring, as the budget is short"
    log.info("final validation: about %s%s", say_duration(reserve), mirrored)
    return started + total - reserve - CLOSING_S, speed


def make_pace(
    order: Order,
    network: nn.Module,
    held_out: Sequence[PreparedCase],
    started: float,
    deadline: float | None,
    step_seconds: float | None,
    speed: str,
    ranks: Ranks = ALONE,
) -> Pace:
    """Return what watches the clock; it looks again how long the final validation will take."""
    look = partial(reserve_seconds, order, network, held_out, speed, ranks)
    if deadline is None:
        return Pace(None, None, step_seconds, foresee=lambda: ranks.slowest(look) + CLOSING_S)
    end = started + (order.budget.seconds or 0.0)

    def revise() -> float:
        return end - look() - CLOSING_S

    # On the first rank only: what all at once take of a processor it could not tell.
    asked = revise if ranks.alone or order.device.type == "cuda" else None
    return Pace(deadline, order.budget.seconds, step_seconds, revise=asked, after_s=end - deadline)


def reserve_seconds(
    order: Order, network: nn.Module, held_out: Sequence[PreparedCase], speed: str, ranks: Ranks
) -> float:
    """Return how long the final validation will take, from doing a part of it now."""
    predict = make_predictor(order, network, speed)
    return estimate_seconds(predict, held_out, order.plan.labels, order.prepared, ranks)


def make_predictor(order: Order, network: nn.Module, speed: str) -> ArrayPredictor:
    """Return the predictor of one network, as the final validation will use it."""
    config = PredictConfig(speed=speed)
    cascade = order.configuration.previous is not None
    return build_predictor(
        [network], order.plan, order.design, order.config, config, order.device, cascade
    )


def warn_few_steps(order: Order, steps: int) -> None:
    """Say plainly that a time budget allows next to no training."""
    if order.budget.seconds is not None and steps < FEW_STEPS:
        log.warning("a budget of %s allows only %d training steps here: too few to learn from -> "
                    "a longer --budget, or a smaller --size",
                    say_duration(order.budget.seconds), steps)  # fmt: skip
