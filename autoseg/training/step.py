"""What one step asks of the device. Nothing here waits for it, so that a CUDA graph can hold it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from autoseg.device import autocast
from autoseg.networks import encoder_of
from autoseg.training.batch import Batch, micro_batches
from autoseg.training.counts import thinned_counts
from autoseg.training.norms import settle
from autoseg.training.state import Task, Training, lay_out_image, network_input

Step = Callable[[Training, Task, Batch], tuple[Tensor, Tensor, Tensor]]


def learn(training: Training, task: Task, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Move the weights by what a prepared batch teaches.

    Returns its loss, whether that and the gradient were finite (scalars on the device), and counts
    (K, 3) of all ranks for its Dice, see `counts.py`. Where they were not, nothing has changed.
    """
    network = training.network
    training.optimizer.zero_grad(set_to_none=True)
    statistics = [buffer.clone() for buffer in network.buffers()]  # of batch normalisations
    loss, counts = add_gradients(training, task, batch)
    task.ranks.sum_gradients(network)
    training.scaler.unscale_(training.optimizer)
    most = task.config.gradient_norm or math.inf
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), most, foreach=True)
    finite = torch.isfinite(norm) & torch.isfinite(loss)
    take_step(training, finite)
    for buffer, before in zip(network.buffers(), statistics, strict=True):
        buffer.copy_(torch.where(finite, buffer, before))
    return loss, finite, task.ranks.all_sum(counts)


def add_gradients(training: Training, task: Task, batch: Batch) -> tuple[Tensor, Tensor]:
    """Add up the gradients of the micro-batches; return the mean of their losses, and their counts.

    What a loss takes over a batch (batch Dice, the mean over annotated voxels) it takes over each
    micro-batch.
    """
    count, losses, counts = task.config.accumulate, [], []
    settle(training.norms, training.step)
    network = training.network if training.compiled is None else training.compiled
    for part in micro_batches(batch, count):
        with autocast(task.device, task.dtype):
            image = lay_out_image(network_input(part, task.labels), task.channels_last)
            scores = network(image)
        loss = task.loss(scores, part)
        training.scaler.scale(loss / count if count > 1 else loss).backward()
        losses.append(loss.detach())
        counts.append(thinned_counts(scores[0], part.target, task.labels, part.annotated))
    return torch.stack(losses).mean(), torch.stack(counts).sum(0)


def hold_encoder(network: torch.nn.Module, held: bool) -> None:
    """Let the encoder learn, or not: parameters without a gradient are not moved."""
    for parameter in encoder_of(network):
        parameter.requires_grad_(not held)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all groups; where it is a tensor, its value."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def take_step(training: Training, finite: Tensor) -> None:
    """Let the optimiser step where `finite` (scalar bool on the device) holds."""
    optimizer: Any = training.optimizer
    if training.scaler.is_enabled():
        training.scaler.step(optimizer)
        training.scaler.update()
    elif skips_by_itself(optimizer):
        optimizer.found_inf = (~finite).float()
        optimizer.step()
    elif bool(finite):  # radam and nadam: the host waits for this
        optimizer.step()


def skips_by_itself(optimizer: Any) -> bool:
    """Tell whether an optimiser leaves out, on the device, a step whose `found_inf` is set."""
    return bool(optimizer.param_groups[0].get("fused")) or hasattr(optimizer, "found_inf")
