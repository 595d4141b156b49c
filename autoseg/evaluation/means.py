"""Means over cases: plain with their n, penalised, with intervals; per target, and per case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from autoseg.evaluation.metrics import COUNTS, DISTANCES, SCORES
from autoseg.evaluation.statistics import Draws, mean_intervals
from autoseg.results import MISSING_PRED, PRED_EMPTY, REF_EMPTY, SKIPPED, CaseScores, Mean, Value

MISSES = (REF_EMPTY, PRED_EMPTY, MISSING_PRED)  # why a distance is null though there is something

Column = Sequence[float | None]  # one value for each case


def value_of(case: CaseScores, target: str, metric: str) -> Value:
    """Return one value of a case; what was not measured counts as skipped."""
    return case.metrics.get(target, {}).get(metric, Value(None, SKIPPED))


def penalised_value(case: CaseScores, target: str, metric: str) -> float | None:
    """Return a value as the penalised mean counts it.

    A distance to nothing counts as the diagonal of the image, the largest that is possible there;
    a missed Dice or NSD is 0 anyway.
    """
    value = value_of(case, target, metric)
    if value.value is None and metric in DISTANCES and value.status in MISSES:
        return case.diagonal_mm
    return value.value


def mean_over_cases(cases: Sequence[CaseScores], target: str, metric: str) -> Mean:
    """Return the mean of one metric of one target over cases, without an interval.

    Null values do not enter the plain mean, which therefore has its own n.
    """
    found = [value_of(case, target, metric) for case in cases]
    mean = _mean(
        cases,
        [value.value for value in found],
        [penalised_value(case, target, metric) for case in cases] if metric in SCORES else [],
    )
    return replace(mean, statuses=dict(sorted(Counter(value.status for value in found).items())))


def means_of_targets(
    cases: Sequence[CaseScores],
    targets: Sequence[str],
    draws: Draws | None = None,
    metrics: Iterable[str] | None = None,
) -> dict[str, Mapping[str, Mean]]:
    """Return mean[target][metric], of all metrics that any case has when none are named.

    With `draws` of the cases' patients every mean but that of a count has an interval.
    """
    # The order is that of the first case.
    every = (name for case in cases for found in case.metrics.values() for name in found)
    metrics = list(dict.fromkeys(every if metrics is None else metrics))
    result: dict[str, Mapping[str, Mean]] = {}
    for target in targets:
        means = {metric: mean_over_cases(cases, target, metric) for metric in metrics}
        columns = {
            metric: [value_of(case, target, metric).value for case in cases]
            for metric in metrics
            if metric not in COUNTS
        }
        result[target] = means | _with_intervals(means, columns, draws)
    return result


def means_within_cases(
    cases: Sequence[CaseScores], targets: Sequence[str], draws: Draws | None = None
) -> dict[str, Mean]:
    """Return for each score the mean over cases of each case's own mean over `targets`.

    Every case weighs the same, however many of the targets it has. It is not the mean of the
    targets' means, where every target weighs the same.
    """
    columns: dict[str, Column] = {}
    means: dict[str, Mean] = {}
    for metric in SCORES:
        columns[metric] = [
            _average(value_of(case, target, metric).value for target in targets) for case in cases
        ]
        penalised = [
            _average(penalised_value(case, target, metric) for target in targets) for case in cases
        ]
        means[metric] = _mean(cases, columns[metric], penalised)
    return _with_intervals(means, columns, draws)


def foreground_mean(
    mean: Mapping[str, Mapping[str, Mean]], absent: Sequence[str]
) -> dict[str, Mean]:
    """Return for each score the mean of the targets' means; `n` and `of` count targets.

    Targets without any reference are left out: no headline that is not a number.
    """
    present = [target for target in mean if target not in absent]
    result = {}
    for metric in SCORES:
        means = [mean[target][metric] for target in present if metric in mean[target]]
        plain = [entry.mean for entry in means if entry.mean is not None]
        worst = [entry.penalised for entry in means if entry.penalised is not None]
        result[metric] = Mean(
            mean=float(np.mean(plain)) if plain else None,
            n=len(plain),
            of=len(present),
            penalised=float(np.mean(worst)) if worst else None,
        )
    return result


def _mean(cases: Sequence[CaseScores], plain: Column, penalised: Column) -> Mean:
    known = [
        (value, case.case) for value, case in zip(plain, cases, strict=True) if value is not None
    ]
    values = [value for value, _ in known]
    if not values:
        return Mean(None, 0, len(cases), _average(penalised))
    first, third = np.quantile(values, [0.25, 0.75])
    return Mean(
        mean=float(np.mean(values)),
        n=len(values),
        of=len(cases),
        penalised=_average(penalised),
        median=float(np.median(values)),
        std=float(np.std(values, ddof=1)) if len(values) > 1 else None,
        quartiles=(float(first), float(third)),
        minimum=float(min(values)),
        minimum_case=min(known)[1],
        maximum=float(max(values)),
    )


def _with_intervals(
    means: Mapping[str, Mean], columns: Mapping[str, Column], draws: Draws | None
) -> dict[str, Mean]:
    """Return the means that `columns` names, with their intervals if there are draws."""
    if draws is None or not columns:
        return {name: means[name] for name in columns}
    table = np.array([[np.nan if v is None else v for v in column] for column in columns.values()])
    found = mean_intervals(table.T, draws)
    return {
        name: replace(means[name], ci95=interval.bounds, ci95_method=interval.method)
        for name, interval in zip(columns, found, strict=True)
    }


def _average(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
