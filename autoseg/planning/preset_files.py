"""Presets that a plan is asked for: by the name of one of autoseg's, or the path of one's own."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from autoseg.architectures import ARCHITECTURES
from autoseg.config import TrainConfig, override, spell_settings
from autoseg.errors import AutosegError, UsageError, by_hand, suggest
from autoseg.network_options import ScseOptions, UnetOptions
from autoseg.plan import COARSE_NAMES
from autoseg.plan_file import check_design
from autoseg.planning.presets import BY_TARGET, expand
from autoseg.preprocessing.intensity import check_normalizers
from autoseg.presets import Preset, PresetPlan, is_own, load_preset, preset_names, read_own_preset
from autoseg.registry import is_foreign

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # of folders, and of what --set takes apart at "."
TAKEN = ("labels", "decoded", "2d", "3d_fullres", *COARSE_NAMES)  # folders of prepared data


def read_presets(words: Iterable[str]) -> dict[str, Preset]:
    """Return each preset by the name of its configuration: that of one's own is its file's.

    Raises UsageError for an unknown name, and for a file that is not there or has a name that no
    configuration can have; DataError for a file that is no preset that plans. What depends on the
    data is told by `add_presets`.
    """
    found: dict[str, Preset] = {}
    for word in words:
        name = Path(word).stem if is_own(word) else word
        preset = _read_own(name, Path(word)) if is_own(word) else load_preset(word)
        if preset.plan is None:
            raise UsageError(
                f"preset '{word}' plans nothing, it holds settings of a training",
                remedy=f"autoseg_train CONFIG FOLD --preset {word}",
            )
        if found.setdefault(name, preset) != preset:
            raise UsageError(f"two presets are called '{name}'", remedy="give a file another name")
    return found


def _read_own(name: str, path: Path) -> Preset:
    preset = read_own_preset(path)
    if not NAME.fullmatch(name):
        expected = "letters, digits, - and _: it becomes that of a configuration"
        raise UsageError(f"a preset called '{name}'", place=str(path), expected=expected)
    if name in (*preset_names(), *TAKEN):
        fact = f"'{name}' is the name of something else"
        raise UsageError(fact, place=str(path), remedy="give the file another name")
    try:
        _check_settings(preset)
        if preset.plan is not None:
            _check_plan(preset.plan)
    except AutosegError as error:
        place = ": ".join(filter(None, (str(path), error.place)))
        told = UsageError(error.fact, place=place, expected=error.expected, remedy=error.remedy)
        raise by_hand(told, "correct the file, see docs/presets.md") from error
    return preset


def _check_settings(preset: Preset) -> None:
    plain = {name: value for name, value in preset.train.items() if name not in BY_TARGET}
    override(TrainConfig(), spell_settings(plain))
    for name in BY_TARGET:
        value = preset.train.get(name, "")
        numbers = list(value.values()) if isinstance(value, Mapping) else []
        plain_numbers = all(type(number) in (int, float) for number in numbers)
        if not isinstance(value, str | Mapping) or not plain_numbers:
            expected = 'numbers by target, such as {"kidney": 1, "tumour": 3}'
            raise UsageError(f"train.{name} is {value}", expected=expected)


def _check_plan(part: PresetPlan) -> None:
    for name in ("plane", "passes"):
        value = getattr(part, name)
        if value is not None and not 0 < value < math.inf:
            raise UsageError(f"plan.{name} is {value:g}", expected="a number above 0")
    if part.normalizer is not None:
        check_normalizers([part.normalizer])
    network = part.network
    unets = [n for n, a in ARCHITECTURES.items() if a.options in (UnetOptions, ScseOptions)]
    if network.features and not is_foreign(network.name) and network.name not in unets:
        if network.name in ARCHITECTURES:
            fact = f"{network.name} has no list of features"
            raise UsageError(fact, place="plan.network", expected='"options": "features=8"')
        remedy = suggest(network.name, ARCHITECTURES)
        raise UsageError(f"unknown network '{network.name}'", place="plan.network", remedy=remedy)
    if network.features and network.options:
        raise UsageError("features and options", place="plan.network", expected="one of them")
    check_design(expand(part), "plan")
