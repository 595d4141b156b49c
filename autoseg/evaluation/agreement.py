"""Agreement of volumes: Bland and Altman's bias and limits, intraclass correlations.

Sources: Bland and Altman, Lancet 1986; Shrout and Fleiss, Psychological Bulletin 1979, whose
names ICC(2,1) and ICC(3,1) are McGraw and Wong's ICC(A,1) and ICC(C,1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import fdtri, stdtrit

from autoseg.results import Agreement, CaseScores

LIMITS = 1.96  # standard deviations: 95 % of differences that are normally distributed
FEWEST = 5  # cases: with fewer a correlation may be anything
_TAIL = 0.975

Bounds = tuple[float, float]


def volume_agreement(cases: Sequence[CaseScores], target: str) -> Agreement | None:
    """Return how predicted and true volumes of `target` agree, ml; None without any volume.

    Cases where neither has a voxel are left out: that both are 0 says nothing of a measurement.
    Each case counts once, also where a patient has several. No correlation below five cases.
    """
    pairs = []
    for case in cases:
        values = case.metrics[target]
        reference, prediction = values["vol_ref_ml"].value, values["vol_pred_ml"].value
        if reference is not None and prediction is not None and (reference or prediction):
            pairs.append((reference, prediction))
    if not pairs:
        return None
    table = np.array(pairs, dtype=float)
    bias, bias_ci95, limits = bland_altman(table[:, 1] - table[:, 0])
    enough = len(pairs) >= FEWEST
    correlations = intraclass(table) if enough else (None, None, None, None)
    return Agreement(len(pairs), bias, bias_ci95, limits, *correlations)


def bland_altman(differences: np.ndarray) -> tuple[float, Bounds | None, Bounds | None]:
    """Return the mean difference, its 95 % interval (Student's t), and the limits of agreement."""
    n, bias = len(differences), float(np.mean(differences))
    if n < 2:
        return bias, None, None
    deviation = float(np.std(differences, ddof=1))
    half = float(stdtrit(n - 1, _TAIL)) * deviation / np.sqrt(n)
    limits = (bias - LIMITS * deviation, bias + LIMITS * deviation)
    return bias, (float(bias - half), float(bias + half)), limits


def intraclass(
    table: np.ndarray,
) -> tuple[float | None, Bounds | None, float | None, Bounds | None]:
    """Return ICC(2,1), its 95 % interval, ICC(3,1), its 95 % interval, of `table` (n, raters).

    Undefined (None) with fewer than three rows, or where the rows do not vary.
    """
    n, k = table.shape
    if n < 3 or np.ptp(table, axis=0).max() == 0:
        return None, None, None, None
    grand = table.mean()
    rows = k * float(np.sum((table.mean(1) - grand) ** 2)) / (n - 1)
    columns = n * float(np.sum((table.mean(0) - grand) ** 2)) / (k - 1)
    residual = table - table.mean(1, keepdims=True) - table.mean(0) + grand
    error = float(np.sum(residual**2)) / ((n - 1) * (k - 1))
    absolute = (rows - error) / (rows + (k - 1) * error + k * (columns - error) / n)
    consistent = (rows - error) / (rows + (k - 1) * error)
    return (
        absolute, _absolute_bounds(rows, columns, error, n, k, absolute),
        consistent, _consistent_bounds(rows, error, n, k),
    )  # fmt: skip


def _absolute_bounds(
    rows: float, columns: float, error: float, n: int, k: int, icc: float
) -> Bounds | None:
    """Return Shrout and Fleiss's interval of ICC(2,1), with Satterthwaite's degrees of freedom.

    None where these vanish, as they can with few rows that disagree: F is without bounds there.
    """
    if error <= 0 or rows <= 0:
        return None
    ratio = columns / error
    above = k * icc * ratio + n * (1 + (k - 1) * icc) - k * icc
    below = (n - 1) * k**2 * icc**2 * ratio**2 + (n * (1 + (k - 1) * icc) - k * icc) ** 2
    freedom = (k - 1) * (n - 1) * above**2 / below
    lower_f = float(fdtri(n - 1, freedom, _TAIL))
    upper_f = float(fdtri(freedom, n - 1, _TAIL))
    shared = k * columns + (k * n - k - n) * error
    low = n * (rows - lower_f * error) / (lower_f * shared + n * rows)
    high = n * (upper_f * rows - error) / (shared + n * upper_f * rows)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


def _consistent_bounds(rows: float, error: float, n: int, k: int) -> Bounds | None:
    """Return Shrout and Fleiss's interval of ICC(3,1)."""
    if error <= 0:
        return None
    ratio, freedom = rows / error, (n - 1) * (k - 1)
    low = ratio / fdtri(n - 1, freedom, _TAIL)
    high = ratio * fdtri(freedom, n - 1, _TAIL)
    return float((low - 1) / (low + k - 1)), float((high - 1) / (high + k - 1))
