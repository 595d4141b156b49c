"""Between an `Order` and the trainer: time, choices, task, and what a checkpoint must match."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from autoseg.config import PredictConfig, TrainConfig, override
from autoseg.device import PRECISIONS
from autoseg.errors import CorruptError, UsageError
from autoseg.inference.array_predictor import ArrayPredictor, build_predictor
from autoseg.preprocessing.store import PreparedCase, read_sidecar
from autoseg.records import fingerprint_of, from_json, to_json
from autoseg.training.augmentation import build_augmentation
from autoseg.training.budget import FEW_STEPS, say_duration
from autoseg.training.checkpoint import Checkpoint, load_checkpoint
from autoseg.training.decide import Decision, decide, natural_length
from autoseg.training.distributed import ALONE, Ranks
from autoseg.training.loader import Batch, batches, cases_of
from autoseg.training.losses import build_loss
from autoseg.training.state import Task, Training, network_input, to_device
from autoseg.training.supervision import deep_supervised
from autoseg.training.target_weights import BY_VOLUME, weights_by_volume
from autoseg.workflows.order import Order
from autoseg.workflows.validation import estimate_seconds

log = logging.getLogger(__name__)

VALIDATION_BATCHES = {"cpu": 4, "cuda": 16}  # every epoch: about one per cent of its time
VALIDATION_SEED = 1_000_003  # added to the seed: other random numbers than the training's
FAST_VALIDATION = 0.25  # of a time budget: a validation that takes longer gives up mirroring
CLOSING_S = 2.5  # weights, the last picture, the summary
ADJUSTABLE = (
    "epochs",
    "steps",
    "keep_every",
    "trackers",
    "compile",
)  # may differ when a run is continued

Loss = Callable[[Sequence[Tensor], Batch], Tensor]


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


def revise_deadline(
    order: Order,
    network: nn.Module,
    held_out: Sequence[PreparedCase],
    started: float,
    speed: str,
    ranks: Ranks = ALONE,
) -> float:
    """Return the deadline of `plan_time` anew, with the time that a prediction takes now."""
    reserve = reserve_seconds(order, network, held_out, speed, ranks)
    return started + (order.budget.seconds or 0.0) - reserve - CLOSING_S


def reserve_seconds(
    order: Order, network: nn.Module, held_out: Sequence[PreparedCase], speed: str, ranks: Ranks
) -> float:
    """Return how long the final validation will take, from doing a part of it now."""
    predict = make_predictor(order, network, speed)
    return estimate_seconds(predict, held_out, order.plan.labels, order.prepared, ranks)


def make_predictor(order: Order, network: nn.Module, speed: str) -> ArrayPredictor:
    config = PredictConfig(speed=speed)
    cascade = order.configuration.previous is not None
    return build_predictor(
        [network], order.plan, order.design, order.config, config, order.device, cascade
    )


def decide_anew(
    order: Order,
    network: nn.Module,
    ours: Sequence[PreparedCase],
    deadline: float | None,
    ranks: Ranks = ALONE,
) -> Decision:
    """Choose how to train, from probes with this rank's share of a micro-batch."""
    labels = order.plan.labels
    config = weigh_targets(order)
    single = dataclasses.replace(config, accumulate=1)
    share = batches(
        ours, order.design, single, labels,
        augment=False, ranks=ranks, from_end=order.plan.reversed_axes,
    )  # fmt: skip
    first = next(iter(share))
    image = network_input(first, labels)
    # No other rank takes part.
    first = dataclasses.replace(first, image=image, previous=None, ranks=ALONE)
    decision = decide(
        network, first, make_loss(order, config), config, order.budget,
        lambda: (deadline or 0.0) - time.monotonic(), _natural_length(order, len(ours)),
        order.device,
    )  # fmt: skip
    for reason in decision.reasons:
        log.info("%s", reason)
    warn_few_steps(order, decision.length.steps)
    return decision


def weigh_targets(order: Order) -> TrainConfig:
    """Return the configuration with weights that follow from the volumes of targets as numbers."""
    config = order.config
    asked = {name: getattr(config, name) for name in BY_VOLUME}
    found = [name for name, word in BY_VOLUME.items() if asked[name] == word]
    if not found:
        return config
    sidecars = [read_sidecar(order.arrays, case) for case in order.cases.train]
    weights = weights_by_volume(
        [s.label_counts for s in sidecars], [s.annotated for s in sidecars], order.plan.labels
    )
    for name in found:
        log.info("%s=%s: %s", name, asked[name], weights)
    return override(config, [f"{name}={weights}" for name in found])


def warn_few_steps(order: Order, steps: int) -> None:
    """Say plainly that a time budget allows next to no training."""
    if order.budget.seconds is not None and steps < FEW_STEPS:
        log.warning("a budget of %s allows only %d training steps here: too few to learn from -> "
                    "a longer --budget, or a smaller --size",
                    say_duration(order.budget.seconds), steps)  # fmt: skip


def _natural_length(order: Order, cases: int) -> tuple[int, str]:
    on_gpu = order.device.type == "cuda"
    return natural_length(order.config, order.configuration, order.design, cases, on_gpu)


def recall(checkpoint: Checkpoint | None) -> Decision | None:
    if checkpoint is None:
        return None
    return from_json(Decision, checkpoint.facts["decision"], "resume")


def adjust_length(training: Training, order: Order, cases: int) -> None:
    """Give a continued training the length that is asked now, if that differs."""
    length = training.length
    if order.budget.seconds is not None or training.step >= length.steps or length.ending:
        return
    steps = _natural_length(order, cases)[0]
    if steps != length.steps:
        training.length = length.replanned(training.step, steps)
        log.info("%s steps in all instead of %s, as asked now; the rate still ends at zero",
                 f"{training.length.steps:,}", f"{length.steps:,}")  # fmt: skip


def make_loss(order: Order, config: TrainConfig) -> Loss:
    loss = build_loss(config, order.plan.labels, order.configuration.spacing)
    total = deep_supervised(loss, None if config.deep_supervision else (1.0,))
    batch_dice = order.configuration.batch_dice if config.batch_dice is None else config.batch_dice
    return lambda scores, batch: total(scores, batch, order.plan.labels, batch_dice)


def make_task(
    order: Order,
    decision: Decision,
    ours: Sequence[PreparedCase],
    held_out: Sequence[PreparedCase],
    ranks: Ranks = ALONE,
) -> Task:
    config, labels = decision.config, order.plan.labels
    fixed: list[Batch] = []
    if held_out:
        other = dataclasses.replace(config, seed=config.seed + VALIDATION_SEED, accumulate=1)
        count = VALIDATION_BATCHES.get(order.device.type, 4)
        patches = batches(
            held_out, order.design, other, labels,
            augment=False, ranks=ranks, from_end=order.plan.reversed_axes,
        )  # fmt: skip
        fixed = [to_device(batch, order.device) for batch in islice(patches, count)]
    return Task(
        config=config,
        labels=labels,
        loss=make_loss(order, config),
        augment=build_augmentation(order.design, config, labels, order.plan.left_right_axis),
        validation=tuple(fixed),
        device=order.device,
        dtype=PRECISIONS[decision.precision],
        channels_last=decision.channels_last,
        ranks=ranks,
        cases_of=lambda step: cases_of(ours, order.design, config, labels, step),
    )


def facts_of(order: Order, decision: Decision) -> dict[str, Any]:
    return {
        "model": order.model_id,
        "design": fingerprint_of(order.design),
        "cases": fingerprint_of(to_json(order.cases)),
        "asked": to_json(order.config),
        "decision": to_json(decision),
        "torch": torch.__version__,
    }


def find_checkpoint(order: Order) -> tuple[Checkpoint | None, float]:
    """Return the checkpoint to continue from, and the seconds spent before it; None, 0.0: begin."""
    checkpoint = load_checkpoint(order.resume)
    return checkpoint, check_same_run(checkpoint, order) if checkpoint else 0.0


def check_same_run(checkpoint: Checkpoint, order: Order) -> float:
    """Return the seconds spent so far; raise when the checkpoint belongs to another command."""
    facts = checkpoint.facts
    design = fingerprint_of(order.design)
    cases = fingerprint_of(to_json(order.cases))
    before = facts["model"], facts.get("design", design), facts["cases"]
    if before != (order.model_id, design, cases):
        stage = f", or {order.previous.model} was trained again," if order.previous else ""
        raise CorruptError(
            f"the plan or the folds have changed{stage} since this training began",
            place=str(order.run),
            remedy="--overwrite starts it again and keeps the old run as fold_<f>.bak-<time>",
        )
    asked = to_json(order.config)
    begun = to_json(from_json(TrainConfig, facts["asked"], "resume"))  # of older versions too
    changed = [k for k in asked if k not in ADJUSTABLE and asked[k] != begun[k]]
    if changed:
        was = ", ".join(f"{name}={begun[name]}" for name in changed)
        raise UsageError(
            f"an unfinished training with other settings is there ({was})",
            place=str(order.run),
            remedy="use its settings to continue it, or --overwrite to start again",
        )
    if facts["torch"] != torch.__version__:
        log.warning("begun with torch %s, continued with %s: the weights will not be bit-equal to "
                    "an undisturbed run", facts["torch"], torch.__version__)  # fmt: skip
    return float(facts["training"]["spent_s"])
