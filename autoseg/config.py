"""What shapes a model or a prediction, as frozen records, and the one way to override a value.

Rule: what shapes the result is a field here and is saved with it; where it runs (paths, device,
workers) is an argument of the verb and is not.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from autoseg.errors import CorruptError, UsageError, suggest
from autoseg.records import from_json, to_json

Record = TypeVar("Record")


@dataclass(frozen=True)
class TrainConfig:
    """How one fold is trained. `None`: the recipe decides from the number of steps."""

    recipe: str = "balanced"  # "balanced", "fast" or "nnunet"
    seed: int = 0
    epochs: int | None = None  # of `steps_per_epoch`; None: from --budget or the recipe
    steps: int | None = None  # in all, before `epochs`; None: from epochs, --budget or the recipe
    steps_per_epoch: int = 250
    batch_size: int | None = None  # None: the plan's
    patch_size: tuple[int, int, int] | None = None  # None: the plan's
    network: str | None = None  # None: the plan's; "enet", "unetr", ..., package.module:function
    network_options: str | None = None  # of that network: "features=8,dropout=0.2"
    # "muon", "adamw", "sgd", "adam", "amsgrad", "radam", "nadam", "adan"
    optimizer: str | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    momentum: float = 0.99  # sgd only, Nesterov
    betas: tuple[float, float] = (0.9, 0.999)  # of the averages of Adam and its kin
    schedule: str | None = None  # "poly", "cosine", "linear", "step", "plateau", "constant"
    poly_power: float = 0.9
    cosine_cycles: float = 0.5  # half a swing: down to zero
    step_every: float = 1 / 3  # of the training
    step_factor: float = 0.2  # of schedules step and plateau
    plateau_epochs: int = 3  # without a lower validation loss, after which the rate falls
    rate_floor: float = 0.0  # share of the rate to which schedules fall
    warmup: float | None = None  # fraction of the steps
    gradient_norm: float = 12.0  # at most; 0: no limit
    ema: float | None = None  # decay of the averaged weights per step; 0: off
    loss: str = "dice_ce"  # a sum of terms, "0.65*dice+0.35*focal", or package.module:function
    target_weights: str | None = None  # "liver=1,tumour=3" or "balanced"; None: all alike
    dice_smooth: float = 1e-5  # voxels, of Dice and Tversky
    focal_gamma: float = 2.0  # 0: cross-entropy
    focal_tversky_gamma: float = 4 / 3
    tversky_alpha: float = 0.3  # of false positives
    tversky_beta: float = 0.7  # of false negatives
    topk_percent: float = 10.0  # of the voxels: the hardest
    boundary_sigma_mm: float = 3.0
    label_smoothing: float = 0.0  # share of the truth that is spread over all channels
    deep_supervision: bool = True
    batch_dice: bool | None = None  # None: the plan's
    sampler: str | None = None  # "balanced", "nnunet", "nnunet_probabilistic"
    target_sampling: str | None = None  # "liver=1,tumour=3" or "rarity"; None: in equal parts
    foreground_fraction: float | None = None  # of the patches, centred on a target
    control_fraction: float | None = None  # of the patches, from cases without any target
    augmentation: str = "default"  # "light", "strong", "none", or package.module:function
    augmentation_strength: float = 1.0  # times each probability, mirroring apart
    augmentation_without: tuple[str, ...] = ()  # kinds of change left out: "rotation", "gamma", ...
    augmentation_with: tuple[str, ...] = ()  # kinds added: "quarter_turns", "salt_and_pepper=0.2"
    dummy_2d: bool | None = None  # change slices by themselves; None: where the patch is flat
    cascade_augmentation: bool = True  # change what the previous stage predicted as well
    mirror_axes: tuple[int, ...] | None = None  # of prepared arrays; None: all spatial axes
    precision: str = "auto"  # "auto", "float32", "bfloat16", "float16"
    trainer: str = "default"
    accumulate: int = 1  # micro-batches of `batch_size` samples in each step
    checkpointing: bool = False  # compute activations twice instead of keeping them: less memory
    compile: bool | None = (
        None  # torch.compile; None: where a training is long enough to gain by it
    )
    patience: int | None = None  # epochs without progress, then the end begins; None: off
    patience_gain: float = 1e-3  # of Dice, and of the loss as a share of it: less is no progress
    target_dice: float | None = None  # of the validation patches: then the end begins; None: off
    keep_every: int | None = None  # epochs between two snapshots of the weights; None: no snapshots
    weights: str | None = None  # SHA-256 of those it began with (--weights); None: drawn
    freeze_encoder: int = 0  # first epochs in which the encoder stays as --weights brought it
    trackers: tuple[str, ...] = ()  # "tensorboard", "wandb", "mlflow"; history.csv always


@dataclass(frozen=True)
class PredictConfig:
    """How cases are predicted."""

    # "accurate", "balanced", "fast" or "localise": what None below becomes
    speed: str = "balanced"
    step: float | None = None  # of the sliding window, in patches
    mirror: str | None = None  # "all" mirror images, "half" of them, or "off"
    folds: tuple[str, ...] | None = None  # None: every trained fold
    precision: str | None = None  # "float32" (None), "bfloat16" or "float16"
    margin_mm: float | None = None  # around targets, with speed "localise"
    # on label maps: "best" (those of best.json where that is followed), "none", or
    # "heart:closing:2,tumour:min_voxels:30"
    rules: str = "best"


def override(record: Record, assignments: Iterable[str]) -> Record:
    """Return `record` with "name=value" assignments applied; names may be dotted paths.

    Values are JSON where they parse as JSON ("3", "[1, 2]", "true", "null"), text otherwise;
    "40x56x40" and "1,2" become lists where the field is a list.
    Raises UsageError on an unknown name ("did you mean ...?") or a value of the wrong type.
    """
    for assignment in assignments:
        name, separator, text = assignment.partition("=")
        if not separator:
            raise UsageError(f"--set {assignment}", expected="name=value")
        record = _assign(record, name.strip().split("."), text.strip(), name.strip())
    return record


def spell_settings(values: Mapping[str, Any]) -> list[str]:
    """Return settings of a file as the assignments that `override` takes.

    >>> spell_settings({"optimizer": "adam", "steps": 100, "mirror_axes": []})
    ['optimizer=adam', 'steps=100', 'mirror_axes=[]']
    """
    return [f"{k}={v if isinstance(v, str) else json.dumps(v)}" for k, v in values.items()]


def _assign(value: Any, path: list[str], text: str, whole: str) -> Any:
    head, rest = path[0], path[1:]
    if isinstance(value, Mapping):
        if head not in value:
            raise UsageError(f"--set {whole}: unknown name '{head}'", remedy=suggest(head, value))
        return {**value, head: _assign(value[head], rest, text, whole) if rest else _parse(text)}
    names = [f.name for f in dataclasses.fields(value)]
    if head not in names:
        raise UsageError(f"--set {whole}: unknown setting '{head}'", remedy=suggest(head, names))
    if rest:
        return dataclasses.replace(
            value, **{head: _assign(getattr(value, head), rest, text, whole)}
        )
    hint = typing.get_type_hints(type(value))[head]
    try:
        changed = from_json(type(value), to_json(value) | {head: _parse(text, hint)}, whole)
    except CorruptError as error:
        raise UsageError(
            f"--set {whole}={text}: not a value for '{head}'", expected=error.expected
        ) from error
    return changed


def _parse(text: str, hint: Any = None) -> Any:
    nothing = text.lower() in ("null", "none") and "None" in str(hint)  # normalizers=none is a name
    if "tuple" in str(hint) and not text.startswith("[") and not nothing:
        if "str" in str(hint):
            return [part.strip() for part in text.split(",") if part.strip()]
        return [_parse(part) for part in text.replace("x", ",").split(",")] if text else []
    if text.lower() == "none" and hint is not str:  # augmentation=none is a name
        return None
    if hint is str or "str" in str(hint).split(" | "):
        return text if text != "null" else None
    try:
        return json.loads(text.lower() if text.lower() in ("true", "false", "null") else text)
    except json.JSONDecodeError:
        return text
