"""The targets that `dataset.json` declares: values, regions, order, tolerances, left and right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autoseg.errors import Problem, suggest
from autoseg.labels import LARGEST_COUNT, Labels

LARGEST_VALUE = 65535
EXAMPLE = '{"background": 0, "liver": 1}'
REGION_EXAMPLE = (
    '"labels": {"background": 0, "kidney": [1, 2], "tumour": 2}, "regions_class_order": [1, 2]'
)


@dataclass
class Notes:
    """Collects what is wrong and what is odd while the file is read."""

    place: str
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def wrong(self, found: str, expected: str = "", remedy: str = "") -> None:
        """Note what cannot be used as it is."""
        self.problems.append(Problem(self.place, found, expected, remedy))

    def odd(self, found: str, expected: str = "", remedy: str = "") -> None:
        """Note what can be used, and perhaps is not meant."""
        self.warnings.append(Problem(self.place, found, expected, remedy))


def parse_labels(data: Mapping[str, Any], notes: Notes) -> Labels | None:
    """Return the targets of a `dataset.json`, or None with what is wrong with them in `notes`."""
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


def _inverted(declared: Mapping[str, str], notes: Notes) -> dict[str, Any]:
    """Return MSD's {"1": "liver"} as {"liver": 1}."""
    inverted: dict[str, Any] = {}
    for value, name in declared.items():
        if name in inverted:
            notes.wrong(f"the label name '{name}' stands for two values")
        inverted[name] = int(value)
    return inverted


def _values(name: str, value: Any, notes: Notes) -> tuple[int, ...]:
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


def _single(numbers: tuple[int, ...], name: str, notes: Notes) -> int | None:
    if len(numbers) > 1:
        notes.wrong(f"'{name}' has {len(numbers)} values", "one")
    return numbers[0] if numbers else None


def _ordered(
    values: dict[str, tuple[int, ...]], declared: Mapping[str, Any], order: Any, notes: Notes
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


def _tolerances(given: Any, targets: Mapping[str, Any], notes: Notes) -> dict[str, float]:
    if not isinstance(given, dict):
        notes.wrong(f"nsd_tolerance_mm is {given!r}", '{"liver": 3.0}')
        return {}
    for name, value in given.items():
        if name not in targets:
            notes.wrong(f"nsd_tolerance_mm names '{name}'", remedy=suggest(name, targets))
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            notes.wrong(f"nsd_tolerance_mm of '{name}' is {value!r}", "millimetres above 0")
    return {name: value for name, value in given.items() if isinstance(value, int | float)}


def _pairs(given: Any, targets: Mapping[str, Any], notes: Notes) -> tuple[tuple[str, str], ...]:
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
