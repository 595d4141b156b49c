"""Which rules raise the Dice of a model's out-of-fold predictions and lower that of no target.

Tried in the order of application, which is that of their cost but for the first, each on top of
what was adopted before:

0. for overlapping targets, or a single one, whose scores were kept: other probabilities than 0.5;
1. the largest component of all targets together, then of each target, or a smallest size of its
   components: from the component tables;
2. holes filled, target by target;
3. closing or opening by one or two voxels.

Of the candidates at one place the one of the highest mean Dice is adopted, if no target's mean
falls and some target's rises by more than `MARGIN`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from autoseg.evaluation.components import (
    CaseTable,
    Counts,
    counts_without,
)
from autoseg.evaluation.measured import Measured
from autoseg.labels import Labels
from autoseg.results import RuleTrial
from autoseg.rules import ALL, Rule, Rules, may_have_thresholds

MARGIN = 0.001  # of mean Dice: less is not worth a rule, nor a second model
MOST_SIZES = 20  # smallest sizes that are tried for one target
BALL_VOXELS = (1, 2)  # radii of closing and opening, in the cases' usual finest spacing
PROBABILITIES = (0.4, 0.6, 0.3, 0.7)  # tried instead of 0.5; in a tie the first
_ROUNDING = 1e-12


def search_rules(data: Measured, among: frozenset[str]) -> tuple[Rules, tuple[RuleTrial, ...]]:
    """Return the rules to adopt, judged on the cases named in `among`, and what was tried."""
    rules: Rules = {}
    tried: list[RuleTrial] = []
    for stage in _stages(data):
        # Exclusive targets hardly touch each other's voxels: all are measured in one pass.
        together = data.labels.exclusive
        found, trials = _adopt(data, rules, stage, among, together)
        if together and _is_worse(data, rules, found, among):
            found, trials = _adopt(data, rules, stage, among, together=False)
        rules = found
        tried += trials
    return rules, tuple(tried)


def _adopt(
    data: Measured, rules: Rules, stage: _Stage, among: frozenset[str], together: bool
) -> tuple[Rules, list[RuleTrial]]:
    """Return `rules` with those of a stage; each judged on top of the last, unless `together`."""
    adopted, tried = dict(rules), []
    for scope in stage.scopes:
        found = _best_of(data, rules if together else adopted, stage, scope, among)
        if found is None:
            continue
        rule, trial = found
        tried.append(trial)
        if trial.adopted:
            adopted[scope] = (*adopted.get(scope, ()), rule)
    return adopted, tried


def _is_worse(data: Measured, rules: Rules, others: Rules, among: frozenset[str]) -> bool:
    """Tell whether `others` lower the mean Dice of any target below that of `rules`."""
    before, after = (
        mean_dice([table.counts for table in data.tables(chosen) if table.case in among])
        for chosen in (rules, others)
    )
    return bool((after < before - _ROUNDING).any())


@dataclass(frozen=True)
class _Stage:
    scopes: tuple[str, ...]
    rules: tuple[Rule, ...] | None  # None: component rules, from the tables


def _stages(data: Measured) -> Iterator[_Stage]:
    names = data.labels.names
    if data.decode is not None and may_have_thresholds(data.labels):
        yield _Stage(names, tuple(Rule("threshold", p) for p in PROBABILITIES))
    if len(names) > 1:
        yield _Stage((ALL,), None)
    yield _Stage(names, None)
    yield _Stage(names, (Rule("fill_holes"),))
    finest = float(np.median([min(case.spacing) for case in data.cases]))
    radii = [float(f"{n * finest:.3g}") for n in BALL_VOXELS]
    yield _Stage(names, tuple(Rule(kind, mm) for kind in ("closing", "opening") for mm in radii))


def _best_of(
    data: Measured, rules: Rules, stage: _Stage, scope: str, among: frozenset[str]
) -> tuple[Rule, RuleTrial] | None:
    """Return the best candidate for `scope` and its evidence; None when there is no candidate."""
    tables = data.tables(rules)
    chosen = [i for i, case in enumerate(data.cases) if case.id in among]
    before = [tables[i].counts for i in chosen]
    outcomes: list[tuple[Rule, list[Counts]]] = []
    if stage.rules is None:
        candidates = component_candidates([tables[i] for i in chosen], scope)
        outcomes = [
            (rule, [counts_without(tables[i], scope, rule) for i in chosen]) for rule in candidates
        ]
    else:
        trials = data.trials(rules, stage.scopes, stage.rules)
        first = stage.scopes.index(scope) * len(stage.rules)
        outcomes = [
            (rule, [trials[i][column] for i in chosen])
            for column, rule in enumerate(stage.rules, first)
        ]
    return _judge(scope, outcomes, before, data.labels) if outcomes else None


def component_candidates(tables: Sequence[CaseTable], scope: str) -> list[Rule]:
    """Return the component rules worth trying: none where no case has a second component."""
    parts = [table.components[scope] for table in tables]
    rules = [Rule("largest_component")] if any(len(part.mm3) > 1 for part in parts) else []
    if scope == ALL:  # sizes are a matter of each target
        return rules
    volumes = np.unique(np.concatenate([part.mm3 for part in parts])) if parts else np.zeros(0)
    if len(volumes) < 2:
        return rules
    between = np.sqrt(volumes[1:] * volumes[:-1])  # half-way, as ratios go
    ranks = np.unique(np.linspace(0, len(between) - 1, MOST_SIZES).round().astype(int))
    sizes = dict.fromkeys(float(f"{between[rank]:.3g}") for rank in ranks)
    return rules + [Rule("min_component", mm3) for mm3 in sizes]


def _judge(
    scope: str,
    outcomes: Sequence[tuple[Rule, Sequence[Counts]]],
    before: Sequence[Counts],
    labels: Labels,
) -> tuple[Rule, RuleTrial]:
    present = np.any([counts.annotated & (counts.reference > 0) for counts in before], axis=0)
    was = mean_dice(before)
    best: tuple[bool, float] | None = None
    for rule, after in outcomes:
        now = mean_dice(after)
        # A mean that is gone (every false alarm removed) has not become worse.
        harmless = not bool((now < was - _ROUNDING).any())
        gain = float(np.nanmax((now - was)[present], initial=0.0))
        rank = harmless and gain > MARGIN, float(np.nanmean(now[present])) if present.any() else 0.0
        if best is None or rank > best:  # in a tie the cheaper one, which comes first
            best, chosen, then = rank, rule, now
    assert best is not None
    numbers = np.sum([~np.isnan(counts.dice()) for counts in before], axis=0)
    trial = RuleTrial(
        scope,
        str(chosen),
        best[0],
        _by_name(was, labels),
        _by_name(then, labels),
        {name: int(n) for name, n in zip(labels.names, numbers, strict=True)},
    )
    return chosen, trial


def mean_dice(counts: Sequence[Counts]) -> np.ndarray:
    """Return (K,) the mean Dice of each target over the cases where it is defined, else NaN."""
    return mean_of(np.array([entry.dice() for entry in counts]))


def mean_of(dice: np.ndarray) -> np.ndarray:
    """Return (K,) the means over the cases of `dice` (n, K) that are numbers; NaN without any."""
    known = ~np.isnan(dice)
    n = known.sum(0)
    return np.where(n > 0, np.where(known, dice, 0.0).sum(0) / np.maximum(n, 1), np.nan)


def _by_name(values: np.ndarray, labels: Labels) -> dict[str, float | None]:
    pairs = zip(labels.names, values, strict=True)
    return {name: None if np.isnan(value) else float(value) for name, value in pairs}
