"""Folds of a cross-validation: nnU-Net's own for plain data, else by patient and even over tags."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.dataset import Case
from autoseg.errors import CorruptError, DataError, UsageError, by_hand, suggest
from autoseg.files import read_json, write_json
from autoseg.members import FULL
from autoseg.records import fingerprint_of, from_json, to_json

FOLDS = 5
SEED = 12345  # nnU-Net's, so that folds compare with published logs
FORMAT = "autoseg-folds-1"
ANNOTATED = "Annotated: "
ALL = "all"  # every fold; like FULL the name of no single one


@dataclass(frozen=True)
class Fold:
    """Ids of the cases trained on, and of those validated on; both sorted."""

    train: tuple[str, ...]
    validation: tuple[str, ...]


@dataclass(frozen=True)
class Folds:
    """What `folds.json` holds besides its format."""

    folds: tuple[Fold, ...]


@dataclass(frozen=True)
class Rule:
    """How folds are made where nobody lists them."""

    count: int = FOLDS
    validation_tags: tuple[str, ...] = ()  # only cases with one of these are validated; (): all


def make_folds(cases: Sequence[Case], rule: Rule = Rule()) -> tuple[tuple[Fold, ...], str]:
    """Return the folds (none for a single case or group), and the sentence that explains them.

    Cases that the rule keeps from validation are trained on in every fold, except in the one that
    validates their group. Raises UsageError for a tag that no case has.
    """
    everyone, cases = cases, _validated(cases, rule)
    grouped = any(case.group for case in cases)
    tagged = any(case.tags for case in cases)
    partial = any(case.annotated is not None for case in cases)
    ids = sorted(case.id for case in cases)
    units = len({_group_of(case) for case in cases})
    count = min(rule.count, units)
    if count < 2:
        what = "group of cases" if grouped else "case"
        return (), f"Folds: none, as there is only one {what}; train fold 'full'."
    if grouped or tagged or partial:
        validations = _balanced(cases, count)
        how = " and ".join(
            [
                *["cases of one group stay together"] * grouped,
                *["tags are spread evenly"] * tagged,
                *["annotated targets are spread evenly"] * partial,
            ]
        )
    else:
        validations = _shuffled(ids, count)
        how = f"shuffled with seed {SEED}" + (", as nnU-Net does" if count == FOLDS else "")
    folds = tuple(_fold(everyone, frozenset(held_out)) for held_out in validations)
    few = f"; one per {'group' if grouped else 'case'}" if count < rule.count else ""
    if rule.validation_tags:
        sizes = "/".join(str(len(fold.validation)) for fold in folds)
        tags = " or ".join(rule.validation_tags)
        others = len(everyone) - len(ids)
        how += f"; validated {sizes}: {tags} only, {others} others are trained on in every fold"
    return folds, f"Folds: {count} of {len(everyone)} cases{few}, {how}."


def _validated(cases: Sequence[Case], rule: Rule) -> Sequence[Case]:
    """Return the cases that may be validated."""
    known = {tag for case in cases for tag in case.tags}
    for tag in rule.validation_tags:
        if tag not in known:
            raise UsageError(f"no case has the tag '{tag}'", remedy=suggest(tag, known))
    wanted = set(rule.validation_tags)
    return [case for case in cases if wanted & set(case.tags)] if wanted else cases


def _fold(cases: Sequence[Case], held_out: frozenset[str]) -> Fold:
    """Return the fold that validates `held_out` and trains on all but their groups."""
    groups = {_group_of(case) for case in cases if case.id in held_out}
    train = sorted(case.id for case in cases if _group_of(case) not in groups)
    return Fold(tuple(train), tuple(sorted(held_out)))


def explain_annotated(cases: Sequence[Case], names: Sequence[str]) -> list[str]:
    """Return the sentence that tells which targets (`names`: all) some cases leave out; or none."""
    counts = {
        name: sum(c.annotated is None or name in c.annotated for c in cases) for name in names
    }
    partly = [f"{name} in {count}" for name, count in counts.items() if count < len(cases)]
    if not partly:
        return []
    how = "elsewhere they may hide in background, teach nothing and are not judged"
    return [f"{ANNOTATED}{', '.join(partly)} of {len(cases)} cases; {how}."]


def _shuffled(ids: Sequence[str], count: int) -> list[list[str]]:
    """Return the validation ids as scikit-learn's shuffled `KFold` with that seed deals them."""
    order = np.arange(len(ids))
    np.random.RandomState(SEED).shuffle(order)
    return [[ids[i] for i in part] for part in np.array_split(order, count)]


def _balanced(cases: Sequence[Case], count: int) -> list[list[str]]:
    """Deal whole groups, largest first, each to the fold that has least of what it brings."""
    groups: dict[str, list[Case]] = {}
    for case in sorted(cases, key=lambda case: case.id):
        groups.setdefault(_group_of(case), []).append(case)
    names = list(groups)
    np.random.default_rng(SEED).shuffle(names)
    rarity = Counter(mark for case in cases for mark in _marks(case))
    # Large groups and rare tags first: they are the hardest to place.
    names.sort(key=lambda name: (-len(groups[name]), _rarest(groups[name], rarity)))
    folds: list[list[Case]] = [[] for _ in range(count)]
    for name in names:
        wanted = {mark for case in groups[name] for mark in _marks(case)}
        # Ties in the group's own tags go to the smaller fold, then to the first.
        scores = [(_share_of(fold, wanted, rarity), len(fold), i) for i, fold in enumerate(folds)]
        folds[min(scores)[2]].extend(groups[name])
    return [[case.id for case in fold] for fold in folds]


def _group_of(case: Case) -> str:
    return f"group {case.group}" if case.group else f"case {case.id}"


def _marks(case: Case) -> tuple[str, ...]:
    """Return what is to be spread evenly: tags, and which targets are annotated, if not all."""
    if case.annotated is None:
        return case.tags
    return (*case.tags, f"annotated: {', '.join(sorted(case.annotated))}")


def _rarest(cases: Sequence[Case], rarity: Counter[str]) -> int:
    return min(
        (rarity[mark] for case in cases for mark in _marks(case)), default=len(cases) + 1 << 30
    )


def _share_of(fold: Sequence[Case], marks: set[str], rarity: Counter[str]) -> float:
    """Return how much of the data's cases with these marks the fold holds; unmarked: how many."""
    if not marks:
        return float(sum(not _marks(case) for case in fold))
    return sum(sum(mark in _marks(case) for case in fold) / rarity[mark] for mark in marks)


def choose_folds(name: str, folds: Sequence[Fold], place: str = "") -> dict[str, Fold]:
    """Return the fold that `name` means, or every fold for "all", by their names "0", "1", ...

    "full", one model from all cases, is nothing that folds know: the result is empty.
    """
    known = {str(number): fold for number, fold in enumerate(folds)}
    if name == FULL or (name == ALL and known):
        return known if name == ALL else {}
    if name not in known:
        there = ", ".join([*known, *([ALL] if known else []), FULL])
        raise UsageError(f"there is no fold '{name}'", place=place, expected=f"one of {there}")
    return {name: known[name]}


def save_folds(
    path: Path, folds: Sequence[Fold], source: str = "", rule: Rule | None = None
) -> None:
    """Write `folds.json`, atomically; its digest will tell whether it was edited.

    `source` is the name of the file that they were read from, `rule` one that was asked for.
    """
    stamp = {"format": FORMAT, "digest": fingerprint_of(folds)}
    origin = {"source": source} if source else {}
    origin |= {"rule": to_json(rule)} if rule else {}
    write_json(path, stamp | origin | {"folds": to_json(folds)})


def rule_of(path: Path) -> Rule | None:
    """Return the rule that was asked for when a file of `save_folds` was written, if one was."""
    load_folds(path)  # or its errors
    rule = read_json(path).get("rule")
    return None if rule is None else from_json(Rule, rule, str(path))


def source_of(path: Path) -> str:
    """Return the name of the file that the folds in a file of `save_folds` came from, if any."""
    return str(read_json(path).get("source", ""))


def is_edited(path: Path) -> bool:
    """Tell whether a file that `load_folds` accepts is not as `save_folds` wrote it."""
    return bool(read_json(path).get("digest") != fingerprint_of(load_folds(path)))


def load_folds(path: Path) -> tuple[Fold, ...]:
    """Return the folds of a file, which may be edited by hand.

    Raises DataError for what is no fold, or trains and validates on the same case; CorruptError for
    the format of another version.
    """
    remedy = f"correct it, or remove {path.name} and run autoseg_plan"
    try:
        data = read_json(path)
    except DataError as error:
        raise by_hand(error, remedy) from error
    if not isinstance(data, dict) or data.get("format") != FORMAT or "folds" not in data:
        raise CorruptError(
            "is not a list of folds of this version",
            place=str(path),
            expected=f'"format": "{FORMAT}"',
            remedy="remove it and run autoseg_plan",
        )
    try:
        folds = from_json(Folds, {"folds": data["folds"]}, str(path)).folds
    except CorruptError as error:
        raise by_hand(error, remedy) from error
    for i, fold in enumerate(folds):
        both = sorted(set(fold.train) & set(fold.validation))
        if both:
            raise DataError(
                f"fold {i} trains and validates on {', '.join(both[:5])}",
                place=str(path),
                expected="cases that are in one of both lists",
                remedy=remedy,
            )
    return folds
