"""Optimisers, schedules, averaged weights, and the recipe that chooses by the number of steps.

What is right for 1,500 steps is not what is right for 250,000. Each choice comes with its sentence.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from autoseg.config import TrainConfig
from autoseg.errors import UsageError, suggest
from autoseg.registry import resolve
from autoseg.training.muon import Muon
from autoseg.training.settings import check_ranges

RECIPES = ("balanced", "fast", "nnunet")
NNUNET_EPOCHS = 1000

# Hippocampus, 1,600 steps of two patches: Dice 0.882 with Muon, 0.864 with AdamW, which needed
# 4,731 steps for 0.877 (benchmarks/RESULTS.md). nnU-Net's SGD reached 0.890 after 250,000. Both
# rates serve up to some 4,000 steps; beyond, they fall with the root of the steps.
MUON_RATE, ADAMW_RATE, FULL_RATE_STEPS = 3e-3, 3e-3, 4000
SGD_RATE, SGD_STEPS = 1e-2, 100_000
# How often each part of each training case is seen, and the limits of the steps that follow.
VISITS = {"balanced": 200, "fast": 50}
STEP_LIMITS = {"balanced": (2_500, 75_000), "fast": (1_000, 15_000)}
STEPS_WITHOUT_GPU = 10_000  # an hour or two on a laptop


def sgd(parameters: Iterable[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """Return SGD with Nesterov momentum, all parameters decayed alike (nnU-Net)."""
    optimizer = torch.optim.SGD(
        list(parameters),
        lr=config.learning_rate or SGD_RATE,
        momentum=config.momentum,
        nesterov=config.momentum > 0,
        weight_decay=config.weight_decay or 0.0,
        fused=True,
    )
    # Zeros now: a first step that is skipped for a NaN would leave the fused buffers uninitialised.
    for parameter in optimizer.param_groups[0]["params"] if config.momentum else []:
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def adamw(parameters: Iterable[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """Return AdamW; biases and norms (one axis) are not decayed."""
    everything = list(parameters)
    groups = [
        {
            "params": [p for p in everything if p.ndim > 1],
            "weight_decay": config.weight_decay or 0.0,
        },
        {"params": [p for p in everything if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate or ADAMW_RATE, fused=True)


def muon(parameters: Iterable[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """Return Muon for the inner convolutions, with AdamW for everything else."""
    return Muon(parameters, config.learning_rate or MUON_RATE, config.weight_decay or 0.0)


OPTIMIZERS: Mapping[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": sgd,
    "adamw": adamw,
    "muon": muon,
}


def make_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimiser that `config` names, over all parameters of `network`."""
    make = resolve("optimizer", config.optimizer or "muon", OPTIMIZERS)
    return make((p for p in network.parameters() if p.requires_grad), config)


SCHEDULES: Mapping[str, Callable[[float], float]] = {
    "poly": lambda progress: (1.0 - progress) ** 0.9,
    "cosine": lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress)),
    "linear": lambda progress: 1.0 - progress,
}


def learning_rate(config: TrainConfig, progress: float) -> float:
    """Return the rate at `progress` in [0, 1]: it climbs over `warmup`, then falls to zero."""
    factor = resolve("schedule", config.schedule or "poly", SCHEDULES)
    warmup = config.warmup or 0.0
    climbing = min(1.0, progress / warmup) if warmup > 0 else 1.0
    return (config.learning_rate or 0.0) * climbing * factor(progress)


class Average:
    """Exponential average of the weights; a young one follows fast, and soon forgets the start."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.weights = {name: p.detach().clone() for name, p in network.named_parameters()}

    def update(self, network: nn.Module) -> None:
        """Move the average towards the present weights of `network`."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        present = [p.detach() for _, p in network.named_parameters()]
        torch._foreach_lerp_(list(self.weights.values()), present, 1.0 - decay)


# --- the recipe ----------------------------------------------------------------------------------


def choose_length(
    config: TrainConfig, cases: int, patches_per_case: float, batch_size: int, on_gpu: bool
) -> tuple[int, str]:
    """Return the number of steps when the user names none, and why.

    `patches_per_case`: how many patches it takes to cover the median case.
    """
    epoch = config.steps_per_epoch
    if config.steps is not None:
        return config.steps, f"{config.steps:,} steps, as asked"
    if config.epochs is not None:
        return config.epochs * epoch, f"{config.epochs} epochs of {epoch} steps, as asked"
    if config.recipe == "nnunet":
        return NNUNET_EPOCHS * epoch, f"{NNUNET_EPOCHS} epochs of {epoch} steps, as nnU-Net does"
    visits, (least, most) = VISITS[config.recipe], STEP_LIMITS[config.recipe]
    if not on_gpu:
        most = min(most, STEPS_WITHOUT_GPU)
    wanted = visits * cases * max(1.0, patches_per_case) / batch_size
    steps = max(1, round(min(max(wanted, least), most) / epoch)) * epoch
    reason = (
        f"{cases} cases of {max(1.0, patches_per_case):.1f} patches seen {visits} times in batches "
        f"of {batch_size}"
    )
    if wanted < least:
        reason += f" would be {wanted:,.0f}, too few to learn from"
    elif wanted > most:
        machine = "" if on_gpu else " without a GPU"
        reason += f" would be {wanted:,.0f}; the recipe stops at {most:,}{machine}"
    return steps, f"{steps:,} steps ({steps / epoch:.0f} epochs): {reason}"


def choose_recipe(config: TrainConfig, steps: int) -> tuple[TrainConfig, tuple[str, ...]]:
    """Return `config` with every open choice about learning made for `steps` steps, and why.

    What the user has set is kept.
    """
    check_names(config)
    nnunet = config.recipe == "nnunet"
    name = config.optimizer or ("sgd" if nnunet or steps >= SGD_STEPS else "muon")
    chosen, reason = _learn_with_sgd() if name == "sgd" else _learn_annealed(name, steps)
    if nnunet:
        reason = "SGD with momentum 0.99, rate 0.01, poly: recipe nnunet follows the reference"
    if nnunet and config.sampler is None:
        chosen["sampler"] = "nnunet"
    chosen["ema"] = 0.0  # a rate annealed to zero averages by itself
    kept = {k: v for k, v in chosen.items() if getattr(config, k) is None}
    by_hand = sorted(set(chosen) - set(kept))
    reasons = [f"{steps:,} steps -> {reason}"]
    if by_hand:
        reasons.append(
            "set by hand: " + ", ".join(f"{key}={getattr(config, key)}" for key in by_hand)
        )
    return dataclasses.replace(config, **kept), tuple(reasons)


def _learn_with_sgd() -> tuple[dict[str, Any], str]:
    values = {"learning_rate": SGD_RATE, "schedule": "poly", "weight_decay": 3e-5, "warmup": 0.0}
    reason = (
        f"SGD with momentum, rate {SGD_RATE}, poly: for {SGD_STEPS:,} steps and more it is proven, "
        "and it needs half of AdamW's memory"
    )
    return {"optimizer": "sgd", **values}, reason


def _learn_annealed(name: str, steps: int) -> tuple[dict[str, Any], str]:
    full = ADAMW_RATE if name == "adamw" else MUON_RATE
    rate = float(f"{full * min(1.0, math.sqrt(FULL_RATE_STEPS / max(1, steps))):.2g}")
    values = {"learning_rate": rate, "schedule": "cosine", "weight_decay": 1e-2, "warmup": 0.02}
    titles = {
        "adamw": ("AdamW", "it learns in few steps where SGD needs tens of thousands"),
        "muon": ("Muon", "it needs a third of AdamW's steps, where SGD needs tens of thousands"),
    }
    title, why = titles.get(name, (name, "as for AdamW"))
    if steps > FULL_RATE_STEPS:
        why += f"; beyond {FULL_RATE_STEPS:,} steps the rate falls with their square root"
    reason = f"{title} at {rate:g}, annealed to zero (cosine): {why}"
    return {"optimizer": name, **values}, reason


def check_names(config: TrainConfig) -> None:
    """Raise UsageError when a name or a number in `config` cannot be meant."""
    if config.recipe not in RECIPES:
        raise UsageError(
            f"unknown recipe '{config.recipe}'", remedy=suggest(config.recipe, RECIPES)
        )
    resolve("optimizer", config.optimizer or "muon", OPTIMIZERS)
    resolve("schedule", config.schedule or "poly", SCHEDULES)
    check_ranges(config)
