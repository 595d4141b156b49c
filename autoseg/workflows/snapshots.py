"""Weights on the way, every so many epochs, each as a bundle of its own that can be predicted with.

run/fold_0/snapshots/epoch_0050/   plan.json  train.json  card.json  fold_0/weights.safetensors
"""

from __future__ import annotations

import dataclasses
import logging

from autoseg.bundle_writer import save_weights
from autoseg.errors import AutosegError
from autoseg.training.decide import Decision
from autoseg.training.state import Training, final_weights
from autoseg.workflows.card import begin_card
from autoseg.workflows.order import Order

log = logging.getLogger(__name__)


def keep_snapshot(order: Order, decision: Decision, training: Training) -> None:
    """Keep the weights when this epoch's turn has come; a full disk costs the snapshot only."""
    every, epoch = order.config.keep_every, len(training.history)
    if every is None or epoch % every:
        return
    folder = order.run / "snapshots" / f"epoch_{epoch:04d}"
    config = dataclasses.replace(
        decision.config, steps=training.step, epochs=None, seed=order.first_seed
    )
    card = {"cases": len(order.cases.train), "steps": training.step, "of": training.length.steps}
    try:
        save_weights(
            folder, order.fold, final_weights(training), order.plan, order.configuration.name,
            order.size, config, card, begin_card(order.prepared),
            previous=order.previous_bundle,
        )  # fmt: skip
    except AutosegError as error:
        log.warning("no snapshot of epoch %d: %s", epoch, error)
