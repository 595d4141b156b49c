"""Which folds a data set gets: those of a file, those it has, or those of the rules."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autoseg.dataset import Case, Dataset
from autoseg.errors import DataError, Problem, UsageError, number_of
from autoseg.planning.fold_files import SPLITS, find_problems, read_folds
from autoseg.planning.folds import (
    Fold,
    Rule,
    is_edited,
    load_folds,
    make_folds,
    rule_of,
    save_folds,
    source_of,
)

log = logging.getLogger(__name__)

FOLDS = "Folds: "


@dataclass(frozen=True)
class ChosenFolds:
    """Folds, the sentence that explains them, and the name of the file they came from."""

    folds: tuple[Fold, ...]
    reason: str
    source: str = ""  # "": made by the rules, or by hand
    rule: Rule | None = None  # that was asked for, now or before


def read_own_folds(given: Path | None, raw: Path, cases: Sequence[Case]) -> ChosenFolds | None:
    """Return the folds of the file that was `given`, or lies with the data; None without either.

    Raises UsageError when the given file is not there, DataError with all that is wrong in it.
    """
    lying_there = raw / SPLITS
    if given is not None and not given.is_file():
        raise UsageError("--folds: file not found", place=str(given))
    path = given or (lying_there if lying_there.is_file() else None)
    if path is None:
        return None
    folds, oddities = read_folds(path, cases)
    for oddity in oddities:
        log.warning("%s: %s", path.name, oddity)
    where = "as given" if given else "which lies with the data"
    source = f"--folds {path.name}" if given else path.name
    return ChosenFolds(folds, f"{FOLDS}{len(folds)}, from {path.name}, {where}.", source)


def asked_rule(
    path: Path,
    folds: Path | int | None,
    validation_tags: Sequence[str] | None,
    cases: Sequence[Case],
) -> Rule | None:
    """Return the rule that is asked for now, what is not said as it was in `path`; or None.

    Raises UsageError for less than two folds, a tag that no case has, a file together with a rule.
    """
    if isinstance(folds, Path) and validation_tags is not None:
        expected = "one of them: a file says itself which cases are validated"
        raise UsageError("--folds FILE with --val-tags", expected=expected)
    if isinstance(folds, Path) or (folds is None and validation_tags is None):
        return None
    if folds is not None and folds < 2:
        raise UsageError(f"--folds {folds}", expected="2 or more, or a file")
    former = (rule_of(path) if path.exists() else None) or Rule()
    tags = former.validation_tags if validation_tags is None else tuple(validation_tags)
    rule = Rule(folds or former.count, tags)
    make_folds(cases, rule)  # a tag that no case has is told before any file is read
    return rule


def choose_folds(
    path: Path,
    dataset: Dataset,
    changed: bool,
    own: ChosenFolds | None,
    given: bool,
    rule: Rule | None = None,
) -> ChosenFolds:
    """Return the folds to write to `path`; what a user made is kept while the data stay the same.

    Folds that were `given` now go before everything, then those of a `rule` that is asked for now;
    one that was asked for before goes before a file that lies with the data. Raises DataError when
    folds edited by hand cannot be trained on.
    """
    kept = rule_of(path) if path.exists() else None
    wanted = rule or kept
    by_rule = ChosenFolds(*make_folds(dataset.cases, wanted or Rule()), rule=wanted)
    own = own if given or wanted is None else None
    if not path.exists():
        return own or by_rule
    old, edited = load_folds(path), is_edited(path)
    if rule is not None:
        if old != by_rule.folds:
            _keep_aside(path, old, "new folds, as asked for")
        return by_rule
    ours = own if own is not None and (given or not _is_kept(path, own)) else None
    if ours is not None:
        if old != ours.folds:
            _keep_aside(path, old, f"new folds, from {ours.source}")
        return ours
    if old == by_rule.folds:
        return by_rule
    listed = {i for fold in old for i in (*fold.train, *fold.validation)}
    there, made = {case.id for case in dataset.cases}, edited or bool(source_of(path))
    # Whoever makes folds may leave cases out; otherwise it was cut short between data and folds.
    if not changed and (listed == there or (made and listed < there)):
        _refuse_problems(path, old, dataset.cases)
        by_hand = " (edited by hand)" if edited else f" (from {source_of(path)})" * made
        return ChosenFolds(
            old, f"{FOLDS}{len(old)}, as folds.json has them{by_hand}.", source_of(path), kept
        )
    if made:
        _keep_aside(path, old, "the data changed: new folds")
    return own or by_rule


def find_leaks(raw: Path, path: Path, cases: Sequence[Case]) -> list[Problem]:
    """Return what is wrong with folds of the user's: the file in `raw`, or `path` where edited.

    Edited folds of cases that are gone are left to planning, which makes new ones.
    """
    there = {case.id for case in cases}
    problems = []
    try:
        read_own_folds(None, raw, cases)
        if path.exists() and (is_edited(path) or source_of(path)):
            folds = load_folds(path)
            if {i for fold in folds for i in (*fold.train, *fold.validation)} <= there:
                _refuse_problems(path, folds, cases)
    except DataError as error:
        name = Path(error.place).name
        problems = [replace(one, place=f"{name}, {one.place}") for one in error.problems]
        problems = problems or [Problem(name, error.fact, error.expected, error.remedy)]
    return problems


def _is_kept(path: Path, own: ChosenFolds) -> bool:
    """Tell whether the folds there were made by the user, not read from the data's own file."""
    return is_edited(path) or source_of(path) not in ("", own.source)


def _keep_aside(path: Path, old: tuple[Fold, ...], why: str) -> None:
    aside = path.with_name("folds.before.json")
    save_folds(aside, old)
    log.warning("%s; the former ones are kept as %s", why, aside)


def _refuse_problems(path: Path, folds: Sequence[Fold], cases: Sequence[Case]) -> None:
    lists = [(list(fold.train), list(fold.validation)) for fold in folds]
    problems: list[Problem] = find_problems(lists, cases)
    if problems:
        raise DataError(
            f"{number_of(len(problems), 'problem')} in these folds",
            place=str(path),
            remedy=f"correct it, or remove {path.name} and run autoseg_plan",
            problems=problems,
        )
