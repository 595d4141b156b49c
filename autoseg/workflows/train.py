"""Train a fold, keep its weights in the bundle, predict its validation cases and score them.

run/fold_0/  resume/ (until finished)  history.csv  log.txt  progress.png
             validation/  result.json (written last: it marks the fold as finished)
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from autoseg.bundle import open_bundle
from autoseg.bundle_writer import save_test, save_weights
from autoseg.config import TrainConfig
from autoseg.errors import UsageError
from autoseg.files import locked, read_json, write_json
from autoseg.networks import build_network, encoder_of, keep_fewer_activations
from autoseg.registry import resolve
from autoseg.results import Summary
from autoseg.stopping import StopRequest, stop_on_signals
from autoseg.training import trainer
from autoseg.training.budget import Pace, say_duration, share
from autoseg.training.checkpoint import Keeper, NoKeeper
from autoseg.training.decide import Decision
from autoseg.training.distributed import ALONE, Ranks, join_ranks, rank_device
from autoseg.training.launch import read_launch
from autoseg.training.loader import batches
from autoseg.training.state import (
    Training,
    Weights,
    begin_training,
    describe_state,
    lay_out,
    unpack,
)
from autoseg.training.tracking import log_file
from autoseg.workflows.card import begin_card, record_folds
from autoseg.workflows.fold import (
    adjust_length,
    decide_anew,
    facts_of,
    find_checkpoint,
    make_task,
    plan_time,
    recall,
    revise_deadline,
    warn_few_steps,
)
from autoseg.workflows.fold_validation import (
    cases_id,
    means_of,
    open_cases,
    trained_orders,
    validate_again,
    validate_fold,
)
from autoseg.workflows.initial_weights import begin_with, report_weights, weights_json
from autoseg.workflows.order import Order, read_orders
from autoseg.workflows.ranks import (
    check_ranks,
    fingerprint_of_orders,
    introduce_ranks,
    warn_different_weights,
)
from autoseg.workflows.side_by_side import list_devices, train_on_devices
from autoseg.workflows.train_report import (
    draw,
    introduce,
    make_report,
    track_scores,
    tracked,
)
from autoseg.workflows.verify import make_test
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)

TRAINERS = {"default": trainer.train}


def train(
    workspace: Workspace,
    configuration: str,
    fold: str | int,
    *,
    dataset: str | None = None,
    size: str | None = None,
    budget: str | None = None,
    settings: Sequence[str] = (),
    further_seeds: Sequence[int] = (),
    weights: str | None = None,
    device: str | None = None,
    overwrite: bool = False,
    validate: bool = False,
    started: float | None = None,
) -> Summary | None:
    """Train one fold ("all": each of them, "full": all cases); return its validation scores.

    Folds are trained one after the other, or side by side where there are several GPUs, or
    `device` names several ("cuda:0,cuda:2"); one fold is then trained by all of those together. A
    process that torchrun started trains every fold together with the others.
    With `further_seeds` (the first is a setting) each is trained again per seed, as "0-seed1".
    `weights` ("BUNDLE" or "BUNDLE#fold") is a trained model to begin with.
    An unfinished run of the same command is continued. `started` is the `time.monotonic()` at which
    a time budget begins, by default now. `validate` trains nothing and validates finished folds
    anew. Returns None for "full". Raises UsageError for a finished fold unless `overwrite`, which
    moves the old run aside; Stopped when a signal asked to stop.
    """
    begun = time.monotonic() if started is None else started
    launch = read_launch()
    devices = list_devices(device) if launch is None else [rank_device(device, launch)]
    with join_ranks(devices[0], launch) as ranks:
        orders = ranks.together(
            lambda: read_orders(
                workspace, configuration, str(fold), dataset=dataset, size=size, budget=budget,
                settings=settings, further_seeds=further_seeds, weights=weights, device=devices[0],
            )
        )  # fmt: skip
        if not validate:
            of_first = ranks.decide(lambda: fingerprint_of_orders(orders))
            ranks.together(lambda: check_ranks(orders, ranks, of_first))
        left = ranks.decide(lambda: _folds_to_do(orders, overwrite, validate))
        orders = [order for order in orders if order.fold in left]
        if len(devices) > 1 and (len(orders) > 1 or (device is not None and "," in device)):
            flags = ["--overwrite"] * overwrite + ["--validate"] * validate
            with stop_on_signals() as stop:
                return train_on_devices(orders, devices, device, settings, flags, begun, stop)
        summary = None
        for number, order in enumerate(orders):
            # A time budget means the whole command: what is left is shared by the folds left.
            now = begun if number == 0 else time.monotonic()
            budget_left = share(order.budget, now - begun, len(orders) - number)
            order = dataclasses.replace(order, budget=budget_left)
            with _at_work(order, ranks, overwrite) as stop:
                if validate:
                    summary = validate_again(order, stop, ranks)
                else:
                    summary = train_fold(order, now, stop, ranks)
    return summary if ranks.first else None


@contextlib.contextmanager
def _at_work(order: Order, ranks: Ranks, overwrite: bool) -> Iterator[StopRequest]:
    """Hold the fold's folder and log to it, on the first rank; listen to signals on all."""
    command = f"autoseg_train {order.configuration.name} {order.fold}"
    with contextlib.ExitStack() as stack:

        def begin() -> None:
            stack.enter_context(locked(order.run, command))
            if overwrite:
                _move_aside(order.run)
            stack.enter_context(log_file(order.run / "log.txt"))

        ranks.decide(begin)
        yield stack.enter_context(stop_on_signals(patient=not ranks.alone))


def train_fold(
    order: Order, started: float, stop: StopRequest, ranks: Ranks = ALONE
) -> Summary | None:
    """Train one fold from its beginning or its last checkpoint, save its weights, validate them."""
    introduce(order)
    introduce_ranks(order, ranks)
    ours, held_out = open_cases(order, order.cases, ranks)
    checkpoint, spent = ranks.decide(lambda: find_checkpoint(order))
    torch.manual_seed(order.config.seed)
    seen = order.plan.input_channels(order.configuration.name)
    channels = seen, order.plan.labels.channels
    network = build_network(order.design.network, *channels).to(order.device)
    if order.config.checkpointing:
        keep_fewer_activations(network)
    initial = ranks.decide(lambda: _begin(order, network, new=checkpoint is None))
    ranks.same_weights(network)

    about = order, network, held_out, started - spent
    deadline, speed = plan_time(*about, ranks)
    revise = None
    if ranks.alone or order.device.type == "cuda":
        # Asked on the first rank only: what all at once take of a processor it could not tell.
        revise = partial(revise_deadline, *about, speed, ranks)
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
            ),
            Pace(deadline, order.budget.seconds, decision.step_seconds, revise=revise),
            Keeper(order.resume) if ranks.first else NoKeeper(order.resume),
            stop,
            make_report(order, decision, training, trackers, ranks),
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


def _folds_to_do(orders: list[Order], overwrite: bool, validate: bool) -> list[str]:
    if validate:
        return [order.fold for order in trained_orders(orders)]
    return [order.fold for order in (orders if overwrite else _unfinished(orders))]


def _unfinished(orders: list[Order]) -> list[Order]:
    """Return the orders that are not finished; raise UsageError when nothing is left to do."""
    left = [order for order in orders if not order.result.exists()]
    for order in orders:
        if order not in left and left:
            _check_seed(order)
            log.info("fold %s is finished; skipped", order.fold)
    if not left:
        folds = ", ".join(order.fold for order in orders)
        raise UsageError(
            f"fold {folds} of {orders[0].configuration.name}-{orders[0].size} is finished",
            place=str(orders[0].run),
            remedy="--overwrite trains it again and keeps the old run as fold_<f>.bak-<time>",
        )
    return left


def _check_seed(order: Order) -> None:
    """Raise UsageError when a finished fold has another seed: further ones would not be further."""
    seed = read_json(order.result).get("seed", order.config.seed)
    if seed != order.config.seed:
        raise UsageError(
            f"fold {order.fold} is finished with seed {seed}, not {order.config.seed}",
            place=str(order.run),
            remedy=f"begin the list with its seed: --seed {seed} {order.config.seed} ...",
        )


def _move_aside(run: Path) -> None:
    """Move what lies in the run folder, except its lock, to `fold_0.bak-<time>`."""
    content = [path for path in run.iterdir() if path.name != ".autoseg.lock"]
    if not content:
        return
    backup = run.with_name(f"{run.name}.bak-{time.strftime('%Y%m%d-%H%M%S')}")
    backup.mkdir()
    for path in content:
        path.rename(backup / path.name)
    log.info("the old run is now %s", backup)


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
        "precision": decision.precision,
        "reasons": list(decision.reasons),
        "cases": cases_id(order),
        "foreground_mean": means,
    }
    write_json(order.result, result if initial is None else result | {"weights": initial})
    shutil.rmtree(order.resume, ignore_errors=True)
    dice = means.get("dice")
    said = "" if dice is None else f", mean Dice {dice:.4f} on {len(order.cases.validation)} cases"
    log.info("fold %s finished in %s: %s steps%s", order.fold, say_duration(seconds),
             f"{training.length.steps:,}", said)  # fmt: skip
