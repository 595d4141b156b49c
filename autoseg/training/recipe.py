"""The recipe that chooses how to learn by the number of steps.

What is right for 1,500 steps is not what is right for 250,000. Each choice comes with its sentence.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from autoseg.config import TrainConfig
from autoseg.errors import UsageError, suggest
from autoseg.registry import resolve
from autoseg.training.optim import ADAMW_RATE, MUON_RATE, OPTIMIZERS, SGD_RATE
from autoseg.training.sampling import SAMPLERS
from autoseg.training.schedules import SCHEDULES
from autoseg.training.settings import check_ranges

RECIPES = ("balanced", "fast", "nnunet")
NNUNET_EPOCHS = 1000

# Hippocampus, 1,600 steps of two patches: Dice 0.882 with Muon, 0.864 with AdamW, which needed
# 4,731 steps for 0.877 (benchmarks/RESULTS.md). nnU-Net's SGD reached 0.890 after 250,000. Their
# rates serve up to some 4,000 steps; beyond, they fall with the root of the steps.
FULL_RATE_STEPS = 4000
SGD_STEPS = 100_000
# How often each part of each training case is seen, and the limits of the steps that follow.
VISITS = {"balanced": 200, "fast": 50}
STEP_LIMITS = {"balanced": (2_500, 75_000), "fast": (1_000, 15_000)}
STEPS_WITHOUT_GPU = 10_000  # an hour or two on a laptop


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
    full = MUON_RATE if name == "muon" else ADAMW_RATE
    rate = float(f"{full * min(1.0, math.sqrt(FULL_RATE_STEPS / max(1, steps))):.2g}")
    decay = 3e-5 if name == "adam" else 1e-2  # Adam's is divided by the root of the variance
    values = {"learning_rate": rate, "schedule": "cosine", "weight_decay": decay, "warmup": 0.02}
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
    resolve("sampler", config.sampler or "balanced", SAMPLERS)
    check_ranges(config)
