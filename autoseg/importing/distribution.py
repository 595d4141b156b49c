"""How the values of some voxels are distributed, small enough to be pooled over all cases.

Up to `KEPT` different values everything is exact; of more, `THINNED` evenly spaced quantiles stay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autoseg.results import Intensities

KEPT = 1 << 16  # different values of a distribution: all that 16-bit integers can have
THINNED = 1 << 12


@dataclass(frozen=True)
class Distribution:
    """Different values, ascending, and how many voxels have each."""

    values: np.ndarray  # (n,) float64
    counts: np.ndarray  # (n,) float64: whole numbers unless thinned
    total: float = 0.0  # sum of all voxels
    squares: float = 0.0  # sum of their squares
    exact: bool = True

    @property
    def voxels(self) -> int:
        """How many voxels there are."""
        return round(float(self.counts.sum()))


def distribution_of(voxels: np.ndarray) -> Distribution:
    """Return the distribution of an array of numbers, exact."""
    ordered = np.sort(voxels, axis=None)
    firsts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    counts = np.diff(np.r_[firsts, ordered.size]).astype(np.float64)
    values = ordered[firsts].astype(np.float64)
    return Distribution(values, counts, float(counts @ values), float(counts @ np.square(values)))


def thinned(whole: Distribution) -> Distribution:
    """Return a distribution of at most `KEPT` values: the same, or evenly spaced quantiles."""
    if len(whole.values) <= KEPT:
        return whole
    share = (np.arange(THINNED) + 0.5) / THINNED
    values = np.interp(share * whole.voxels, np.cumsum(whole.counts), whole.values)
    # The ends stay what they are.
    values[0], values[-1] = whole.values[0], whole.values[-1]
    counts = np.full(THINNED, whole.voxels / THINNED)
    return Distribution(values, counts, whole.total, whole.squares, exact=False)


def pooled(one: Distribution, other: Distribution) -> Distribution:
    """Return the distribution of the voxels of both."""
    values, places = np.unique(np.r_[one.values, other.values], return_inverse=True)
    counts = np.bincount(places, np.r_[one.counts, other.counts])
    return thinned(
        Distribution(
            values, counts, one.total + other.total, one.squares + other.squares,
            one.exact and other.exact,
        )
    )  # fmt: skip


def intensities_of(found: Distribution) -> Intensities:
    """Return mean, spread and quantiles; these are NumPy's (linear between neighbours)."""
    voxels = found.voxels
    mean = found.total / voxels
    variance = found.squares / voxels - mean**2
    ends = np.cumsum(found.counts)

    def quantile(share: float) -> float:
        rank = share * (voxels - 1)
        below, above = np.searchsorted(ends, [np.floor(rank), np.ceil(rank)], side="right")
        low, high = found.values[np.minimum([below, above], len(ends) - 1)]
        return float(low + (high - low) * (rank % 1))

    return Intensities(
        mean, max(variance, 0.0) ** 0.5, float(found.values[0]), quantile(0.1), quantile(0.5),
        quantile(0.9), float(found.values[-1]), found.exact,
    )  # fmt: skip
