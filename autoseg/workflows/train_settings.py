"""Settings of a training: what the plan begins with, and on top of it what was asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from autoseg.architectures import with_network
from autoseg.config import TrainConfig, override, spell_settings
from autoseg.errors import UsageError
from autoseg.plan import PRESET, Configuration, Plan
from autoseg.training.budget import LENGTHS
from autoseg.training.settings import LARGEST_SEED
from autoseg.workflows.initial_weights import Source
from autoseg.workflows.method import check_words


def begun_with(config: TrainConfig, initial: Source | None) -> TrainConfig:
    """Return `config` with the hash of the weights to begin with, which no setting can name."""
    if config.weights is not None:
        raise UsageError("--set weights=...", remedy="--weights BUNDLE")
    if config.freeze_encoder and initial is None:
        fact = f"freeze_encoder={config.freeze_encoder} without weights to begin with"
        raise UsageError(fact, remedy="add --weights BUNDLE, or leave it out")
    return dataclasses.replace(config, weights=initial.sha256 if initial else None)


def refuse_twice(seed: int, further: Sequence[int]) -> None:
    """Raise UsageError when a seed stands twice in a list, or can be none."""
    seeds = [seed, *further]
    if len(set(seeds)) < len(seeds) or min(seeds) < 0 or max(seeds) > LARGEST_SEED:
        told = " ".join(map(str, seeds))
        expected = f"different numbers from 0 to {LARGEST_SEED:,}"
        raise UsageError(f"--seed {told}", expected=expected)


def check_settings(
    plan: Plan, configuration: str, settings: Sequence[str], budget: str | None
) -> None:
    """Raise UsageError for settings that mean nothing, wherever the training will run."""
    chosen = plan.configuration(configuration)
    config = configure(chosen, settings, budget)
    size = next(iter(chosen.sizes))
    with_network(plan, configuration, size, config.network, config.network_options)
    check_words(plan, config)


def configure(
    configuration: Configuration, settings: Sequence[str], budget: str | None
) -> TrainConfig:
    """Return what the plan says about trainings of `configuration`, then `settings` on top.

    A length that the user names, by a budget or a setting, replaces the plan's.
    """
    asked = override(TrainConfig(), settings)
    planned = dict(configuration.train)
    if budget is not None or asked.steps is not None or asked.epochs is not None:
        planned = {name: value for name, value in planned.items() if name not in LENGTHS}
    return override(TrainConfig(), [*spell_settings(planned), *settings])


def choose_size(
    size: str | None, configuration: Configuration, device: torch.device
) -> tuple[str, str]:
    """Return the size to train and why: M on a GPU, S without one."""
    if size is not None:
        return size, "as asked"
    if configuration.preset:
        return PRESET, f"as preset {configuration.preset} has it"
    if device.type == "cuda":
        return "M", "the default on a GPU"
    return "S", f"the default on a {'CPU' if device.type == 'cpu' else 'small GPU'}"
