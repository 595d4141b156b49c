"""Which numbers the settings of a training may have."""

from __future__ import annotations

import math
from collections.abc import Callable

from autoseg.config import TrainConfig
from autoseg.errors import UsageError

ABOVE_ZERO = (
    "steps_per_epoch", "epochs", "steps", "batch_size", "learning_rate", "accumulate", "patience",
    "keep_every", "focal_tversky_gamma", "boundary_sigma_mm", "poly_power", "cosine_cycles",
    "plateau_epochs",
)  # fmt: skip
ZERO_OR_MORE = (
    "weight_decay", "freeze_encoder", "gradient_norm", "dice_smooth", "focal_gamma",
    "tversky_alpha", "tversky_beta", "augmentation_strength", "patience_gain",
)  # fmt: skip
LARGEST_SEED = 2**32 - 1
BELOW_ONE = ("ema", "warmup", "momentum", "label_smoothing")
SHARES = ("foreground_fraction", "control_fraction", "rate_floor", "target_dice")

RULES: tuple[tuple[tuple[str, ...], Callable[[float], bool], str], ...] = (
    (ABOVE_ZERO, lambda value: value > 0, "more than zero"),
    (ZERO_OR_MORE, lambda value: value >= 0, "zero or more"),
    (BELOW_ONE, lambda value: 0 <= value < 1, "at least 0 and below 1"),
    (SHARES, lambda value: 0 <= value <= 1, "from 0 to 1"),
    (("step_every", "step_factor"), lambda value: 0 < value <= 1, "above 0 and up to 1"),
    (("topk_percent",), lambda value: 0 < value <= 100, "above 0 and up to 100"),
    (("seed",), lambda value: 0 <= value <= LARGEST_SEED, f"from 0 to {LARGEST_SEED:,}"),
)


def check_ranges(config: TrainConfig) -> None:
    """Raise UsageError when a number in `config` cannot be meant."""
    for names, allowed, expected in RULES:
        for name in names:
            value = getattr(config, name)
            if value is not None and not (math.isfinite(value) and allowed(value)):
                raise UsageError(f"{name} = {value}", expected=expected)
    if config.tversky_alpha + config.tversky_beta == 0:
        raise UsageError("tversky_alpha = tversky_beta = 0", expected="one of them above 0")
    if not all(0 <= beta < 1 for beta in config.betas):
        raise UsageError(f"betas = {config.betas}", expected="two numbers, at least 0 and below 1")
    if config.patch_size is not None and min(config.patch_size) < 1:
        raise UsageError(f"patch_size = {config.patch_size}", expected="1 or more along each axis")
    axes = config.mirror_axes or ()
    if not set(axes) <= {0, 1, 2} or len(set(axes)) < len(axes):
        raise UsageError(f"mirror_axes = {axes}", expected="some of 0, 1 and 2, each once")
