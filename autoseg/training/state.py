"""What a training is about (`Task`), what changes in it (`Training`), and how that is saved."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autoseg.config import TrainConfig
from autoseg.device import constant, name_of
from autoseg.errors import DataError
from autoseg.labels import Labels
from autoseg.networks.cascade import append_masks
from autoseg.progress import say_duration
from autoseg.records import to_json
from autoseg.training.batch import Batch, each_tensor
from autoseg.training.budget import Length
from autoseg.training.checkpoint import Checkpoint, pack_optimizer, select, unpack_optimizer
from autoseg.training.distributed import ALONE, Ranks
from autoseg.training.norms import Norms, batch_norms
from autoseg.training.optim import Average, make_optimizer
from autoseg.training.tracking import Epoch

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
    ranks: Ranks = ALONE
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
    counts: Tensor  # of the finite steps of this epoch, for its Dice: see `counts.py`
    norms: Norms = ()
    step: int = 0
    epoch_begin: int = 0  # the step
    spent_s: float = 0.0  # by earlier sessions
    epoch_spent_s: float = 0.0  # on this epoch, by earlier sessions
    waited_s: float = 0.0  # of this epoch, for batches
    compiled: Callable[[Tensor], list[Tensor]] | None = None  # what computes `network` in a step
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
        counts=torch.zeros((len(task.labels.names), 3), dtype=torch.int64, device=task.device),
        norms=batch_norms(network),
    )


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


# --- checkpoints ---------------------------------------------------------------------------------


def pack(training: Training, facts: Mapping[str, Any]) -> Checkpoint:
    """Return everything that is needed to go on as if nothing had happened."""
    tensors = {f"network/{k}": v for k, v in training.network.state_dict().items()}
    tensors |= pack_optimizer(training.optimizer)
    counted = ("loss_sum", "skipped", "failing", "counts")
    tensors |= {f"count/{name}": getattr(training, name) for name in counted}
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
        "waited_s": training.waited_s,
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
    training.waited_s = state.get("waited_s", 0.0)  # not in those of older versions
    training.history = [Epoch(**row) for row in state["history"]]


def describe_state(training: Training, task: Task) -> str:
    """Return the line that says where a resumed training goes on."""
    return (
        f"continuing after step {training.step:,} of {training.length.steps:,} in "
        f"{name_of(task.dtype)}; {say_duration(training.spent_s)} were spent before"
    )


# --- the device ----------------------------------------------------------------------------------


def generator_of(seed: int, step: int, device: torch.device) -> torch.Generator:
    """Return the random numbers of one step: they depend on seed and step only."""
    return torch.Generator(device).manual_seed(_number_of(seed, step, 1))


def seed_layers(seed: int, step: int) -> None:
    """Begin the random numbers that layers draw in one step, such as those of a dropout."""
    torch.manual_seed(_number_of(seed, step, 2))


def _number_of(seed: int, step: int, purpose: int) -> int:
    numbers = np.random.SeedSequence([seed, step, purpose]).generate_state(1, np.uint64)
    return int(numbers[0]) >> 1


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Return a batch with all its tensors on the device; a pinned one is copied without waiting."""
    moved: Batch = each_tensor(batch, lambda tensor: tensor.to(device, non_blocking=True))
    return moved


def lay_out(network: nn.Module, channels_last: bool) -> nn.Module:
    """Store the convolution weights of `network` channels last, or contiguous; return it."""
    last = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in network.parameters():
        wanted = last.get(parameter.ndim) if channels_last else torch.contiguous_format
        if wanted is not None:
            parameter.data = parameter.data.contiguous(memory_format=wanted)
    return network


def network_input(batch: Batch, labels: Labels) -> Tensor:
    """Return what the network sees of a batch (B, channels, *P): in a cascade, masks as well."""
    if batch.previous is None:
        return batch.image
    members = constant(labels.membership.T, batch.image.device)
    return append_masks(batch.image, batch.previous, members)


def lay_out_image(image: Tensor, channels_last: bool) -> Tensor:
    """Return `image` (B, C, *P) in the memory layout of the network."""
    return image.contiguous(memory_format=torch.channels_last_3d) if channels_last else image
