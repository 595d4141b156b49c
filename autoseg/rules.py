"""Rules on label maps as data: which there are, in which order they apply, JSON and words.

What they do to a label map is in `postprocess.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from autoseg.errors import CorruptError, UsageError, suggest
from autoseg.labels import Labels

ALL = "*"  # all targets together; only components of it can be removed
RULES: dict[str, str | None] = {  # name: unit of its number
    "threshold": "probability",
    "largest_component": None,
    "min_component": "mm3",
    "min_voxels": "voxels",
    "fill_holes": None,
    "closing": "mm",
    "opening": "mm",
    "gaussian": "mm",
}
MOST = {"probability": 1.0, "mm": 50.0}  # below; a ball that is larger than organs smooths nothing
COMPONENT_RULES = ("largest_component", "min_component", "min_voxels")
STAGES = (("threshold",), COMPONENT_RULES, ("fill_holes",), ("closing", "opening", "gaussian"))


@dataclass(frozen=True)
class Rule:
    """One rule of a target; `value` has the unit that `RULES` names, or is None."""

    name: str
    value: float | None = None

    def __str__(self) -> str:
        unit = RULES[self.name]
        words = self.name.replace("_", " ")
        if unit is None:
            return words
        if unit in ("probability", "voxels"):  # the name says it
            return f"{words} {self.value:g}"
        return f"{words} {self.value:g} {unit}"


Rules = Mapping[str, tuple[Rule, ...]]  # of each target, and of ALL


def in_order(rules: Rules, labels: Labels) -> Iterator[tuple[str, Rule]]:
    """Yield (target or ALL, rule) in the order of application."""
    for stage in STAGES:
        for scope in (ALL, *labels.names):
            yield from ((scope, rule) for rule in rules.get(scope, ()) if rule.name in stage)


def thresholds(rules: Rules, labels: Labels) -> tuple[float, ...] | None:
    """Return the probability above which each target is present; None: 0.5 for all of them."""
    chosen = {scope: r.value for scope, r in in_order(rules, labels) if r.name == "threshold"}
    if not chosen:
        return None
    return tuple(float(chosen.get(name) or 0.5) for name in labels.names)


def may_have_thresholds(labels: Labels) -> bool:
    """Tell whether a probability decides on a target alone, not which of several is largest."""
    return not labels.exclusive or len(labels.names) == 1


def describe_rules(rules: Rules) -> str:
    """Return rules as words: "liver: largest component; spleen: min component 50 mm3"."""
    return "; ".join(
        f"{'all targets' if scope == ALL else scope}: {', '.join(map(str, entries))}"
        for scope, entries in rules.items()
        if entries
    )


def rules_json(rules: Rules) -> dict[str, tuple[dict[str, Any], ...]]:
    """Return rules as JSON primitives: `{"liver": [{"rule": "min_component", "mm3": 50.0}]}`."""
    return {
        scope: tuple(
            {"rule": rule.name} | ({unit: rule.value} if (unit := RULES[rule.name]) else {})
            for rule in entries
        )
        for scope, entries in rules.items()
        if entries
    }


def read_rules(value: Any, labels: Labels, place: str) -> Rules:
    """Return what `rules_json` gave; raise CorruptError naming a rule or target at `place`."""
    if not isinstance(value, Mapping):
        raise CorruptError("rules are not an object", place=place, expected='{"target": [...]}')
    rules: dict[str, tuple[Rule, ...]] = {}
    for scope, entries in value.items():
        if scope != ALL and scope not in labels.targets:
            remedy = suggest(scope, labels.names)
            raise CorruptError(f"rules for an unknown target '{scope}'", place=place, remedy=remedy)
        if not isinstance(entries, list | tuple):
            raise CorruptError(f"rules of '{scope}' are not a list", place=place)
        rules[scope] = tuple(_read_rule(entry, scope, place) for entry in entries)
    if may_have_thresholds(labels):
        return rules
    if any(rule.name == "threshold" for entries in rules.values() for rule in entries):
        fact, expected = "a threshold for exclusive targets", "overlapping targets, or a single one"
        raise CorruptError(fact, place=place, expected=expected)
    return rules


def parse_rules(text: str, labels: Labels) -> Rules:
    """Return the rules that a user names: "none", or "TARGET:RULE:NUMBER,TARGET:RULE".

    `*` stands for all targets together. Raises UsageError naming an unknown rule or target.
    """
    table: dict[str, list[dict[str, Any]]] = {}
    for entry in [] if text == "none" else text.split(","):
        target, _, rest = entry.strip().partition(":")
        name, _, number = rest.partition(":")
        if not name:
            remedy = suggest(entry, ("best", "none"))
            raise UsageError(f"--set rules={text}: '{entry}'", expected="TARGET:RULE:NUMBER",
                             remedy=remedy)  # fmt: skip
        rule: dict[str, Any] = {"rule": name}
        unit = RULES.get(name)
        if name in RULES and bool(number) != bool(unit):
            expected = f"{target}:{name}" + (f":NUMBER ({unit})" if unit else ", without a number")
            raise UsageError(f"--set rules: '{entry.strip()}'", expected=expected)
        if unit:
            rule[unit] = _number_of(number.removesuffix(unit).strip())
        table.setdefault(target, []).append(rule)
    try:
        return read_rules(table, labels, "--set rules")
    except CorruptError as error:
        raise UsageError(
            f"--set rules: {error.fact}", expected=error.expected, remedy=error.remedy
        ) from error


def _number_of(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _read_rule(entry: Any, scope: str, place: str) -> Rule:
    name = entry.get("rule") if isinstance(entry, Mapping) else None
    if name not in RULES:
        remedy = suggest(str(name), RULES)
        raise CorruptError(f"unknown rule '{name}' of '{scope}'", place=place, remedy=remedy)
    if scope == ALL and name not in COMPONENT_RULES:
        raise CorruptError(f"'{name}' for all targets together", place=place,
                           expected=" or ".join(COMPONENT_RULES))  # fmt: skip
    unit = RULES[name]
    if set(entry) != ({"rule", unit} if unit else {"rule"}):
        expected = f'{{"rule": "{name}"' + (f', "{unit}": number}}' if unit else "}")
        raise CorruptError(f"rule of '{scope}': {dict(entry)}", place=place, expected=expected)
    if unit is None:
        return Rule(name)
    number, most = entry[unit], MOST.get(unit, math.inf)
    good = isinstance(number, int | float) and not isinstance(number, bool) and 0 < number < most
    if not good:
        expected = "a positive number" if most == math.inf else f"between 0 and {most:g}"
        raise CorruptError(f"{name} of '{scope}': {number!r}", place=place, expected=expected)
    return Rule(name, float(number))
