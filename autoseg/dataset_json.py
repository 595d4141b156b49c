"""What `dataset.json` declares, in nnU-Net's and MSD's spelling, every mistake reported at once.

nnU-Net: `channel_names` {"0": "CT"}, `labels` {"background": 0, "liver": 1}, a list of values for a
region and then `regions_class_order`, "ignore" for voxels that do not count. MSD: `modality` and
`labels` {"0": "background", "1": "liver"}. Ours, optional: `nsd_tolerance_mm`, `pairs`, `cases`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autoseg.errors import Problem, suggest
from autoseg.labels import LARGEST_COUNT, Labels

LARGEST_VALUE = 65535
KEYS = (
    "name", "description", "intended_use", "author", "contact", "reference", "licence", "license",
    "release", "relase", "citation",
    "tensorImageSize", "converted_by", "numTraining", "numTest", "training", "test", "modality",
    "channel_names", "labels", "regions_class_order", "file_ending",
    "overwrite_image_reader_writer",
    "dataset", "nsd_tolerance_mm", "pairs", "cases",
)  # fmt: skip
CASE_KEYS = ("group", "tags", "annotated", "source", "meta")
EXAMPLE = '{"background": 0, "liver": 1}'
REGION_EXAMPLE = (
    '"labels": {"background": 0, "kidney": [1, 2], "tumour": 2}, "regions_class_order": [1, 2]'
)


@dataclass(frozen=True)
class CaseEntry:
    """What `cases` says about one case."""

    group: str | None = None
    tags: tuple[str, ...] = ()
    annotated: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Declaration:
    """The content of `dataset.json` in our own terms."""

    channels: tuple[str, ...]
    labels: Labels
    file_ending: str = ""  # "": whatever the files have
    entries: Mapping[str, CaseEntry] = field(default_factory=dict)
    listed: Mapping[str, tuple[tuple[str, ...], str | None]] | None = (
        None  # `dataset`: image paths, label
    )
    training: int | None = None  # numTraining, informative


@dataclass
class _Notes:
    """Collects what is wrong and what is odd while the file is read."""

    place: str
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def wrong(self, found: str, expected: str = "", remedy: str = "") -> None:
        self.problems.append(Problem(self.place, found, expected, remedy))

    def odd(self, found: str, expected: str = "", remedy: str = "") -> None:
        self.warnings.append(Problem(self.place, found, expected, remedy))


def parse_declaration(
    data: Any, place: str, images: bool = True
) -> tuple[Declaration | None, list[Problem], list[Problem]]:
    """Return (declaration, problems, warnings); the declaration is None when it cannot be used.

    Without `images` (label maps are all there is) channel_names may be missing.

    >>> ours, _, _ = parse_declaration(
    ...     {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "liver"}}, "dataset.json")
    >>> ours.channels, ours.labels.targets
    (('CT',), {'liver': (1,)})
    """
    notes = _Notes(place)
    if not isinstance(data, dict):
        notes.wrong("is not a JSON object", '{"channel_names": ..., "labels": ...}')
        return None, notes.problems, notes.warnings
    for key in data:
        if key not in KEYS:
            notes.odd(f"unknown key '{key}'", remedy=suggest(key, KEYS))
    named = images or "channel_names" in data or "modality" in data
    channels = _channels(data, notes) if named else ()
    labels = _labels(data, notes)
    ending = data.get("file_ending", "")
    if not isinstance(ending, str):
        notes.wrong(f"file_ending is {ending!r}", 'text such as ".nii.gz"')
        ending = ""
    entries = _entries(data.get("cases", {}), labels, notes)
    listed = _listed(data.get("dataset"), notes)
    training = data.get("numTraining")
    if labels is None or notes.problems:
        return None, notes.problems, notes.warnings
    count = training if isinstance(training, int) else None
    declaration = Declaration(channels, labels, ending, entries, listed, count)
    return declaration, notes.problems, notes.warnings


def _channels(data: Mapping[str, Any], notes: _Notes) -> tuple[str, ...]:
    named = data.get("channel_names", data.get("modality"))
    if named is None:
        notes.wrong("misses channel_names", '"channel_names": {"0": "CT"}')
        return ()
    if isinstance(named, list):
        named = {str(index): name for index, name in enumerate(named)}
    if not isinstance(named, dict) or not named:
        notes.wrong(f"channel_names is {named!r}", '"channel_names": {"0": "CT"}')
        return ()
    expected = [str(index) for index in range(len(named))]
    if sorted(named, key=lambda key: (len(key), key)) != expected:
        notes.wrong(f"channels are numbered {', '.join(named)}", ", ".join(expected))
        return ()
    if not all(isinstance(name, str) and name for name in named.values()):
        notes.wrong("a channel name is not text", '"channel_names": {"0": "CT"}')
        return ()
    return tuple(named[index] for index in expected)


def _labels(data: Mapping[str, Any], notes: _Notes) -> Labels | None:
    declared = data.get("labels")
    if not isinstance(declared, dict) or not declared:
        what = "misses labels" if declared is None else f"labels is {str(declared)[:40]}"
        notes.wrong(what, f'"labels": {EXAMPLE}')
        return None
    if all(key.isdigit() and isinstance(name, str) for key, name in declared.items()):
        declared = _inverted(declared, notes)
    before = len(notes.problems)
    values = {name: _values(name, value, notes) for name, value in declared.items()}
    ignore = _single(values.pop("ignore", ()), "ignore", notes)
    if ignore == 0:
        notes.wrong("'ignore' is 0, which is background", "a value of its own, such as 255")
    background = [name for name, numbers in values.items() if numbers == (0,)]
    for name in background:
        del values[name]
    if not background:
        notes.wrong("labels has no background with value 0", EXAMPLE)
    for name, numbers in values.items():
        if 0 in numbers:
            notes.wrong(f"label '{name}' contains 0, which is background", EXAMPLE)
        if ignore is not None and ignore in numbers:
            notes.wrong(f"label '{name}' contains the ignored value {ignore}")
    if not values:
        notes.wrong("labels declares nothing but background", EXAMPLE)
    values = _ordered(values, declared, data.get("regions_class_order"), notes)
    if len({value for numbers in values.values() for value in numbers}) > LARGEST_COUNT:
        notes.wrong("too many label values", f"at most {LARGEST_COUNT}")
    tolerances = _tolerances(data.get("nsd_tolerance_mm", {}), values, notes)
    pairs = _pairs(data.get("pairs", []), values, notes)
    return None if len(notes.problems) > before else Labels(values, ignore, tolerances, pairs)


def _inverted(declared: Mapping[str, str], notes: _Notes) -> dict[str, Any]:
    """Return MSD's {"1": "liver"} as {"liver": 1}."""
    inverted: dict[str, Any] = {}
    for value, name in declared.items():
        if name in inverted:
            notes.wrong(f"the label name '{name}' stands for two values")
        inverted[name] = int(value)
    return inverted


def _values(name: str, value: Any, notes: _Notes) -> tuple[int, ...]:
    numbers = value if isinstance(value, list) else [value]
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int):
            notes.wrong(f"label '{name}' is {value!r}", "a whole number or a list of them")
            return ()
        if not 0 <= number <= LARGEST_VALUE:
            notes.wrong(f"label '{name}' has value {number}", f"0 to {LARGEST_VALUE}")
            return ()
    if not numbers or len(set(numbers)) < len(numbers):
        notes.wrong(f"label '{name}' is {value!r}", "each value once")
    return tuple(numbers)


def _single(numbers: tuple[int, ...], name: str, notes: _Notes) -> int | None:
    if len(numbers) > 1:
        notes.wrong(f"'{name}' has {len(numbers)} values", "one")
    return numbers[0] if numbers else None


def _ordered(
    values: dict[str, tuple[int, ...]], declared: Mapping[str, Any], order: Any, notes: _Notes
) -> dict[str, tuple[int, ...]]:
    """Return each target's values with the one that is written for it first."""
    regions = [name for name in values if isinstance(declared[name], list)]
    if order is None:
        if len({value for numbers in values.values() for value in numbers}) < sum(
            map(len, values.values())
        ):
            notes.wrong("overlapping labels without regions_class_order", REGION_EXAMPLE)
        return values
    if not regions:
        return values  # nnU-Net writes it for plain labels too, where it says nothing
    if not isinstance(order, list) or len(order) != len(values):
        expected = f"{len(values)} values, one per label without background"
        notes.wrong(f"regions_class_order is {order!r}", expected)
        return values
    ordered = {}
    for (name, numbers), first in zip(values.items(), order, strict=True):
        if first not in numbers:
            expected = f"one of {list(numbers)}, the values of '{name}'"
            notes.wrong(f"regions_class_order gives {first!r} for '{name}'", expected)
        ordered[name] = (first, *(number for number in numbers if number != first))
    return ordered


def _tolerances(given: Any, targets: Mapping[str, Any], notes: _Notes) -> dict[str, float]:
    if not isinstance(given, dict):
        notes.wrong(f"nsd_tolerance_mm is {given!r}", '{"liver": 3.0}')
        return {}
    for name, value in given.items():
        if name not in targets:
            notes.wrong(f"nsd_tolerance_mm names '{name}'", remedy=suggest(name, targets))
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            notes.wrong(f"nsd_tolerance_mm of '{name}' is {value!r}", "millimetres above 0")
    return {name: value for name, value in given.items() if isinstance(value, int | float)}


def _pairs(given: Any, targets: Mapping[str, Any], notes: _Notes) -> tuple[tuple[str, str], ...]:
    pairs = []
    for pair in given if isinstance(given, list) else [given]:
        if not isinstance(pair, list) or len(pair) != 2 or pair[0] == pair[1]:
            notes.wrong(f"pairs holds {pair!r}", '[["kidney_left", "kidney_right"]]')
            continue
        for name in pair:
            if name not in targets:
                notes.wrong(f"pairs names '{name}'", remedy=suggest(str(name), targets))
        pairs.append((pair[0], pair[1]))
    return tuple(pairs)


def _entries(given: Any, labels: Labels | None, notes: _Notes) -> dict[str, CaseEntry]:
    expected = '{"case_01": {"group": "patient_1", "tags": ["site-A"], "annotated": ["liver"]}}'
    if not isinstance(given, dict):
        notes.wrong("cases is not an object", expected)
        return {}
    entries = {}
    for case, entry in given.items():
        if not isinstance(entry, dict):
            notes.wrong(f"cases.{case} is {entry!r}", expected)
            continue
        for key in entry:
            if key not in CASE_KEYS:
                notes.odd(f"unknown key '{key}' in cases.{case}", remedy=suggest(key, CASE_KEYS))
        group, tags, annotated = entry.get("group"), entry.get("tags", []), entry.get("annotated")
        if not (group is None or isinstance(group, str)):
            notes.wrong(f"cases.{case}.group is {group!r}", "text")
        if not _is_texts(tags) or not (annotated is None or _is_texts(annotated)):
            notes.wrong(f"cases.{case}: tags and annotated are lists of text", expected)
            continue
        for name in annotated or ():
            if labels is not None and name not in labels.targets:
                remedy = suggest(name, labels.targets)
                notes.wrong(f"cases.{case}.annotated names '{name}'", remedy=remedy)
        wanted = None if annotated is None else tuple(annotated)
        source = entry.get("source", "")
        if not isinstance(source, str):
            notes.wrong(f"cases.{case}.source is {source!r}", "text")
        # Where data come from is a tag like others: folds are even over it, reports split by it.
        came = [source] if isinstance(source, str) and source and source not in tags else []
        entries[case] = CaseEntry(group, (*tags, *came), wanted)
    return entries


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _listed(given: Any, notes: _Notes) -> dict[str, tuple[tuple[str, ...], str | None]] | None:
    if given is None:
        return None
    expected = '{"case_01": {"images": ["imagesTr/a.nii.gz"], "label": "labelsTr/a.nii.gz"}}'
    if not isinstance(given, dict):
        notes.wrong("dataset is not an object", expected)
        return None
    listed = {}
    for case, entry in given.items():
        images = entry.get("images") if isinstance(entry, dict) else None
        label = entry.get("label") if isinstance(entry, dict) else None
        if not _is_texts(images) or not images or not isinstance(label, str | None):
            notes.wrong(f"dataset.{case} is {str(entry)[:60]}", expected)
            continue
        listed[case] = (tuple(images), label)
    return listed
