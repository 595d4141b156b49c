"""The training loop, and the few functions it is made of. To train differently, copy this file.

Nothing waits for the device inside a step: losses and failures are counted there and read once an
epoch (failures every few steps).
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from autoseg.config import TrainConfig
from autoseg.device import autocast, name_of, synchronize
from autoseg.errors import DataError, Stopped, UsageError
from autoseg.files import to_json
from autoseg.labels import Labels
from autoseg.training.budget import Length, Pace, say_duration
from autoseg.training.checkpoint import (
    Checkpoint,
    Keeper,
    StopRequest,
    pack_optimizer,
    select,
    unpack_optimizer,
)
from autoseg.training.loader import Batch
from autoseg.training.losses import hard_counts
from autoseg.training.optim import Average, learning_rate, make_optimizer
from autoseg.training.tracking import Epoch, epoch_line

log = logging.getLogger(__name__)

FAILURES_IN_A_ROW = 25  # steps with a gradient that is not finite, before a training is given up
CHECKED_EVERY = 25  # steps on a GPU, where looking means waiting

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Task:
    """What is trained and how; nothing in it changes while training."""

    config: TrainConfig  # every choice made
    labels: Labels
    loss: Callable[[Sequence[Tensor], Batch], Tensor]
    augment: Callable[[Batch, torch.Generator], Batch]
    validation: tuple[Batch, ...]  # the same few patches every epoch, on the device
    device: torch.device
    dtype: torch.dtype
    channels_last: bool = False
    cases_of: Callable[[int], Sequence[str]] = lambda step: ()  # ids in batch number `step`


@dataclass
class Training:
    """All that changes while training, and all that a checkpoint holds."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    average: Average | None
    scaler: torch.amp.GradScaler
    length: Length
    loss_sum: Tensor  # over the finite steps of this epoch
    skipped: Tensor  # steps of this epoch without a finite gradient
    failing: Tensor  # such steps in a row
    step: int = 0
    epoch_begin: int = 0  # the step
    spent_s: float = 0.0  # by earlier sessions
    epoch_spent_s: float = 0.0  # on this epoch, by earlier sessions
    history: list[Epoch] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)  # this session
    epoch_begun: float = field(default_factory=time.monotonic)


def begin_training(network: nn.Module, task: Task, length: Length) -> Training:
    """Return a training at step 0; `network` is on the device already."""
    zero = torch.zeros((), device=task.device)
    decay = task.config.ema or 0.0
    return Training(
        network=network,
        optimizer=make_optimizer(network, task.config),
        average=Average(network, decay) if decay > 0 else None,
        scaler=torch.amp.GradScaler(task.device.type, enabled=task.dtype == torch.float16),
        length=length,
        loss_sum=zero.clone(),
        skipped=zero.clone(),
        failing=zero.clone(),
    )


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
    Stopped, with everything saved, when `stop` is set.
    """
    if training.step >= training.length.steps:
        return final_weights(training)
    for batch in _shown(_guarded(batches, training, keeper, facts), training, task):
        update(training, task, batch)
        training.step += 1
        check_failures(training, task)
        if pace.is_due(training.step):
            replan(training, task, pace)
        finished = training.step >= training.length.steps
        if finished or training.step - training.epoch_begin == task.config.steps_per_epoch:
            finish_epoch(training, task, pace)
            report(training.history)
        if finished:
            break
        if stop.signal_name:
            keeper.save(training.step, pack(training, facts), must=True)
            raise Stopped(
                f"stopped by {stop.signal_name} after step {training.step:,}; everything is saved",
                remedy="run the same command again to continue",
            )
        if keeper.is_due():
            keeper.save(training.step, pack(training, facts))
    keeper.save(training.step, pack(training, facts), must=True)
    return final_weights(training)


def update(training: Training, task: Task, batch: Batch) -> None:
    """Do one step of learning with one batch; a gradient that is not finite changes nothing."""
    config, network, optimizer = task.config, training.network, training.optimizer
    rate = learning_rate(config, training.length.progress(training.step))
    for group in optimizer.param_groups:
        group["lr"] = rate
    network.train()
    optimizer.zero_grad(set_to_none=True)
    generator = generator_of(config.seed, training.step, task)
    batch = task.augment(to_device(batch, task.device), generator)
    with autocast(task.device, task.dtype):
        scores = network(lay_out_image(batch.image, task.channels_last))
    loss = task.loss(scores, batch)
    training.scaler.scale(loss).backward()
    training.scaler.unscale_(optimizer)
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), config.gradient_norm, foreach=True)
    finite = torch.isfinite(norm) & torch.isfinite(loss.detach())
    take_step(training, finite)
    if training.average is not None:
        training.average.update(network)
    training.loss_sum += torch.where(finite, loss.detach(), 0.0)
    training.skipped += ~finite
    training.failing = torch.where(finite, 0.0, training.failing + 1)


def take_step(training: Training, finite: Tensor) -> None:
    """Let the optimiser step where `finite` (scalar bool on the device) holds."""
    optimizer: Any = training.optimizer
    if training.scaler.is_enabled():
        training.scaler.step(optimizer)
        training.scaler.update()
    elif optimizer.param_groups[0].get("fused"):
        # Fused optimisers skip a step by themselves, on the device.
        optimizer.found_inf = (~finite).float()
        optimizer.step()
    elif bool(finite):
        optimizer.step()


def check_failures(training: Training, task: Task) -> None:
    """Raise when 25 steps in a row had no finite gradient, naming the cases of the last ones."""
    if task.device.type != "cpu" and training.step % CHECKED_EVERY:
        return
    if int(training.failing) < FAILURES_IN_A_ROW:
        return
    last = range(max(0, training.step - 5), training.step)
    cases = sorted({case for step in last for case in task.cases_of(step)})
    raise UsageError(
        f"the gradient was not finite in {FAILURES_IN_A_ROW} steps in a row, up to step "
        f"{training.step:,}; the last good state is kept. Cases of the last steps: "
        f"{', '.join(cases) or 'unknown'}",
        remedy=f"try --set learning_rate={(task.config.learning_rate or 0) / 3:.1g}"
        + ("" if task.dtype == torch.float32 else " or --set precision=float32"),
    )


def replan(training: Training, task: Task, pace: Pace) -> None:
    """Change the number of steps when the clock says so; the rate still ends at zero."""
    synchronize(task.device)
    length = pace.look(training.step, training.length)
    if length is None or length.steps == training.length.steps:
        return
    log.info(
        "a step takes %.3g s: %s steps in all instead of %s; the rate still ends at zero",
        pace.step_seconds, f"{length.steps:,}", f"{training.length.steps:,}",
    )  # fmt: skip
    training.length = length


def finish_epoch(training: Training, task: Task, pace: Pace) -> None:
    """Read the losses, measure the validation patches, log one line, begin the next epoch."""
    steps, skipped = training.step - training.epoch_begin, int(training.skipped)
    loss, dice = measure(training, task)
    now = time.monotonic()
    epoch = Epoch(
        epoch=len(training.history) + 1,
        step=training.step,
        train_loss=float(training.loss_sum) / max(1, steps - skipped),
        validation_loss=loss,
        pseudo_dice=dice,
        learning_rate=training.optimizer.param_groups[0]["lr"],
        seconds=training.epoch_spent_s + now - training.epoch_begun,
        skipped=skipped,
    )
    training.history.append(epoch)
    left = (training.length.steps - training.step) * epoch.seconds / max(1, steps)
    if pace.deadline is not None:
        left = pace.deadline - pace.clock()
    log.info("%s", epoch_line(epoch, training.length.steps, left))
    training.loss_sum.zero_()
    training.skipped.zero_()
    training.epoch_begin, training.epoch_begun, training.epoch_spent_s = training.step, now, 0.0


@torch.no_grad()
def measure(training: Training, task: Task) -> tuple[float | None, dict[str, float | None]]:
    """Return loss and Dice per target over the fixed validation patches; (None, {}) without any."""
    if not task.validation:
        return None, {}
    network = training.network.eval()
    weights = training.average.weights if training.average else {}
    losses, counts = [], []
    for batch in task.validation:
        image = lay_out_image(batch.image, task.channels_last)
        with autocast(task.device, task.dtype):
            scores = torch.func.functional_call(network, weights, (image,))
        losses.append(task.loss(scores[:1], batch))
        counts.append(hard_counts(scores[0], batch.target, task.labels, batch.annotated))
    hits, extra, missed = torch.stack(counts).sum(0).T.tolist()
    sizes = [2 * h + e + m for h, e, m in zip(hits, extra, missed, strict=True)]
    values = [2 * h / size if size else None for h, size in zip(hits, sizes, strict=True)]
    return float(torch.stack(losses).mean()), dict(zip(task.labels.names, values, strict=True))


def final_weights(training: Training) -> Weights:
    """Return the weights to predict with, float32 on the CPU; raise when one is not finite."""
    weights = dict(training.network.state_dict())
    if training.average is not None:
        weights |= training.average.weights
    weights = {name: t.detach().cpu().contiguous() for name, t in weights.items()}
    for name, tensor in weights.items():
        if not bool(torch.isfinite(tensor).all()):
            raise DataError(f"the trained weights '{name}' hold NaN or infinity")
    return weights


# --- the device ----------------------------------------------------------------------------------


def generator_of(seed: int, step: int, task: Task) -> torch.Generator:
    """Return the random numbers of one step: they depend on seed and step only."""
    number = int(np.random.SeedSequence([seed, step, 1]).generate_state(1, np.uint64)[0])
    return torch.Generator(task.device).manual_seed(number >> 1)


def to_device(value: Any, device: torch.device) -> Any:
    """Return a batch with all its tensors on the device; copying runs beside the arithmetic."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, tuple):
        return tuple(to_device(item, device) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {
            f.name: to_device(getattr(value, f.name), device) for f in dataclasses.fields(value)
        }
        return dataclasses.replace(value, **parts)
    return value


def lay_out_image(image: Tensor, channels_last: bool) -> Tensor:
    """Return `image` (B, C, *P) in the memory layout of the network."""
    return image.contiguous(memory_format=torch.channels_last_3d) if channels_last else image


def lay_out(network: nn.Module, channels_last: bool) -> nn.Module:
    """Store the convolution weights of `network` channels last, or contiguous; return it."""
    last = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in network.parameters():
        wanted = last.get(parameter.ndim) if channels_last else torch.contiguous_format
        if wanted is not None:
            parameter.data = parameter.data.contiguous(memory_format=wanted)
    return network


# --- checkpoints ---------------------------------------------------------------------------------


def pack(training: Training, facts: Mapping[str, Any]) -> Checkpoint:
    """Return everything that is needed to go on as if nothing had happened."""
    tensors = {f"network/{k}": v for k, v in training.network.state_dict().items()}
    tensors |= pack_optimizer(training.optimizer)
    tensors |= {f"count/{k}": getattr(training, k) for k in ("loss_sum", "skipped", "failing")}
    if training.average is not None:
        tensors |= {f"average/{k}": v for k, v in training.average.weights.items()}
    now = time.monotonic()
    state = {
        "step": training.step,
        "length": to_json(training.length),
        "epoch_begin": training.epoch_begin,
        "averaged": training.average.updates if training.average else 0,
        "scaler": training.scaler.state_dict(),
        "spent_s": training.spent_s + now - training.begun,
        "epoch_spent_s": training.epoch_spent_s + now - training.epoch_begun,
        "history": to_json(training.history),
    }
    return Checkpoint(tensors, {**facts, "training": state})


def unpack(training: Training, checkpoint: Checkpoint) -> None:
    """Put a checkpoint's state into a training that has just begun."""
    training.network.load_state_dict(select(checkpoint.tensors, "network"))
    unpack_optimizer(training.optimizer, checkpoint.tensors)
    for name, tensor in select(checkpoint.tensors, "count").items():
        setattr(training, name, tensor.to(training.loss_sum.device))
    state = checkpoint.facts["training"]
    if training.average is not None:
        for name, tensor in select(checkpoint.tensors, "average").items():
            training.average.weights[name].copy_(tensor)
        training.average.updates = state["averaged"]
    training.scaler.load_state_dict(state["scaler"])
    training.length = Length(**state["length"])
    for name in ("step", "epoch_begin", "spent_s", "epoch_spent_s"):
        setattr(training, name, state[name])
    training.history = [Epoch(**row) for row in state["history"]]


def _guarded(
    batches: Iterable[Batch], training: Training, keeper: Keeper, facts: Mapping[str, Any]
) -> Iterator[Batch]:
    """Pass batches on; when one cannot be made (data gone, damaged), save what was learnt first."""
    iterator = iter(batches)
    while True:
        try:
            batch = next(iterator)
        except StopIteration:
            return
        except Exception:
            keeper.save(training.step, pack(training, facts))
            raise
        yield batch


def _shown(batches: Iterator[Batch], training: Training, task: Task) -> Iterator[Batch]:
    """Pass batches on behind a progress bar on a terminal, and silently elsewhere."""
    with tqdm(total=task.config.steps_per_epoch, unit="step", leave=False, disable=None) as bar:
        for batch in batches:
            yield batch
            bar.n = training.step - training.epoch_begin
            bar.update(0)


def describe_state(training: Training, task: Task) -> str:
    """Return the line that says where a resumed training goes on."""
    return (
        f"continuing after step {training.step:,} of {training.length.steps:,} in "
        f"{name_of(task.dtype)}; {say_duration(training.spent_s)} were spent before"
    )
