"""What is evaluated: targets from a `dataset.json`, from words, from a preset, or values found."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autoseg.dataset_json import Declaration, parse_declaration
from autoseg.declared_labels import LARGEST_VALUE
from autoseg.errors import DataError, UsageError, suggest
from autoseg.files import read_json
from autoseg.labels import Labels

log = logging.getLogger(__name__)

EVERY_TARGET = "*"


@dataclass(frozen=True)
class Preset:
    """Targets and NSD tolerances of a challenge; what else its own script does is in `note`."""

    note: str
    targets: dict[str, tuple[int, ...]] = field(default_factory=dict)  # empty: the dataset's own
    tolerances_mm: dict[str, float] = field(default_factory=dict)


KITS_NOTE = "its script counts a target empty in both as 1 (--both-empty one)"
PRESETS = {
    "kits19": Preset(KITS_NOTE, {"kidney": (1, 2), "tumour": (2,)}),
    "kits23": Preset(
        KITS_NOTE,
        {"kidney_and_masses": (1, 2, 3), "masses": (2, 3), "tumour": (2,)},
        {
            "kidney_and_masses": 1.0330772532390826,
            "masses": 1.1328796488598762,
            "tumour": 1.1498198361434828,
        },
    ),
    "flare22": Preset(
        "its script also sets NSD to 0 below Dice 0.2, cuts aorta, vena cava and oesophagus to the "
        "slices of the reference, and counts a target empty in both as 1 (--both-empty one)",
        {
            "liver": (1,), "right_kidney": (2,), "spleen": (3,), "pancreas": (4,), "aorta": (5,),
            "inferior_vena_cava": (6,), "right_adrenal_gland": (7,), "left_adrenal_gland": (8,),
            "gallbladder": (9,), "oesophagus": (10,), "stomach": (11,), "duodenum": (12,),
            "left_kidney": (13,),
        },
        {
            "liver": 5, "right_kidney": 3, "spleen": 3, "pancreas": 5, "aorta": 2,
            "inferior_vena_cava": 2, "right_adrenal_gland": 2, "left_adrenal_gland": 2,
            "gallbladder": 2, "oesophagus": 3, "stomach": 5, "duodenum": 7, "left_kidney": 3,
        },
    ),
    "totalseg": Preset(
        "its script assumes 1.5 mm voxels and leaves out cases whose reference is empty",
        tolerances_mm={EVERY_TARGET: 3.0},
    ),
}  # fmt: skip


def find_preset(name: str) -> Preset:
    """Return a preset by name; raise UsageError naming the near one."""
    if name not in PRESETS:
        raise UsageError(f"unknown preset '{name}'", remedy=suggest(name, PRESETS))
    return PRESETS[name]


def preset_tolerances(preset: Preset, labels: Labels) -> dict[str, float]:
    """Return the preset's tolerance in mm of each of these targets that it has one for."""
    every = preset.tolerances_mm.get(EVERY_TARGET)
    found = {name: preset.tolerances_mm.get(name, every) for name in labels.names}
    return {name: tolerance for name, tolerance in found.items() if tolerance is not None}


def parse_targets(words: Sequence[str]) -> Labels:
    """Return targets from words; "ignore" names the value that the reference leaves open.

    >>> parse_targets(["kidney=1,2", "tumour=2", "ignore=9"])
    Labels(targets={'kidney': (1, 2), 'tumour': (2,)}, ignore=9, nsd_tolerance_mm={}, \
declared_pairs=())
    """
    targets: dict[str, tuple[int, ...]] = {}
    for word in words:
        name, _, text = word.rpartition("=")
        numbers = tuple(map(int, text.split(","))) if re.fullmatch(r"\d+(,\d+)*", text) else ()
        if not name or not numbers or len(set(numbers)) < len(numbers) or name in targets:
            raise UsageError(
                f"target '{word}'", expected="each name once, as kidney=1,2 or tumour=2"
            )
        if not all(1 <= number <= LARGEST_VALUE for number in numbers):
            raise UsageError(f"target '{word}'", expected=f"values from 1 to {LARGEST_VALUE}")
        targets[name] = numbers
    ignored = targets.pop("ignore", ())
    if len(ignored) > 1 or not targets or set(ignored) & {v for t in targets.values() for v in t}:
        expected = "kidney=1,2 tumour=2, and perhaps ignore=9 with one value that no target has"
        raise UsageError(f"targets {' '.join(words)}", expected=expected)
    return Labels(targets, ignored[0] if ignored else None)


def annotated_among(
    annotated: Collection[str] | None, declared: Labels, labels: Labels
) -> tuple[str, ...] | None:
    """Return which targets of `labels` are annotated where those of `declared` in `annotated` are.

    A target is when all of its values are. None: all are.
    """
    if annotated is None:
        return None
    values = {value for name in annotated for value in declared.targets[name]}
    return tuple(name for name, own in labels.targets.items() if values.issuperset(own))


def find_declaration(*folders: Path) -> Declaration | None:
    """Return what the first `dataset.json` in or just above one of the folders declares."""
    for folder in folders:
        for place in (folder / "dataset.json", folder.resolve().parent / "dataset.json"):
            if not place.is_file():
                continue
            declaration, problems, warnings = parse_declaration(
                read_json(place), str(place), images=False
            )
            if declaration is None:
                raise DataError("cannot be used", place=str(place), problems=problems)
            for warning in warnings:
                log.warning("%s", warning)
            return declaration
    return None


def labels_of_values(found: Iterable[tuple[set[int], set[int]]], place: str) -> Labels:
    """Return one target for each value that occurs anywhere, named after it.

    Raises DataError when references and predictions have no value in common: 1 and 255 may mean
    the same, but nobody said so.
    """
    ours: set[int] = set()
    theirs: set[int] = set()
    for reference, prediction in found:
        ours |= reference
        theirs |= prediction
    if ours and theirs and not ours & theirs:
        raise DataError(
            f"predictions hold the values {_listed(theirs)}, references {_listed(ours)}",
            place=place,
            expected="the same values, or a dataset.json that declares them",
            remedy=f"say what they stand for, such as --label-map {min(theirs)}:{min(ours)}",
        )
    if not ours | theirs:
        raise DataError("every label map is empty", place=place, expected="some label values")
    return Labels({str(value): (value,) for value in sorted(ours | theirs)})


def _listed(values: set[int]) -> str:
    return ", ".join(str(value) for value in sorted(values)[:10])
