"""Labels of several data sets united by name: what every value of each becomes.

A united value stands for the set of targets that a voxel belongs to. So classes and overlapping
regions are one rule, classes of one name are one class, and so are classes renamed to one name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from autoseg.errors import Problem, UsageError, number_of, suggest
from autoseg.labels import Labels

BACKGROUND = "background"  # renamed to this, a class is dropped
REST = "*"  # classes that a label map does not name; renamed to it, they keep their names


@dataclass(frozen=True)
class Translation:
    """What the labels of one data set become."""

    values: Mapping[int, int]  # own value -> united value, background and ignored ones included
    origins: Mapping[str, frozenset[str]]  # every united target -> own targets that it consists of

    def annotated(self, own: Iterable[str] | None) -> tuple[str, ...] | None:
        """Return the united targets that are annotated where `own` targets are; None means all.

        A target of several own ones is annotated where all of them are.
        """
        names = tuple(
            name
            for name, origins in self.origins.items()
            if origins and (own is None or origins <= set(own))
        )
        return None if len(names) == len(self.origins) else names


def unite(
    labels: Mapping[str, Labels], renamed: Mapping[str, Mapping[str, str]]
) -> tuple[Labels, dict[str, Translation]]:
    """Return the united labels, and what the labels of each data set become.

    `renamed` says by data set what its classes, by name or by value or REST, are called in the
    union; where it says anything of one, it says all. Targets come in the order in which they
    first appear.
    Raises UsageError with everything in `renamed` that cannot be meant, and names that are nearly
    the same.
    """
    problems: list[Problem] = []
    named = {
        source: _renamed(source, own, renamed.get(source, {}), problems)
        for source, own in labels.items()
    }
    order = _order(named)
    problems += _nearly_same(order, named)
    if problems:
        fact = f"{number_of(len(problems), 'problem')} with the names of classes"
        raise UsageError(fact, problems=problems)
    if not order:
        raise UsageError("no class is left", remedy="map at least one to a name")
    united, value_of = _number(order, labels, named)
    ignore = len(value_of) if any(own.ignore is not None for own in labels.values()) else None
    translations = {}
    for source, own in labels.items():
        sets = named[source].of_value
        values = {value: value_of[frozenset(names)] for value, names in sets.items()}
        if own.ignore is not None and ignore is not None:
            values[own.ignore] = ignore
        translations[source] = Translation({0: 0, **values}, _origins(named[source], united))
    return Labels(united, ignore, _tolerances(labels, named), _pairs(labels, named)), translations


# --- names ---------------------------------------------------------------------------------------


@dataclass
class _Named:
    """What the labels of one data set are called in the union."""

    of_value: dict[int, tuple[str, ...]]  # own value -> united targets that it belongs to
    of_target: dict[str, tuple[str, ...]]  # own target -> what it became; several: value by value


def _renamed(
    source: str, own: Labels, renamed: Mapping[str, str], problems: list[Problem]
) -> _Named:
    """Return which united targets each own value belongs to."""
    for key in renamed:
        if key in own.targets or key == REST:
            continue
        if key.isdigit() and int(key) in own.values and own.exclusive:
            continue
        fact = f"the label map names '{key}'"
        remedy = suggest(key, [*own.targets, *map(str, own.values)])
        if key.isdigit() and not own.exclusive:
            fact, remedy = f"{fact}, but labels overlap", "name classes, not values"
        problems.append(Problem(source, fact, remedy=remedy))
    named = _Named(dict.fromkeys(own.values, ()), {})
    for target, values in own.targets.items():
        became = []
        for value in sorted(values):
            rest = renamed.get(target, renamed.get(REST) if renamed else target)
            name = renamed.get(str(value), rest) if own.exclusive else rest
            name = target if name == REST else name
            if name is None:
                remedy = f"add {source}:{value}=NAME, or {source}:{value}={BACKGROUND} to drop it"
                fact = f"value {value} ({target}) is not in the label map"
                problems.append(Problem(source, fact, remedy=remedy))
            elif name != BACKGROUND:
                named.of_value[value] = tuple(dict.fromkeys((*named.of_value[value], name)))
                became.append(name)
        named.of_target[target] = tuple(dict.fromkeys(became))
    return named


def _order(named: Mapping[str, _Named]) -> list[str]:
    """Return the united targets as they first appear, those inside others after these."""
    names = dict.fromkeys(
        n for o in named.values() for names in o.of_target.values() for n in names
    )

    values = {name: [_values_of(name, own) for own in named.values()] for name in names}

    def is_inside(name: str, other: str) -> bool:
        pairs = zip(values[name], values[other], strict=True)
        return any(inner and inner < outer for inner, outer in pairs)

    # Later targets are written over earlier ones: a tumour over its kidney.
    return sorted(names, key=lambda name: sum(is_inside(name, other) for other in names))


def _values_of(name: str, named: _Named) -> set[int]:
    return {value for value, names in named.of_value.items() if name in names}


def _nearly_same(names: Iterable[str], named: Mapping[str, _Named]) -> list[Problem]:
    spelled: dict[str, str] = {}
    problems = []
    for name in names:
        plain = re.sub(r"[\s_-]+", "", name).casefold()
        other = spelled.setdefault(plain, name)
        if other != name:
            source = next(
                s for s, own in named.items() if any(name in n for n in own.of_target.values())
            )
            fact = f"'{name}' is nearly the name '{other}'"
            remedy = f"make them one with a label map: {source}:{name}={other},..."
            problems.append(Problem(source, fact, "one spelling", remedy))
    return problems


def _origins(named: _Named, united: Mapping[str, object]) -> dict[str, frozenset[str]]:
    return {
        name: frozenset(target for target, became in named.of_target.items() if name in became)
        for name in united
    }


# --- values --------------------------------------------------------------------------------------


def _number(
    order: Iterable[str], labels: Mapping[str, Labels], named: Mapping[str, _Named]
) -> tuple[dict[str, tuple[int, ...]], dict[frozenset[str], int]]:
    """Return the united targets' values, the written one first, and the value of each set."""
    order = list(order)
    value_of = {frozenset[str](): 0}
    written = {name: _written(name, labels, named) for name in order}
    sets = [frozenset(names) for own in named.values() for names in own.of_value.values()]
    for one in (*written.values(), *sets):
        value_of.setdefault(one, len(value_of))
    targets = {}
    for name in order:
        values = {value for one, value in value_of.items() if name in one}
        first = value_of[written[name]]
        targets[name] = (first, *sorted(values - {first}))
    return targets, value_of


def _written(
    name: str, labels: Mapping[str, Labels], named: Mapping[str, _Named]
) -> frozenset[str]:
    """Return the set whose value is written for a target: of several the one that says most.

    Where one data set has tumours alone and another one inside kidneys, they are inside kidneys.
    """
    sets = [
        frozenset(
            named[source].of_value[next(v for v in values if name in named[source].of_value[v])]
        )
        for source, own in labels.items()
        for target, values in own.targets.items()
        if name in named[source].of_target[target]
    ]
    return max(sets, key=len)


def _tolerances(labels: Mapping[str, Labels], named: Mapping[str, _Named]) -> dict[str, float]:
    """Return the tolerances of the united targets; of several the first one's."""
    found: dict[str, float] = {}
    for source, own in labels.items():
        for target, tolerance in own.nsd_tolerance_mm.items():
            for name in named[source].of_target[target]:
                found.setdefault(name, tolerance)
    return found


def _pairs(
    labels: Mapping[str, Labels], named: Mapping[str, _Named]
) -> tuple[tuple[str, str], ...]:
    """Return left/right targets where a data set declares them; else names will tell."""
    if not any(own.declared_pairs for own in labels.values()):
        return ()
    found = {}
    for source, own in labels.items():
        for sides in own.pairs:
            names = [named[source].of_target[side] for side in sides]
            if all(len(one) == 1 for one in names) and names[0] != names[1]:
                found[frozenset((names[0][0], names[1][0]))] = (names[0][0], names[1][0])
    return tuple(found.values())
