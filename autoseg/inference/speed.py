"""What `--speed` means. No torch here: settings are checked before anything heavy is loaded."""

from __future__ import annotations

import dataclasses

from autoseg.config import PredictConfig
from autoseg.errors import UsageError, suggest

# Step of the sliding window in tiles, and mirror images that are averaged. Always in float32:
# bfloat16 moved 31 of 120 targets of hippocampus cases by a Dice of more than 0.0005, down to
# 0.9983, though the first two cases had changed by 0.0003 only.
SPEEDS: dict[str, tuple[float, str]] = {
    "accurate": (0.5, "all"),
    "balanced": (0.5, "half"),
    "fast": (0.75, "off"),
    "localise": (0.5, "half"),
}
LOCALISING = ("localise",)  # speeds that predict large scans around their targets only
MARGIN_MM = 20.0  # by themselves
PRECISION = "float32"  # unless another one is asked for by name
# Measured on 40 hippocampus volumes with a model of 2,125 steps, Dice 0.8740 with all images: half
# of them -0.0003, none -0.0021 (and -0.0000, -0.0055 with a model of 291 steps, Dice 0.795).
MIRRORING = {
    "all": "all mirror images averaged",
    "half": "every other mirror image averaged",
    "off": "no mirroring",
}
# Speeds that predict an image a little larger than the patch with one longer tile instead of two.
# Measured as above: 14 % fewer tiles, Dice -0.0001 (and -0.0022 with the model of 291 steps).
GROWING = ("balanced", "fast", "localise")
PRECISION_NAMES = ("float32", "bfloat16", "float16")
OVERLAPS = {0.5: "half", 0.75: "a quarter"}


def settle(config: PredictConfig) -> PredictConfig:
    """Return `config` with everything that it leaves to its `speed` filled in."""
    if config.speed not in SPEEDS:
        raise UsageError(f"unknown speed '{config.speed}'", remedy=suggest(config.speed, SPEEDS))
    step, mirror = SPEEDS[config.speed]
    step = step if config.step is None else config.step
    if not 0 < step <= 1:
        raise UsageError(f"step {step}", expected="more than 0, at most 1 (in tiles)")
    precision = config.precision or PRECISION
    if precision not in PRECISION_NAMES:
        remedy = suggest(precision, PRECISION_NAMES)
        raise UsageError(f"unknown precision '{precision}'", remedy=remedy)
    mirror = config.mirror or mirror
    if mirror not in MIRRORING:
        raise UsageError(f"mirror {mirror}", expected=", ".join(MIRRORING))
    return dataclasses.replace(
        config, step=step, mirror=mirror, precision=precision, margin_mm=_margin(config)
    )


def _margin(config: PredictConfig) -> float | None:
    if config.margin_mm is None:
        return MARGIN_MM if config.speed in LOCALISING else None
    if config.speed not in LOCALISING:
        fact = f"margin_mm is of no use at speed {config.speed}"
        raise UsageError(fact, remedy=f"--speed {LOCALISING[0]}")
    if config.margin_mm < 0:
        raise UsageError(f"margin_mm {config.margin_mm:g}", expected="0 or more (mm)")
    return config.margin_mm


def describe_speed(config: PredictConfig) -> str:
    """Return the sentence that says what `--speed` and the settings amount to.

    >>> describe_speed(PredictConfig(speed="accurate"))
    'speed accurate: tiles overlap by half, all mirror images averaged, float32'
    """
    config = settle(config)
    step = config.step or 0.5
    overlap = OVERLAPS.get(step, f"{100 * (1 - step):.0f} %")
    flips = MIRRORING[config.mirror or "all"]
    tiles = f"tiles overlap by {overlap}"
    if config.speed in GROWING:
        tiles += " and may outgrow the patch"
    if config.speed in LOCALISING:
        tiles = f"large scans only {config.margin_mm:g} mm around what a first look finds, {tiles}"
    return f"speed {config.speed}: {tiles}, {flips}, {config.precision}"
