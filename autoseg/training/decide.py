"""What is decided when a training begins, and kept when it is resumed.

Precision, memory layout, length and recipe.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autoseg.config import TrainConfig
from autoseg.device import (
    PRECISIONS,
    PROBE_SECONDS,
    autocast,
    explained_memory,
    is_faster,
    name_of,
    pick_precision,
    synchronize,
    tried_convolutions,
)
from autoseg.errors import UsageError, suggest
from autoseg.plan import Configuration, Design
from autoseg.progress import say_duration
from autoseg.training.batch import Batch, take_samples
from autoseg.training.budget import Budget, Length
from autoseg.training.loader import samples_per_step
from autoseg.training.recipe import choose_length, choose_recipe
from autoseg.training.state import lay_out, lay_out_image, to_device

# Of a batch, on a CPU. With a single one PyTorch takes another, slower convolution.
PROBE_SAMPLES = 2
# oneDNN in PyTorch 2.13, seen with AVX-512 bfloat16: the weight gradient of such a layer held
# whatever was in memory.
SHALLOW = "bfloat16 gradients are not reliable on processors where a layer is two voxels deep"
PROBE_SHARE = 0.02  # of the time that a budget leaves: a short one has no second to spare
OVERHEAD = 1.1  # optimiser and augmentation, beside forward and backward; soon measured better


@dataclass(frozen=True)
class Decision:
    """The choices that a checkpoint keeps, so that a resumed run is the same run."""

    config: TrainConfig
    precision: str
    channels_last: bool
    length: Length
    step_seconds: float | None
    reasons: tuple[str, ...]


@tried_convolutions()
def decide(
    network: nn.Module,
    batch: Batch,
    loss: Callable[[Sequence[Tensor], Batch], Tensor],
    config: TrainConfig,
    budget: Budget,
    seconds_left: Callable[[], float],
    natural_length: tuple[int, str],
    device: torch.device,
) -> Decision:
    """Probe the device with copies of `network` and choose how to train it.

    `batch` is one micro-batch. `seconds_left()` is the time for training, asked before probing,
    which takes little of it, and after; `natural_length` is that of `choose_length`, used when
    there is no time budget.
    """
    step = _probe(network, batch, loss, device)
    wanted, why = config.precision, ""
    if wanted == "auto" and device.type == "cpu" and has_shallow_stage(network, batch):
        wanted, why = "float32", f"float32: {SHALLOW}"
    probing = PROBE_SECONDS
    if budget.seconds is not None:
        probing = min(PROBE_SECONDS, PROBE_SHARE * seconds_left())
    if wanted == "auto" and probing <= 0:
        wanted, why = "float32", "float32: the budget leaves no time to try another precision"
    precision, chosen = _choose_precision(step, wanted, device, probing)
    why = why or chosen
    channels_last = _choose_layout(step, PRECISIONS[precision], device)
    layout = "; channels last in memory, which is faster here" if channels_last else ""
    reasons = [why + layout]
    steps, seconds = natural_length[0], None
    if budget.seconds is None:
        reasons.append(natural_length[1])
    else:
        seconds = _time_step(step, batch, PRECISIONS[precision], channels_last, device)
        seconds *= config.accumulate
        left = seconds_left()
        steps = max(1, int(left / seconds))
        shares = f"{say_duration(left)} of the budget's {say_duration(budget.seconds)}"
        reasons.append(f"{shares} are for training: about {steps:,} steps of {seconds:.2g} s")
    config, learning = choose_recipe(config, steps)
    return Decision(config, precision, channels_last, Length(steps), seconds, (*reasons, *learning))


def check_precision(wanted: str, device: torch.device) -> None:
    """Raise UsageError when `TrainConfig.precision` is unknown, or nothing for this device."""
    if wanted not in ("auto", *PRECISIONS):
        raise UsageError(f"precision={wanted}", remedy=suggest(wanted, ["auto", *PRECISIONS]))
    if wanted == "float16" and device.type != "cuda":
        raise UsageError("precision=float16 needs a GPU", remedy="bfloat16 or auto")


@torch.no_grad()
def has_shallow_stage(network: nn.Module, batch: Batch) -> bool:
    """Tell whether a convolution three voxels deep sees a feature map that is two voxels deep."""
    found: list[bool] = []

    def look(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if isinstance(module, nn.Conv3d):
            found.append(module.kernel_size[0] == 3 and inputs[0].shape[2] == 2)

    handles = [module.register_forward_pre_hook(look) for module in network.modules()]
    training = network.training
    try:
        network.eval()(batch.image[:1])
    finally:
        network.train(training)
        for handle in handles:
            handle.remove()
    return any(found)


Probe = Callable[[torch.dtype, bool, int], None]


def _probe(
    network: nn.Module,
    batch: Batch,
    loss: Callable[[Sequence[Tensor], Batch], Tensor],
    device: torch.device,
) -> Probe:
    """Return a function that does one forward and backward pass: (precision, layout, samples)."""
    copies: dict[bool, nn.Module] = {}

    def step(dtype: torch.dtype, channels_last: bool, samples: int) -> None:
        if channels_last not in copies:
            copies[channels_last] = lay_out(copy.deepcopy(network), channels_last).train()
        part = take_samples(to_device(batch, device), slice(samples))
        remedy = "a smaller --size, --set checkpointing=true, or --set batch_size=..."
        with explained_memory(f"training with a batch of {samples}", remedy):
            with autocast(device, dtype):
                scores = copies[channels_last](lay_out_image(part.image, channels_last))
            loss(scores, part).backward()
        copies[channels_last].zero_grad(set_to_none=True)

    return step


def _choose_precision(
    step: Probe, wanted: str, device: torch.device, seconds: float
) -> tuple[str, str]:
    if wanted != "auto":
        return wanted, f"{wanted}: set by hand"
    samples = PROBE_SAMPLES if device.type == "cpu" else 1 << 30
    dtype, why = pick_precision(lambda dtype: step(dtype, False, samples), device, seconds)
    return name_of(dtype), why


def _choose_layout(step: Probe, dtype: torch.dtype, device: torch.device) -> bool:
    # On CPUs oneDNN reorders by itself and both ways were equal within noise: no room for chance.
    if device.type != "cuda":
        return False
    everything = 1 << 30
    return is_faster(
        lambda: step(dtype, True, everything), lambda: step(dtype, False, everything), device
    )


def _time_step(
    step: Probe, batch: Batch, dtype: torch.dtype, channels_last: bool, device: torch.device
) -> float:
    samples = len(batch.image)
    step(dtype, channels_last, samples)
    synchronize(device)
    begin = time.perf_counter()
    step(dtype, channels_last, samples)
    synchronize(device)
    return (time.perf_counter() - begin) * OVERHEAD


def natural_length(
    config: TrainConfig, configuration: Configuration, design: Design, cases: int, on_gpu: bool
) -> tuple[int, str]:
    """Return `choose_length` for a configuration: how many patches does its median case need?"""
    volume = math.prod(configuration.median_shape) / math.prod(design.patch_size)
    return choose_length(config, cases, volume, samples_per_step(design, config), on_gpu)
