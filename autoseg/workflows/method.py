"""Whether the settings of a training can be meant: names, numbers, targets, shapes, memory."""

from __future__ import annotations

from math import prod

import torch

from autoseg.bundle import trained_design
from autoseg.config import TrainConfig
from autoseg.errors import CorruptError, ResourceError, UsageError
from autoseg.hardware import memory_bytes
from autoseg.networks import check_available
from autoseg.plan import Design, Plan
from autoseg.plan_file import check_design, check_slices
from autoseg.planning.memory import conv_output_elements
from autoseg.registry import resolve
from autoseg.training import trainer
from autoseg.training.augmentation import check_augmentation
from autoseg.training.decide import check_precision
from autoseg.training.loader import samples_per_step
from autoseg.training.losses import build_loss
from autoseg.training.recipe import check_names
from autoseg.training.target_weights import sampling_weights
from autoseg.training.trackers import check_trackers

# Of each number that a convolution puts out: at least, kept in half precision until the backward
# pass. It takes two to four times that, so only what cannot work is refused.
BYTES_KEPT = 2

TRAINERS = {"default": trainer.train}


def check_method(
    plan: Plan, configuration: str, size: str, config: TrainConfig, device: torch.device
) -> None:
    """Raise UsageError or ResourceError for settings that cannot be trained with."""
    check_words(plan, config)
    check_precision(config.precision, device)
    check_trackers(config.trackers)
    try:
        design = trained_design(plan, configuration, size, config)
        check_slices(plan.configuration(configuration), design, "--set")
        check_design(design, "--set")
    except CorruptError as error:
        raise UsageError(error.fact, place=error.place, expected=error.expected) from error
    check_available(design.network)
    if device.type == "cpu":  # a GPU is asked by trying
        _refuse_too_large(plan, design, config, memory_bytes())


def check_words(plan: Plan, config: TrainConfig) -> None:
    """Raise UsageError for names and targets that mean nothing on any machine."""
    check_names(config)
    resolve("trainer", config.trainer, TRAINERS)
    check_augmentation(config)
    build_loss(config, plan.labels)
    sampling_weights(config.target_sampling, plan.labels)


def _refuse_too_large(plan: Plan, design: Design, config: TrainConfig, memory: int) -> None:
    """Raise ResourceError when a batch cannot fit in so many bytes (0: unknown)."""
    size = "x".join(map(str, design.patch_size))
    samples = samples_per_step(design, config)
    least = 4 * len(plan.channels) * prod(design.patch_size) * samples
    if memory and least > memory:
        raise _too_large(f"the {samples:,} patches of {size} of a step need", least, memory)
    # The planner's count is that of U-Nets, which all have several stages.
    if not config.checkpointing and len(design.network.features) > 1:
        elements = conv_output_elements(design.network, design.patch_size, plan.labels.channels)
        least = BYTES_KEPT * elements * design.batch_size
        if memory and least > memory:
            batch = f"a batch of {design.batch_size:,} patches of {size} needs"
            parts = ", or the same batch in parts: --set accumulate=..."
            raise _too_large(batch, least, memory, parts)


def _too_large(what: str, least: int, memory: int, other: str = "") -> ResourceError:
    return ResourceError(
        f"{what} {least / 1e9:,.3g} GB or more, and this machine has {memory / 1e9:,.3g} GB",
        remedy=f"a smaller --size, --set batch_size=... or patch_size=...{other}",
    )
