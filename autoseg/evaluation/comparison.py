"""Two or more models on the same cases: differences, paired tests, misses, ranking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from autoseg.errors import DataError, Problem, UsageError, number_of, suggest
from autoseg.evaluation.means import MISSES, means_of_targets, value_of
from autoseg.evaluation.paired import (
    FALSE_ALARM,
    LOWER_IS_BETTER,
    MISSED,
    NO_BETTER_END,
    MissTest,
    PairedTest,
    Scored,
    adjusted,
    compare_case_means,
    compare_misses,
    compare_values,
    values_of,
)  # fmt: skip
from autoseg.evaluation.ranking import Ranking, rank_models
from autoseg.evaluation.statistics import RESAMPLES, SEED, draw_patients
from autoseg.evaluation.summary import patients_of
from autoseg.results import BOTH_EMPTY, CaseScores, Mean, Summary

TESTED = ("dice", "nsd", "hd95")
SETTINGS = ("mode", "nsd_tolerance_mm", "targets", "ignore", "both_empty")  # must agree
CONDITIONAL = (
    "The tests are conditional on one training run of each model: how much another seed would "
    "change is not in them."
)
TUNED = "No p values: {} was chosen on these cases, so they cannot test it."


@dataclass(frozen=True)
class Comparison:
    """What `comparison.json` holds."""

    models: Mapping[str, str]  # "A" -> the folder or the trained model
    cases: tuple[str, ...]
    patients: int
    settings: Mapping[str, object]  # mode, tolerances, targets; resamples and seed of intervals
    means: Mapping[str, Mapping[str, Mapping[str, Mean]]]  # model, target, metric
    tests: tuple[PairedTest, ...]
    overall: tuple[PairedTest, ...]  # the mean over the targets of each case; not tested
    misses: tuple[MissTest, ...]
    rankings: tuple[Ranking, ...]  # of more than two models
    notes: tuple[str, ...]


def compare_summaries(
    summaries: Mapping[str, Summary],
    sources: Mapping[str, str],
    metrics: Sequence[str] = TESTED,
    tuned: bool = False,
) -> Comparison:
    """Return how models differ on the same cases.

    `summaries` and `sources`: by the name that a model has in the tables. `tuned`: a model was
    chosen on these cases; then no p value is given, nor where a summary names rules for label maps,
    which a cross-validation chooses on its own cases.
    Raises DataError listing cases that not every model has, references that differ, and settings
    under which numbers cannot be compared; UsageError for an unknown metric.
    """
    _check_settings(summaries, metrics)
    scored = _same_cases(summaries)
    first = next(iter(summaries.values()))
    targets = [name for name in first.mean if name not in first.targets_without_reference]
    _check_metrics(metrics, scored)
    cases = next(iter(scored.values()))
    draws = draw_patients(patients_of(cases))
    ruled = [name for name, summary in summaries.items() if summary.header.get("rules")]
    chosen = f"what is done to the label maps of {', '.join(ruled)}" if ruled else "a model"
    tuned = tuned or bool(ruled)
    tests = [
        compare_values(scored, pair, target, metric, draws, tuned)
        for pair in combinations(scored, 2)
        for target in targets
        for metric in metrics
    ]
    overall = [
        compare_case_means(scored, pair, targets, metric, draws)
        for pair in combinations(scored, 2)
        for metric in metrics
        if len(targets) > 1
    ]
    misses = [
        compare_misses(scored, pair, target, kind, tuned)
        for pair in combinations(scored, 2)
        for target in first.mean
        for kind in (MISSED, FALSE_ALARM)
    ]
    means = {
        name: means_of_targets(found, targets, draws, metrics) for name, found in scored.items()
    }
    settings = {key: first.header.get(key) for key in (*SETTINGS, "nsd_tolerance_source")}
    return Comparison(
        dict(sources),
        tuple(case.case for case in cases),
        draws.counts.shape[1],
        {**settings, "metrics": list(metrics), "resamples": RESAMPLES, "seed": SEED},
        means,
        adjusted(tests),
        tuple(overall),
        adjusted([test for test in misses if test.of]),
        _rankings(scored, targets, metrics) if len(scored) > 2 and targets else (),
        _notes(summaries, chosen if tuned else ""),
    )


# --- what may be compared ------------------------------------------------------------------------


def _check_settings(summaries: Mapping[str, Summary], metrics: Sequence[str]) -> None:
    (first, reference), *others = summaries.items()
    for name, summary in summaries.items():
        if summary.failed:
            raise DataError(
                f"{number_of(len(summary.failed), 'case')} "
                f"could not be scored: {_some(summary.failed)}",
                place=name,
                remedy="mend those cases and evaluate again",
            )
    of_lesions = any(metric.startswith("lesion_") for metric in metrics)
    both = all("lesions" in summary.header for summary in summaries.values())
    for name, summary in others:
        for key in (*SETTINGS, *(["lesions"] if of_lesions and both else [])):
            ours, theirs = reference.header.get(key), summary.header.get(key)
            if ours != theirs:
                raise DataError(
                    f"{first} was scored with {key} {ours}, {name} with {theirs}",
                    expected="the same settings for all",
                    remedy="evaluate them again with the same options",
                )


def _same_cases(summaries: Mapping[str, Summary]) -> Scored:
    """Return the cases of each model in one order; all of them must have all, and one reference."""
    tables = {name: {c.case: c for c in summary.cases} for name, summary in summaries.items()}
    every = sorted(set().union(*tables.values()))
    problems = []
    for case in every:
        having = [name for name, table in tables.items() if case in table]
        if len(having) < len(tables):
            lacking = [name for name in tables if name not in having]
            problems.append(Problem(case, f"scored for {_some(having)}, not for {_some(lacking)}"))
            continue
        problems += _reference_problems({name: tables[name][case] for name in having})
    if problems:
        raise DataError(
            f"{len(problems)} differences between what was scored",
            expected="the same cases, with the same references",
            remedy="evaluate all with --cases, against one folder of references",
            problems=problems,
        )
    if not every:
        raise UsageError("there is no case to compare")
    return {name: [table[case] for case in every] for name, table in tables.items()}


def _reference_problems(cases: Mapping[str, CaseScores]) -> list[Problem]:
    (first, ours), *others = cases.items()
    problems = []
    for name, theirs in others:
        for target in ours.metrics:
            one, other = (value_of(case, target, "n_ref").value for case in (ours, theirs))
            if one != other:
                fact = f"the reference of {target} has {one} voxels for {first}, {other} for {name}"
                problems.append(Problem(ours.case, fact))
    return problems


def _check_metrics(metrics: Sequence[str], scored: Scored) -> None:
    for metric in metrics:
        if metric in NO_BETTER_END:
            raise UsageError(f"'{metric}' has no better end", expected="a score, such as dice")
        for name, cases in scored.items():
            known = {name for case in cases for found in case.metrics.values() for name in found}
            if metric not in known:
                names = known - set(NO_BETTER_END)
                raise UsageError(f"{name} has no metric '{metric}'", remedy=suggest(metric, names))


# --- ranking, words ------------------------------------------------------------------------------


def _rankings(
    scored: Scored, targets: Sequence[str], metrics: Sequence[str]
) -> tuple[Ranking, ...]:
    columns = [(target, metric) for target in targets for metric in metrics]
    worth = np.stack(
        [np.stack([_worth(cases, *column) for column in columns], 1) for cases in scored.values()]
    )
    # That nothing was found where nothing is, by all of them, ranks nobody.
    worth[:, (worth == np.inf).all(0)] = np.nan
    values = np.stack(
        [
            np.stack(
                [_sign(m) * values_of(cases, target, m, penalised=True) for target, m in columns], 1
            )
            for cases in scored.values()
        ]
    )
    return rank_models(list(scored), worth, values, patients_of(next(iter(scored.values()))))


def _worth(cases: Sequence[CaseScores], target: str, metric: str) -> np.ndarray:
    """Return what ranks a model in each case, larger is better.

    Rightly finding nothing is best, a distance to nothing is worst.
    """
    values = _sign(metric) * values_of(cases, target, metric)
    statuses = [value_of(case, target, metric).status for case in cases]
    values[np.isnan(values) & np.isin(statuses, MISSES)] = -np.inf
    values[np.isin(statuses, [BOTH_EMPTY])] = np.inf
    return values


def _sign(metric: str) -> int:
    return -1 if metric in LOWER_IS_BETTER else 1


def _notes(summaries: Mapping[str, Summary], tuned: str) -> tuple[str, ...]:
    notes = [TUNED.format(tuned) if tuned else CONDITIONAL]
    versions = {name: summary.header.get("autoseg") for name, summary in summaries.items()}
    if len(set(versions.values())) > 1:
        listed = ", ".join(f"{name} {version}" for name, version in versions.items())
        notes.append(f"Scored by different versions of autoseg: {listed}.")
    return tuple(notes)


def _some(names: Iterable[str], number: int = 5) -> str:
    listed = list(names)
    more = f" and {len(listed) - number} more" if len(listed) > number else ""
    return ", ".join(listed[:number]) + more
