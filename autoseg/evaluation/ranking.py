"""Ranking of several models, two ways, and how stable it is when other patients are drawn.

Rank-then-aggregate is the way of the Medical Segmentation Decathlon and BraTS, aggregate-then-rank
that of KiTS; Wiesenfarth and others, Scientific Reports 2021, on the stability of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autoseg.evaluation.statistics import SEED, Draws, doubled_ranks, draw_patients, resampled_means

RESAMPLES = 1_000


@dataclass(frozen=True)
class Ranking:
    """Models in order of their score, 1 the best possible; tau 1: the order never changes."""

    method: str
    models: tuple[str, ...]  # the best first
    scores: tuple[float, ...]  # mean rank
    ranks: tuple[float, ...]  # ties share theirs
    ranks_ci95: tuple[tuple[float, float], ...]  # over resamples of patients
    first_share: tuple[float, ...]  # in how many resamples a model is first, or among the first
    tau_mean: float | None  # Kendall's tau-b of the ranks in a resample and the ranks above
    tau_ci95: tuple[float, float] | None
    n: int  # patients


def rank_models(
    models: Sequence[str], worth: np.ndarray, values: np.ndarray, patients: Sequence[str]
) -> tuple[Ranking, Ranking]:
    """Return the rankings of models by rank-then-aggregate and by aggregate-then-rank.

    `worth` (models, cases, columns): larger is better, NaN where a column does not apply to a case;
    it is ranked within each case and column. `values` (models, cases, columns): larger is better;
    its means over cases are ranked within each column. A column is one metric of one target.
    """
    draws = draw_patients(patients, RESAMPLES, SEED)
    whole, n = _all(draws), draws.counts.shape[1]
    ranks = ranks_within(worth)
    return (
        _ranking(
            "rank, then mean over cases, targets and metrics",
            models, _mean_rank(ranks, whole)[0], _mean_rank(ranks, draws), n,
        ),
        _ranking(
            "mean over cases, then rank by target and metric",
            models, _rank_of_means(values, whole)[0], _rank_of_means(values, draws), n,
        ),
    )  # fmt: skip


def ranks_within(worth: np.ndarray) -> np.ndarray:
    """Return the ranks along the first axis, 1 for the largest; ties share their mean rank.

    NaN in any model leaves the place out for all.
    """
    better = (worth[None] > worth[:, None]).sum(1)
    equal = (worth[None] == worth[:, None]).sum(1)
    ranks = 1 + better + (equal - 1) / 2
    return np.where(np.isnan(worth).any(0), np.nan, ranks)


def kendall_tau(first: np.ndarray, second: np.ndarray) -> float | None:
    """Return Kendall's tau-b of two rankings of the same models; None where one is all ties."""
    pairs = np.triu_indices(len(first), 1)
    one = np.sign(first[pairs[0]] - first[pairs[1]])
    other = np.sign(second[pairs[0]] - second[pairs[1]])
    scale = np.sqrt(np.count_nonzero(one) * np.count_nonzero(other))
    return float(one @ other / scale) if scale else None


def _all(draws: Draws) -> Draws:
    """Return the one draw that has every patient once."""
    return Draws(np.ones((1, draws.counts.shape[1])), draws.patient, draws.seed)


def _mean_rank(ranks: np.ndarray, draws: Draws) -> np.ndarray:
    """Return the mean rank (B, models): over cases in each column, then over columns."""
    models, cases, columns = ranks.shape
    table = ranks.transpose(1, 0, 2).reshape(cases, -1)
    return _mean_of_columns(resampled_means(table, draws).reshape(-1, models, columns))


def _rank_of_means(values: np.ndarray, draws: Draws) -> np.ndarray:
    models, cases, columns = values.shape
    table = values.transpose(1, 0, 2).reshape(cases, -1)
    means = resampled_means(table, draws).reshape(-1, models, columns)
    return _mean_of_columns(ranks_within(means.swapaxes(0, 1)).swapaxes(0, 1))


def _mean_of_columns(table: np.ndarray) -> np.ndarray:
    """Return the mean over the last axis without NaN (a column that no drawn case has)."""
    known = ~np.isnan(table)
    return np.where(known, table, 0.0).sum(-1) / np.maximum(known.sum(-1), 1)


def _ranking(
    method: str, models: Sequence[str], scores: np.ndarray, drawn: np.ndarray, n: int
) -> Ranking:
    """Return the ranking by `scores` (models,), and its spread over `drawn` (B, models)."""
    rounded = np.round(scores, 9)
    ranks = doubled_ranks(rounded) / 2
    resampled = np.stack([doubled_ranks(row) / 2 for row in np.round(drawn, 9)])
    taus = [tau for row in resampled if (tau := kendall_tau(ranks, row)) is not None]
    first = resampled == resampled.min(axis=1, keepdims=True)
    order = sorted(range(len(models)), key=lambda i: (rounded[i], models[i]))
    spread = np.quantile(resampled, [0.025, 0.975], axis=0)
    return Ranking(
        method,
        tuple(models[i] for i in order),
        tuple(float(scores[i]) for i in order),
        tuple(float(ranks[i]) for i in order),
        tuple((float(spread[0, i]), float(spread[1, i])) for i in order),
        tuple(float(first[:, i].mean()) for i in order),
        float(np.mean(taus)) if taus else None,
        _interval(taus),
        n,
    )


def _interval(values: Sequence[float]) -> tuple[float, float] | None:
    if not values:
        return None
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
