"""The training loop, and the few functions it is made of. To train differently, copy this file.

Nothing waits for the device inside a step: losses and failures are counted there and read once an
epoch (failures every few steps).
"""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from autoseg.device import autocast, synchronize, tried_convolutions
from autoseg.errors import Stopped, UsageError
from autoseg.progress import live_line
from autoseg.stopping import StopRequest
from autoseg.training.batch import Batch
from autoseg.training.budget import Pace
from autoseg.training.checkpoint import Keeper
from autoseg.training.counts import hard_counts
from autoseg.training.distributed import Ranks
from autoseg.training.feed import make_feed
from autoseg.training.graph import choose_step
from autoseg.training.patience import ending_from, reason_to_end
from autoseg.training.schedules import learning_rate
from autoseg.training.state import (
    Task,
    Training,
    Weights,
    final_weights,
    lay_out_image,
    network_input,
    pack,
    seed_layers,
)
from autoseg.training.step import Step, hold_encoder, set_rate
from autoseg.training.tracking import Epoch, advise_waiting, epoch_line, live_lines, progress_line

log = logging.getLogger(__name__)

FAILURES_IN_A_ROW = 25  # steps with a gradient that is not finite, before a training is given up
WORTH_SAYING = 0.1  # of the remaining steps: a smaller change of plan is made silently
CHECKED_EVERY = 25  # steps on a GPU, where looking means waiting
FORESEEN_S = 60.0  # of training to come: else what follows it is not worth measuring before
SAID_EVERY_S = 60.0  # an epoch that takes longer has lines of its own


@tried_convolutions()
def train(
    training: Training,
    task: Task,
    batches: Iterable[Batch],
    pace: Pace,
    keeper: Keeper,
    stop: StopRequest,
    report: Callable[[Sequence[Epoch]], None],
    facts: Mapping[str, Any],
) -> Weights:
    """Train to the end of `training.length`; return the final weights (averaged, if that is on).

    `batches` starts with batch number `training.step`. `facts` are kept in every checkpoint. Raises
    Stopped, with everything saved, when `stop` is set. Several ranks do every step, and end,
    together: what a clock or a signal says is the same for all.
    """
    ranks = task.ranks
    if training.step >= training.length.steps:
        return final_weights(training)
    feed = make_feed(batches, task, training.step)

    def save(must: bool = False) -> None:
        training.waited_s += feed.take_waited_s()
        keeper.save(training.step, pack(training, facts), must)

    said, learn = time.monotonic(), None
    with _shown(training, pace, ranks):
        for batch in _guarded(feed, task, save):
            learn = learn or choose_step(training, task, batch)
            update(training, task, batch, learn)
            training.step += 1
            check_failures(training, task)
            look_now = ranks.first and pace.is_due(training.step)
            due, signal_number = ranks.all_max((look_now, stop.number))
            if due:
                replan(training, task, pace)
            finished = training.step >= training.length.steps
            if finished or training.step - training.epoch_begin == task.config.steps_per_epoch:
                training.waited_s += feed.take_waited_s()
                finish_epoch(training, task, pace)
                report(training.history)
                end_early(training, task)
                said = time.monotonic()
            elif time.monotonic() - said >= SAID_EVERY_S:
                log.info("%s", describe_progress(training, pace))
                said = time.monotonic()
            if finished:
                break
            if signal_number:
                save(must=True)
                raise ranks.once(stopped(signal_number, training.step))
            if keeper.is_due():
                save()
    save(must=True)
    return final_weights(training)


def stopped(signal_number: int, step: int) -> Stopped:
    """Return the error that says so."""
    name = signal.Signals(signal_number).name
    fact = f"stopped by {name} after step {step:,}; everything is saved"
    return Stopped(fact, remedy="run the same command again to continue")


def update(training: Training, task: Task, batch: Batch, learn: Step) -> None:
    """Do one step with a prepared batch, and count its loss, its voxels, and whether it failed."""
    config, network = task.config, training.network
    progress = training.length.progress(training.step)
    set_rate(training.optimizer, learning_rate(config, progress, training.history))
    network.train()
    if config.freeze_encoder:
        hold_encoder(network, training.step < config.freeze_encoder * config.steps_per_epoch)
    seed_layers(config.seed, training.step)  # a training that is continued draws the same
    loss, finite, counts = learn(training, task, batch)
    if training.average is not None:
        training.average.update(network)
    training.loss_sum += torch.where(finite, loss, 0.0)
    training.counts += torch.where(finite, counts, 0)
    training.skipped += ~finite
    training.failing = torch.where(finite, 0.0, training.failing + 1)


def check_failures(training: Training, task: Task) -> None:
    """Raise when 25 steps in a row had no finite gradient, naming the cases of the last ones."""
    if task.device.type != "cpu" and training.step % CHECKED_EVERY:
        return
    if int(training.failing) < FAILURES_IN_A_ROW:
        return
    last = range(max(0, training.step - 5), training.step)
    cases = sorted({case for step in last for case in task.cases_of(step)})
    error = UsageError(
        f"the gradient was not finite in {FAILURES_IN_A_ROW} steps in a row, up to step "
        f"{training.step:,}; the last good state is kept. Cases of the last steps: "
        f"{', '.join(cases) or 'unknown'}",
        remedy=f"try --set learning_rate={(task.config.learning_rate or 0) / 3:.1g}"
        + ("" if task.dtype == torch.float32 else " or --set precision=float32"),
    )
    raise task.ranks.once(error)


def replan(training: Training, task: Task, pace: Pace) -> None:
    """Change the number of steps when the clock says so; the rate still ends at zero."""
    synchronize(task.device)
    length = task.ranks.decide(lambda: pace.look(training.step, training.length))
    if length is None or length.steps == training.length.steps:
        return
    if training.length.ending and length.steps > training.length.steps:
        return
    change = abs(length.steps - training.length.steps) / (training.length.steps - training.step)
    log.log(
        logging.INFO if change > WORTH_SAYING else logging.DEBUG,
        "a step takes %.3g s: %s steps in all instead of %s; the rate still ends at zero",
        pace.step_seconds, f"{length.steps:,}", f"{training.length.steps:,}",
    )  # fmt: skip
    training.length = length


def finish_epoch(training: Training, task: Task, pace: Pace) -> None:
    """Read the losses, measure the validation patches, log one line, begin the next epoch."""
    skipped = int(training.skipped)
    loss, dice = measure(training, task)
    if (seconds_left(training, pace) or 0.0) > FORESEEN_S:
        training.epoch_begun += pace.foresee()  # is no part of the epoch
    now, left = time.monotonic(), seconds_left(training, pace)
    epoch = Epoch(
        epoch=len(training.history) + 1,
        step=training.step,
        train_loss=mean_loss(training),
        validation_loss=loss,
        pseudo_dice=dice,
        train_dice=dice_of(training.counts, task),
        learning_rate=float(training.optimizer.param_groups[0]["lr"]),
        seconds=training.epoch_spent_s + now - training.epoch_begun,
        skipped=skipped,
        waited_s=training.waited_s,
    )
    training.history.append(epoch)
    log.info("%s", epoch_line(epoch, training.length.steps, left))
    advise_waiting(training.history)
    training.loss_sum.zero_()
    training.counts.zero_()
    training.skipped.zero_()
    training.epoch_begin, training.epoch_begun, training.epoch_spent_s = training.step, now, 0.0
    training.waited_s = 0.0


def end_early(training: Training, task: Task) -> None:
    """Let the ending begin when the validation patches show that enough is learnt, or no more."""
    why = reason_to_end(training.history, task.config)
    if why is None:
        return
    length = ending_from(training.length, training.step, task.config.steps_per_epoch)
    if length is None:
        return
    log.info(
        "%s: the rate comes to its end over the next %s steps, so %s in all instead of %s",
        why, f"{length.steps - training.step:,}", f"{length.steps:,}",
        f"{training.length.steps:,}",
    )  # fmt: skip
    training.length = length


def seconds_left(training: Training, pace: Pace) -> float | None:
    """Return the seconds until the final validation has ended; None before the first step.

    They are what the clock allows, or what the steps take at the pace of this epoch and the last.
    """
    if pace.deadline is not None and not training.length.ending:
        return pace.deadline - pace.clock() + pace.after_s
    begin = training.epoch_begin
    seconds = training.epoch_spent_s + time.monotonic() - training.epoch_begun
    if training.history:
        begin = training.history[-2].step if len(training.history) > 1 else 0
        seconds += training.history[-1].seconds
    if training.step == begin:
        return None
    steps = training.length.steps - training.step
    return steps * seconds / (training.step - begin) + pace.after_s


def describe_progress(training: Training, pace: Pace) -> str:
    """Return the line of an unfinished epoch; nothing is changed by it."""
    left = seconds_left(training, pace)
    number, loss = len(training.history) + 1, mean_loss(training)
    return progress_line(number, training.step, training.length.steps, loss, left)


def _shown(training: Training, pace: Pace, ranks: Ranks) -> contextlib.AbstractContextManager[None]:
    """Return a block with a live line; without a terminal the lines of the loop tell as much."""

    def describe() -> tuple[str, ...]:  # by another thread: a loss would have to be waited for
        epoch, length = len(training.history) + 1, training.length.steps
        return live_lines(epoch, training.step, length, seconds_left(training, pace))

    return live_line(describe, said=False) if ranks.first else contextlib.nullcontext()


def mean_loss(training: Training) -> float | None:
    """Return the mean loss of the steps of this epoch; None when none had a finite gradient."""
    counted = training.step - training.epoch_begin - int(training.skipped)
    return float(training.loss_sum) / counted if counted else None


@torch.no_grad()
def measure(training: Training, task: Task) -> tuple[float | None, dict[str, float | None]]:
    """Return loss and Dice per target over the fixed validation patches; (None, {}) without any."""
    if not task.validation:
        return None, {}
    network = training.network.eval()
    weights = training.average.weights if training.average else {}
    losses, counts = [], []
    for batch in task.validation:
        image = lay_out_image(network_input(batch, task.labels), task.channels_last)
        with autocast(task.device, task.dtype):
            scores = torch.func.functional_call(network, weights, (image,))
        losses.append(task.loss(scores[:1], batch))
        counts.append(hard_counts(scores[0], batch.target, task.labels, batch.annotated))
    loss = float(torch.stack(losses).mean())
    dice = dice_of(task.ranks.all_sum(torch.stack(counts).sum(0)), task)
    return (loss if math.isfinite(loss) else None), dice


def dice_of(counts: Tensor, task: Task) -> dict[str, float | None]:
    """Return the Dice of each target from counts (K, 3) of all ranks; None without voxels."""
    hits, extra, missed = counts.T.tolist()
    sizes = [2 * h + e + m for h, e, m in zip(hits, extra, missed, strict=True)]
    values = [2 * h / size if size else None for h, size in zip(hits, sizes, strict=True)]
    return dict(zip(task.labels.names, values, strict=True))


def _guarded(batches: Iterator[Batch], task: Task, save: Callable[[], None]) -> Iterator[Batch]:
    """Pass batches on; when one cannot be made (data gone, damaged), save what was learnt first."""
    while True:
        try:
            batch = task.ranks.together(lambda: next(batches, None))
        except (Exception, SystemExit):
            save()
            raise
        if batch is None:
            return
        yield batch
