"""Between an `Order` and the trainer: what is chosen from probes, and the trainer's task."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from itertools import islice

from torch import Tensor, nn

from autoseg.config import TrainConfig, override
from autoseg.device import PRECISIONS
from autoseg.networks import check_scores
from autoseg.preprocessing.store import PreparedCase, read_sidecar
from autoseg.registry import is_foreign
from autoseg.training.augmentation import build_augmentation
from autoseg.training.batch import Batch
from autoseg.training.decide import Decision, decide, natural_length
from autoseg.training.distributed import ALONE, Ranks
from autoseg.training.loader import batches, cases_of
from autoseg.training.losses import build_loss
from autoseg.training.state import Task, Training, network_input, to_device
from autoseg.training.supervision import deep_supervised
from autoseg.training.target_weights import BY_VOLUME, weights_by_volume
from autoseg.workflows.fold_time import warn_few_steps
from autoseg.workflows.order import Order

log = logging.getLogger(__name__)

VALIDATION_BATCHES = {"cpu": 4, "cuda": 16}  # every epoch: about one per cent of its time
VALIDATION_SEED = 1_000_003  # added to the seed: other random numbers than the training's

Loss = Callable[[Sequence[Tensor], Batch], Tensor]


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
    if is_foreign(name := order.design.network.name):
        check_scores(network, name, image[:1].to(order.device), labels.channels)
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


def _natural_length(order: Order, cases: int) -> tuple[int, str]:
    on_gpu = order.device.type == "cuda"
    return natural_length(order.config, order.configuration, order.design, cases, on_gpu)


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
    """Return the loss of a list of scores (B, K, *P), the finest first, and their batch."""
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
    """Return what the loop trains on: batches of `ours`, and fixed ones of `held_out` to watch."""
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
