"""Train one fold, keep its weights in the bundle, predict its validation cases and score them.

run/fold_0/  resume/ (until finished)  history.csv  log.txt  progress.png
             validation/  result.json (written last: it marks the fold as finished)
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
import time
from typing import Any

import torch
from torch import nn

from autoseg.bundle_reader import open_bundle
from autoseg.bundle_writer import save_test, save_weights
from autoseg.config import TrainConfig
from autoseg.errors import number_of
from autoseg.files import write_json
from autoseg.networks import build_network, encoder_of, keep_fewer_activations
from autoseg.progress import say_duration
from autoseg.registry import resolve
from autoseg.results import Summary
from autoseg.stopping import StopRequest
from autoseg.training.checkpoint import Keeper, NoKeeper
from autoseg.training.decide import Decision
from autoseg.training.distributed import ALONE, Ranks
from autoseg.training.loader import batches
from autoseg.training.state import (
    Training,
    Weights,
    begin_training,
    describe_state,
    lay_out,
    unpack,
)
from autoseg.training.tracking import share_waiting
from autoseg.workflows.card import begin_card, record_folds
from autoseg.workflows.fold import adjust_length, decide_anew, make_task
from autoseg.workflows.fold_resume import facts_of, find_checkpoint, recall
from autoseg.workflows.fold_time import make_pace, plan_time, warn_few_steps
from autoseg.workflows.fold_validation import (
    cases_id,
    means_of,
    open_cases,
    validate_fold,
)
from autoseg.workflows.initial_weights import begin_with, report_weights, weights_json
from autoseg.workflows.method import TRAINERS
from autoseg.workflows.order import Order
from autoseg.workflows.ranks import (
    introduce_ranks,
    warn_different_weights,
)
from autoseg.workflows.train_report import (
    Watch,
    draw,
    introduce,
    introduce_network,
    make_report,
    track_scores,
    tracked,
    warn_absent_targets,
)
from autoseg.workflows.trial_run import make_test

log = logging.getLogger(__name__)


def train_fold(
    order: Order,
    started: float,
    stop: StopRequest,
    ranks: Ranks = ALONE,
    watch: Watch | None = None,
) -> Summary | None:
    """Train one fold from its beginning or its last checkpoint, save its weights, validate them.

    `watch` is told of every epoch, and may raise to end the training for good.
    """
    introduce(order)
    introduce_ranks(order, ranks)
    ours, held_out = open_cases(order, order.cases, ranks)
    warn_absent_targets(order, ours)
    checkpoint, spent = ranks.decide(lambda: find_checkpoint(order))
    torch.manual_seed(order.config.seed)
    seen = order.plan.input_channels(order.configuration.name)
    channels = seen, order.plan.labels.channels
    network = build_network(order.design.network, *channels).to(order.device)
    if order.config.checkpointing:
        keep_fewer_activations(network)
    introduce_network(order, network)
    initial = ranks.decide(lambda: _begin(order, network, new=checkpoint is None))
    ranks.same_weights(network)

    about = order, network, held_out, started - spent
    deadline, speed = plan_time(*about, ranks)
    decision = recall(checkpoint) or ranks.decide(
        lambda: decide_anew(order, network, ours, deadline, ranks)
    )
    task = ranks.together(lambda: make_task(order, decision, ours, held_out, ranks))
    training = begin_training(lay_out(network, decision.channels_last), task, decision.length)
    if checkpoint:
        unpack(training, checkpoint)
        adjust_length(training, order, len(ours))
        log.info("%s", describe_state(training, task))
    training.begun = started
    with tracked(order, training.step, ranks) as trackers:
        weights = resolve("trainer", decision.config.trainer, TRAINERS)(
            training,
            task,
            batches(
                ours,
                order.design,
                decision.config,
                order.plan.labels,
                training.step,
                ranks=ranks,
                from_end=order.plan.reversed_axes,
                pinned=order.device.type == "cuda",
            ),
            make_pace(*about, deadline, decision.step_seconds, speed, ranks),
            Keeper(order.resume) if ranks.first else NoKeeper(order.resume),
            stop,
            make_report(order, decision, training, trackers, ranks, watch),
            facts_of(order, decision),
        )
        if training.length.steps != decision.length.steps:
            warn_few_steps(order, training.length.steps)
        config = dataclasses.replace(
            decision.config, steps=training.length.steps, epochs=None, trackers=()
        )
        warn_different_weights(weights, ranks)
        ranks.decide(lambda: _save(order, config, weights, training, decision, initial))
        network.load_state_dict(weights)
        ranks.same_weights(network)  # batch normalisations have seen each rank's samples only
        ranks.decide(lambda: _save_test(order, config, network))
        summary = validate_fold(order, network, held_out, speed, stop, ranks)
        track_scores(trackers, training.step, summary)
    seconds = time.monotonic() - started + spent
    ranks.decide(lambda: _finish(order, training, decision, summary, seconds, initial))
    return summary


def _begin(order: Order, network: nn.Module, new: bool) -> dict[str, Any] | None:
    """Load the weights to begin with, if any; return what is kept of that."""
    if order.config.freeze_encoder:
        encoder_of(network)  # or says that there is none
    if order.weights is None:
        return None
    report = begin_with(order.weights, network, order.plan, order.configuration.name)
    if new:
        report_weights(order.weights, report, order.plan, order.fold)
    return weights_json(order.weights, report)


def _save(
    order: Order, config: TrainConfig, weights: Weights, training: Training,
    decision: Decision, initial: dict[str, Any] | None,
) -> None:  # fmt: skip
    card: dict[str, Any] = {
        "cases": len(order.cases.train),
        "steps": training.length.steps,
        "precision": decision.precision,
        "reasons": list(decision.reasons[-1:]),  # no timings: same training, same bytes
    }
    if initial is not None:
        card["weights"] = initial
    if config.seed != order.first_seed:
        card["seed"] = config.seed
    save_weights(
        order.bundle, order.fold, weights, order.plan, order.configuration.name, order.size,
        # What all folds share is the same whichever was saved last.
        dataclasses.replace(config, seed=order.first_seed), card, begin_card(order.prepared),
        previous=order.previous_bundle,
    )  # fmt: skip


def _save_test(order: Order, config: TrainConfig, network: nn.Module) -> None:
    """Keep what the network makes of a made-up scan, for `autoseg verify`."""
    card = open_bundle(order.bundle, [order.fold], trust=True).fold_cards[order.fold]
    text = make_test(
        network, order.plan, order.configuration, order.design, config, card.model_id, order.device
    )
    save_test(order.bundle, card, text)


def _finish(
    order: Order, training: Training, decision: Decision, summary: Summary | None,
    seconds: float, initial: dict[str, Any] | None,
) -> None:  # fmt: skip
    draw(training.history, order.run / "progress.png")
    means = means_of(summary)
    record_folds(order.bundle.parent, order.plan.labels)
    result = {
        "fold": order.fold,
        "seed": order.config.seed,
        "steps": training.length.steps,
        "seconds": round(seconds, 1),
        "waiting": round(share_waiting(training.history), 4),  # for data, share of the epochs' time
        "precision": decision.precision,
        "reasons": list(decision.reasons),
        "cases": cases_id(order),
        "foreground_mean": means,
    }
    write_json(order.result, result if initial is None else result | {"weights": initial})
    shutil.rmtree(order.resume, ignore_errors=True)
    dice = means.get("dice")
    held_out = number_of(len(order.cases.validation), "case")
    said = "" if dice is None else f", mean Dice {dice:.4f} on {held_out}"
    log.info("fold %s finished in %s: %s steps%s", order.fold, say_duration(seconds),
             f"{training.length.steps:,}", said)  # fmt: skip
