"""Intervals and tests over cases whose unit is the patient: bootstrap, paired tests, corrections.

A patient with several scans is drawn with all of them, and counts once in a paired test.
Sources: Efron, Better bootstrap confidence intervals (1987); Pratt, Remarks on zeros and ties in
the Wilcoxon signed rank procedures (1959); Hodges and Lehmann (1963); Holm (1979); McNemar (1947).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr, ndtr, ndtri

from autoseg.errors import number_of

RESAMPLES = 10_000
SEED = 12345
FEWEST_PATIENTS = 5  # below: no interval
FEWEST_FOR_BCA = 20  # below: percentile interval, which is too narrow
LARGEST_EXACT = 50  # pairs that differ
FEWEST_PAIRS = 6  # below: the smallest p of a two-sided signed-rank test is above 0.05
SIGNIFICANT = 0.05
_CHUNK = 500  # resamples drawn at a time
_COLUMNS = 64  # whose means are resampled at a time
_ROUNDING = 12  # decimals: differences that agree so far are ties, whatever the rounding of sums


@dataclass(frozen=True)
class Draws:
    """Bootstrap resamples of patients; the same for every metric and every model.

    `counts` (B, N): how often each of N patients was drawn; `patient` (n,): that of each case.
    """

    counts: np.ndarray
    patient: np.ndarray
    seed: int


@dataclass(frozen=True)
class Interval:
    """A 95 % interval, or None and the reason in `method`."""

    bounds: tuple[float, float] | None
    method: str


def draw_patients(patients: Sequence[str], resamples: int = RESAMPLES, seed: int = SEED) -> Draws:
    """Return resamples with replacement of the patients of cases, `patients[i]` being that of i."""
    names, index = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    rng = np.random.default_rng(seed)
    counts = np.empty((resamples, len(names)))
    for start in range(0, resamples, _CHUNK):
        rows = min(_CHUNK, resamples - start)
        drawn = rng.integers(0, len(names), (rows, len(names)))
        flat = drawn + np.arange(rows)[:, None] * len(names)
        found = np.bincount(flat.ravel(), minlength=rows * len(names))
        counts[start : start + rows] = found.reshape(rows, len(names))
    return Draws(counts, index, seed)


def resampled_means(values: np.ndarray, draws: Draws) -> np.ndarray:
    """Return the mean over cases in each resample, (B, M), of `values` (n, M); NaN: no value."""
    return _resample(*_per_patient(values, draws), draws)


def mean_intervals(values: np.ndarray, draws: Draws) -> list[Interval]:
    """Return the 95 % interval of the mean of each column of `values` (n, M); NaN: no value.

    Fewer than 5 patients with a value: none; fewer than 20: percentile; else bias-corrected and
    accelerated (BCa), with the acceleration of leaving out one patient.
    """
    sums, numbers = _per_patient(values, draws)
    # Leaving out a patient: the mean of all others.
    jackknife = _divide(sums.sum(0) - sums, numbers.sum(0) - numbers)
    estimates = _divide(sums.sum(0), numbers.sum(0))
    intervals = []
    for start in range(0, values.shape[1], _COLUMNS):
        block = slice(start, start + _COLUMNS)
        drawn = _resample(sums[:, block], numbers[:, block], draws)
        for i, column in enumerate(drawn.T, start):
            present = numbers[:, i] > 0
            intervals.append(_interval(column, float(estimates[i]), jackknife[present, i]))
    return intervals


def _resample(sums: np.ndarray, numbers: np.ndarray, draws: Draws) -> np.ndarray:
    # Most often every column has the same cases: then one of them is enough.
    alike = numbers[:, :1] if (numbers == numbers[:, :1]).all() else numbers
    return _divide(draws.counts @ sums, draws.counts @ alike)


def _per_patient(values: np.ndarray, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    """Return sum and number of the values of each patient, both (N, M)."""
    known = ~np.isnan(values)
    shape = (draws.counts.shape[1], values.shape[1])
    sums, numbers = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, draws.patient, np.where(known, values, 0.0))
    np.add.at(numbers, draws.patient, known)
    return sums, numbers


def _divide(sums: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(numbers > 0, sums / numbers, np.nan)


def _interval(drawn: np.ndarray, estimate: float, jackknife: np.ndarray) -> Interval:
    """Return the interval from the resampled means and those that leave out one of N patients."""
    if len(jackknife) < FEWEST_PATIENTS:
        reason = f"none: {_patients(len(jackknife))}, fewer than {FEWEST_PATIENTS}"
        return Interval(None, reason)
    drawn = drawn[~np.isnan(drawn)]
    tails = np.array([0.025, 0.975])
    method = "percentile"
    if len(jackknife) >= FEWEST_FOR_BCA:
        corrected = _bca_tails(drawn, estimate, jackknife, tails)
        if np.isfinite(corrected).all():
            tails, method = corrected, "bca"
    low, high = np.quantile(drawn, tails)
    return Interval((float(low), float(high)), method)


def _bca_tails(
    drawn: np.ndarray, estimate: float, jackknife: np.ndarray, tails: np.ndarray
) -> np.ndarray:
    below = (np.mean(drawn < estimate) + np.mean(drawn <= estimate)) / 2
    bias = ndtri(below)
    influence = jackknife.mean() - jackknife
    spread = np.sum(influence**2) ** 1.5
    acceleration = np.sum(influence**3) / (6 * spread) if spread > 0 else 0.0
    shifted = bias + ndtri(tails)
    return ndtr(bias + shifted / (1 - acceleration * shifted))


# --- paired tests --------------------------------------------------------------------------------


@dataclass(frozen=True)
class SignedRank:
    """A two-sided Wilcoxon signed-rank test of n pairs."""

    p: float
    method: str  # "exact", "normal", or "no difference"
    n: int
    zeros: int


def signed_rank(differences: np.ndarray) -> SignedRank:
    """Return Wilcoxon's two-sided signed-rank test of paired differences (n,), n >= 1.

    Zeros are ranked and then left out (Pratt), ties share their mean rank. Up to 50 pairs that
    differ the distribution is exact, given the ranks, ties and zeros included: with a few among
    many zeros the normal approximation finds what cannot be there. Above: normal, with the
    variance of ties, without correction for continuity.
    """
    differences = np.round(np.asarray(differences, dtype=float), _ROUNDING)
    n, zeros = len(differences), int(np.count_nonzero(differences == 0))
    if zeros == n:
        return SignedRank(1.0, "no difference", n, zeros)
    # Twice the ranks: whole numbers even where ties share one.
    doubled = doubled_ranks(np.abs(differences))
    nonzero = differences != 0
    ranks, positive = doubled[nonzero], differences[nonzero] > 0
    if n - zeros <= LARGEST_EXACT:
        p = _exact_p(ranks, int(ranks[positive].sum()))
        return SignedRank(p, "exact", n, zeros)
    mean = ranks.sum() / 2
    deviation = np.sqrt(np.sum(ranks.astype(float) ** 2)) / 2
    z = (ranks[positive].sum() - mean) / deviation
    return SignedRank(float(2 * ndtr(-abs(z))), "normal", n, zeros)


def doubled_ranks(values: np.ndarray) -> np.ndarray:
    """Return twice the rank of each value, from 2; equal values share the mean of their ranks."""
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (2 * last - counts + 1)[index]


def _exact_p(ranks: np.ndarray, statistic: int) -> float:
    """Return the two-sided p of a sum of ranks when each sign is as likely as the other."""
    ways = np.zeros(int(ranks.sum()) + 1)
    ways[0] = 1.0
    for rank in ranks:
        ways[rank:] = ways[rank:] + ways[: len(ways) - rank]
    ways /= 2.0 ** len(ranks)
    return float(min(1.0, 2 * min(ways[: statistic + 1].sum(), ways[statistic:].sum())))


def hodges_lehmann(differences: np.ndarray) -> float:
    """Return the median of the means of all pairs of differences, each with itself included."""
    first, second = np.triu_indices(len(differences))
    return float(np.median((differences[first] + differences[second]) / 2))


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the exact two-sided p of McNemar's test from the two discordant counts."""
    total = only_first + only_second
    return float(min(1.0, 2 * bdtr(min(only_first, only_second), total, 0.5))) if total else 1.0


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return the p values adjusted for their number by Holm; None stays and does not count."""
    known = [i for i, p in enumerate(p_values) if p is not None]
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, i in enumerate(sorted(known, key=lambda i: p_values[i] or 0.0)):
        largest = max(largest, min(1.0, (len(known) - rank) * (p_values[i] or 0.0)))
        adjusted[i] = largest
    return adjusted


def _patients(n: int) -> str:
    return number_of(n, "patient")
