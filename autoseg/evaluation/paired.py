"""Two models on the same cases: one metric of one target, and where either fails wholly.

The unit is the patient: one with several scans counts once in a test, with its mean difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from autoseg.evaluation.means import penalised_value, value_of
from autoseg.evaluation.metrics import COUNTS, DISTANCES
from autoseg.evaluation.statistics import (
    FEWEST_PAIRS,
    Draws,
    hodges_lehmann,
    holm,
    mcnemar,
    mean_intervals,
    signed_rank,
)
from autoseg.evaluation.summary import patients_of
from autoseg.results import MISSING_PRED, PRED_EMPTY, REF_EMPTY, CaseScores

LOWER_IS_BETTER = (
    *DISTANCES, "hd95_mean", "abs_rve", "added_path_length_mm", "ece", "brier", "nll", "lesion_fp",
    "lesion_fn", "lesion_fp_volume_ml", "lesion_fn_volume_ml", "lesion_brats_hd95",
)  # fmt: skip
NO_BETTER_END = (
    *COUNTS, "rve", "lesion_n_ref", "lesion_n_pred", "lesion_small_ref", "lesion_small_pred",
    "cldice_grid_mm",
)  # fmt: skip
MISSED, FALSE_ALARM = "missed", "false alarm"
WITHIN_CASES = "mean within cases"
_SAME = 12  # decimals up to which two values are equal

Scored = Mapping[str, Sequence[CaseScores]]  # model -> its cases, in one order


@dataclass(frozen=True)
class PairedTest:
    """One metric of one target in two models, over the cases where both have a value."""

    first: str
    second: str
    target: str
    metric: str
    n: int  # cases
    of: int
    patients: int
    mean_first: float | None
    mean_second: float | None
    penalised_first: float | None  # over all cases, distances to nothing at their worst
    penalised_second: float | None
    difference: float | None  # mean of second - first
    ci95: tuple[float, float] | None
    ci95_method: str
    median: float | None
    hodges_lehmann: float | None
    better: int  # cases in which the second model is
    equal: int
    worse: int
    p: float | None
    p_holm: float | None
    method: str  # of p; or why there is none


@dataclass(frozen=True)
class MissTest:
    """How often one model misses a target, or finds one that is not there, and not the other."""

    first: str
    second: str
    target: str
    kind: str  # "missed", "false alarm"
    of: int  # patients who could be missed, or falsely found
    only_first: int
    only_second: int
    both: int
    p: float | None
    p_holm: float | None


Test = TypeVar("Test", PairedTest, MissTest)


def compare_values(
    scored: Scored, pair: tuple[str, str], target: str, metric: str, draws: Draws, tuned: bool
) -> PairedTest:
    """Return how the second model of `pair` differs from the first in one metric.

    `draws`: of the patients of the cases; `tuned`: no p, the models were chosen on these cases.
    """
    ours, theirs = (values_of(scored[name], target, metric) for name in pair)
    penalised = [values_of(scored[name], target, metric, penalised=True) for name in pair]
    test, differences = _compare(pair, target, metric, (ours, theirs), penalised, draws)
    p, method = _p_value(differences, tuned)
    return replace(test, p=p, method=method)


def compare_case_means(
    scored: Scored, pair: tuple[str, str], targets: Sequence[str], metric: str, draws: Draws
) -> PairedTest:
    """Return how the mean over the targets of each case differs, without a test.

    Targets that either model has no value for are left out of a case, for both.
    """
    plain = [_table(scored[name], targets, metric) for name in pair]
    both = ~np.isnan(plain[0]) & ~np.isnan(plain[1])
    means = [_row_means(np.where(both, table, np.nan)) for table in plain]
    penalised = [_row_means(_table(scored[name], targets, metric, penalised=True)) for name in pair]
    return _compare(pair, WITHIN_CASES, metric, (means[0], means[1]), penalised, draws)[0]


def _compare(
    pair: tuple[str, str],
    target: str,
    metric: str,
    values: tuple[np.ndarray, np.ndarray],
    penalised: Sequence[np.ndarray],
    draws: Draws,
) -> tuple[PairedTest, np.ndarray]:
    """Return the difference of two models (values (n,) of each), and that of every patient."""
    ours, theirs = values
    both = ~np.isnan(ours) & ~np.isnan(theirs)
    differences = np.where(both, theirs - ours, np.nan)
    interval = mean_intervals(differences[:, None], draws)[0]
    gains = np.round(differences[both], _SAME) * (-1 if metric in LOWER_IS_BETTER else 1)
    by_patient = _mean_by_patient(differences, draws)
    known = len(by_patient) > 0
    test = PairedTest(
        *pair,
        target,
        metric,
        n=int(both.sum()),
        of=len(both),
        patients=len(by_patient),
        mean_first=_average(ours[both]),
        mean_second=_average(theirs[both]),
        penalised_first=_average(penalised[0]),
        penalised_second=_average(penalised[1]),
        difference=_average(differences[both]),
        ci95=interval.bounds,
        ci95_method=interval.method,
        median=float(np.median(by_patient)) if known else None,
        hodges_lehmann=hodges_lehmann(by_patient) if known else None,
        better=int((gains > 0).sum()),
        equal=int((gains == 0).sum()),
        worse=int((gains < 0).sum()),
        p=None,
        p_holm=None,
        method="none: not tested",
    )
    return test, by_patient


def _p_value(differences: np.ndarray, tuned: bool) -> tuple[float | None, str]:
    """Return p and how it came, or None and why there is none."""
    if tuned:
        return None, "none: chosen on these cases"
    if len(differences) < FEWEST_PAIRS:
        n = len(differences)
        smallest = f", the smallest possible p is {min(1.0, 2 / 2**n):.3g}" if n else ""
        return None, f"none: n = {n}{smallest}"
    test = signed_rank(differences)
    return test.p, test.method


def compare_misses(
    scored: Scored, pair: tuple[str, str], target: str, kind: str, tuned: bool
) -> MissTest:
    """Compare where the two fail wholly; a patient counts once, if it happens in any scan."""
    wanted = (PRED_EMPTY, MISSING_PRED) if kind == MISSED else (REF_EMPTY,)
    failed: dict[str, set[str]] = {name: set() for name in pair}
    possible: set[str] = set()
    for name in pair:
        for case, patient in zip(scored[name], patients_of(scored[name]), strict=True):
            value = value_of(case, target, "n_ref").value
            if value is None or (value > 0) != (kind == MISSED):
                continue
            possible.add(patient)
            if value_of(case, target, "dice").status in wanted:
                failed[name].add(patient)
    first, second = (failed[name] for name in pair)
    p = None if tuned or not first | second else mcnemar(len(first - second), len(second - first))
    return MissTest(
        *pair, target, kind, len(possible), len(first - second), len(second - first),
        len(first & second), p, None,
    )  # fmt: skip


def adjusted(tests: Sequence[Test]) -> tuple[Test, ...]:
    """Return the tests with p adjusted by Holm for their number."""
    found = holm([test.p for test in tests])
    return tuple(replace(test, p_holm=p) for test, p in zip(tests, found, strict=True))


def values_of(
    cases: Sequence[CaseScores], target: str, metric: str, penalised: bool = False
) -> np.ndarray:
    """Return one value for each case, (n,), NaN where there is none."""
    found = [
        penalised_value(case, target, metric) if penalised else value_of(case, target, metric).value
        for case in cases
    ]
    return np.array([np.nan if value is None else value for value in found], dtype=float)


def _table(
    cases: Sequence[CaseScores], targets: Sequence[str], metric: str, penalised: bool = False
) -> np.ndarray:
    return np.stack([values_of(cases, target, metric, penalised) for target in targets], axis=1)


def _row_means(table: np.ndarray) -> np.ndarray:
    """Return the mean of the known values of each row, NaN where there are none."""
    known = ~np.isnan(table)
    sums, numbers = np.where(known, table, 0.0).sum(1), known.sum(1)
    return np.where(numbers > 0, sums / np.maximum(numbers, 1), np.nan)


def _mean_by_patient(differences: np.ndarray, draws: Draws) -> np.ndarray:
    """Return the mean difference of each patient that has any."""
    known = ~np.isnan(differences)
    patients = draws.patient[known]
    sums = np.bincount(patients, differences[known], minlength=draws.counts.shape[1])
    numbers = np.bincount(patients, minlength=draws.counts.shape[1])
    return sums[numbers > 0] / numbers[numbers > 0]


def _average(values: np.ndarray) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None
