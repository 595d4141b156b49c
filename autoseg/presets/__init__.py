"""Named recipes, one small JSON file each: how to plan a configuration, and how to train it.

A file holds a `Preset`. With a `plan` it is one more configuration of a data set, planned by
`autoseg_plan --preset`, whose trainings begin with `train`; without one it is a set of settings for
any configuration, `autoseg_train --preset`. A name that ends with ".json" is a file of one's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autoseg.config import spell_settings
from autoseg.errors import CorruptError, UsageError, by_hand, suggest
from autoseg.files import read_json
from autoseg.records import from_json

FOLDER = Path(__file__).parent

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class PresetNetwork:
    """A network in short; what a U-Net does not say is the usual (`planning/presets.py`)."""

    name: str
    options: str | None = None  # "features=8,dropout=0.2": of a network with options
    features: tuple[int, ...] = ()  # of a U-Net, finest stage first
    encoder_blocks: tuple[int, ...] | None = None
    decoder_blocks: tuple[int, ...] | None = None
    strides: tuple[Triple, ...] | None = None
    kernels: tuple[Triple, ...] | None = None


@dataclass(frozen=True)
class PresetPlan:
    """What a preset plans otherwise than the configuration it is based on."""

    base: str  # "2d" or "3d_fullres"
    patch_size: Triple  # voxels, plan axis order; (1, Y, X) in 2-D
    batch_size: int
    network: PresetNetwork
    normalizer: str | None = None  # of every channel; None: as planned
    plane: int | None = None  # pixels that the longer side of the median slice gets
    spacing: tuple[float | None, float, float] | None = None  # mm, coarsest axis first
    batch_dice: bool = False
    passes: float | None = None  # over all slices (2-D) or cases (3-D): the length of a training


@dataclass(frozen=True)
class Preset:
    """A recipe by name."""

    about: str  # one sentence
    differences: tuple[str, ...] = ()  # from the recipe as its authors ran it
    plan: PresetPlan | None = None
    train: Mapping[str, Any] = field(default_factory=dict)  # settings; weights by target name


def preset_names() -> list[str]:
    """Return the names of the presets that come with autoseg."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def load_preset(name: str) -> Preset:
    """Return a preset by name; raise UsageError when there is none."""
    names = preset_names()
    if name not in names:
        remedy = f"{suggest(name, names)} (or your own as FILE.json)"
        raise UsageError(f"unknown preset '{name}'", remedy=remedy)
    return _read(FOLDER / f"{name}.json")


def _read(path: Path) -> Preset:
    return from_json(Preset, read_json(path), str(path))


def is_own(name: str) -> bool:
    """Tell whether a preset is a file of one's own, such as the `best.json` of a search."""
    return name.endswith(".json")


def read_own_preset(path: Path) -> Preset:
    """Return the preset in a file; raise UsageError when there is none, DataError for another."""
    if not path.is_file():
        raise UsageError("there is no such preset", place=str(path))
    try:
        return _read(path)
    except CorruptError as error:
        raise by_hand(error, 'a preset is {"about": "...", "train": {"loss": "ce"}}') from error


def training_settings(name: str) -> list[str]:
    """Return the settings of a preset that fits any configuration as "name=value"."""
    preset = read_own_preset(Path(name)) if is_own(name) else load_preset(name)
    if preset.plan is not None:
        configuration = Path(name).stem if is_own(name) else name
        remedy = f"autoseg_plan --preset {name}, then autoseg_train {configuration} 0"
        raise UsageError(f"preset '{name}' is a configuration of its own", remedy=remedy)
    return spell_settings(preset.train)
