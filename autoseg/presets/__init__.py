"""Named sets of settings, one small JSON file each: {setting: value}."""

from __future__ import annotations

import json
from pathlib import Path

from autoseg.errors import UsageError, suggest
from autoseg.files import read_json

FOLDER = Path(__file__).parent


def preset_names() -> list[str]:
    """Return the names of the presets that come with autoseg."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def load_preset(name: str) -> list[str]:
    """Return the settings of a preset as "name=value"; raise UsageError when there is none."""
    names = preset_names()
    if name not in names:
        raise UsageError(f"unknown preset '{name}'", remedy=suggest(name, names))
    settings = read_json(FOLDER / f"{name}.json")
    return [f"{key}={json.dumps(value)}" for key, value in settings.items()]
