"""Rules about geometry: axis order, target spacing, median shape, start of the search for a patch.

A rule returns its value and the sentence that explains it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autoseg.plan import ANISOTROPY, Fingerprint, Triple
from autoseg.preprocessing.resample import resampled_shape

COARSE_AXIS_PERCENTILE = 10  # of the spacings of a thick-sliced axis: the thin scans set the grid
Spacing = tuple[float, float, float]


def is_flat(fingerprint: Fingerprint) -> bool:
    """Tell whether the median case is a single slice."""
    return bool(np.median(fingerprint.shapes, axis=0).min() == 1)


def choose_spacing(fingerprint: Fingerprint) -> tuple[Spacing, str]:
    """Return the target spacing in mm, canonical axes (Z, Y, X): median, finer for thick slices."""
    spacings = np.asarray(fingerprint.spacings, dtype=np.float64)
    target = np.percentile(spacings, 50, axis=0)
    shape = np.percentile(np.asarray(fingerprint.shapes), 50, axis=0)
    coarse = int(np.argmax(target))
    others = [axis for axis in range(3) if axis != coarse]
    finest_allowed = float(target[others].max())
    thick = target[coarse] > ANISOTROPY * finest_allowed
    few = shape[coarse] * ANISOTROPY < shape[others].min()
    if is_flat(fingerprint):
        reason = "the median of the data; slices are single, only the plane counts"
    elif thick and few:
        chosen = float(np.percentile(spacings[:, coarse], COARSE_AXIS_PERCENTILE))
        if chosen < finest_allowed:
            chosen = finest_allowed + 1e-5
        reason = (
            "the median in the plane; slices are thick and few, so between them it is the "
            f"{COARSE_AXIS_PERCENTILE}th percentile, {chosen:.3g} mm (median {target[coarse]:.3g})"
        )
        target[coarse] = chosen
    else:
        reason = "the median of the data"
    chosen_spacing = (float(target[0]), float(target[1]), float(target[2]))
    return chosen_spacing, f"Target spacing {times(chosen_spacing)} mm (Z, Y, X): {reason}."


def choose_axis_order(fingerprint: Fingerprint, spacing: Spacing) -> tuple[Triple, str]:
    """Return the canonical axes in the order of prepared arrays: the through-plane axis first."""
    median = np.median(fingerprint.shapes, axis=0)
    if is_flat(fingerprint):
        first = int(np.argmin(median))
        reason = "it has a single voxel"
    else:
        first = int(np.argmax(spacing))
        coarsest = sum(value == spacing[first] for value in spacing) == 1
        reason = "its spacing is the coarsest" if coarsest else "no axis is coarser"
    order = (first, *(axis for axis in range(3) if axis != first))
    names = "".join("ZYX"[axis] for axis in order)
    return (order[0], order[1], order[2]), f"Axis order {names}: {names[0]} comes first, {reason}."


def median_resampled_shape(fingerprint: Fingerprint, target: Spacing) -> np.ndarray:
    """(3,) float: median over cases of the resampled shape, canonical axes; halves are kept."""
    pairs = zip(fingerprint.shapes, fingerprint.spacings, strict=True)
    return np.median([resampled_shape(shape, spacing, target) for shape, spacing in pairs], axis=0)


def start_patch(
    spacing: Sequence[float], median_shape: Sequence[float], voxels: int
) -> list[float]:
    """Return a cube (in mm) of about `voxels` voxels, cut to the median case."""
    inverse = 1 / np.asarray(spacing, dtype=np.float64)
    edges = inverse * (voxels / np.prod(inverse)) ** (1 / len(inverse))
    return [min(round(edge), median) for edge, median in zip(edges, median_shape, strict=True)]


def filled_patch(
    spacing: Sequence[float], median_shape: Sequence[float], voxels: int
) -> list[float]:
    """Like `start_patch`, but what a short axis cannot use goes to the others."""
    patch: dict[int, float] = {}
    while len(patch) < len(spacing):
        free = [axis for axis in range(len(spacing)) if axis not in patch]
        left = voxels / float(np.prod([*patch.values(), 1.0]))
        inverse = 1 / np.asarray([spacing[axis] for axis in free], dtype=np.float64)
        edges = inverse * (left / np.prod(inverse)) ** (1 / len(free))
        short = [i for i, axis in enumerate(free) if edges[i] >= median_shape[axis]]
        for i in short or range(len(free)):
            patch[free[i]] = min(max(1, round(edges[i])), median_shape[free[i]])
    return [patch[axis] for axis in range(len(spacing))]


def percent(fraction: float) -> str:
    """Return "41 %" or "0.48 %"."""
    return f"{100 * fraction:.0f} %" if fraction >= 0.1 else f"{100 * fraction:.2g} %"


def times(numbers: Sequence[float]) -> str:
    """Return "40x56x40" or "1.2x0.7x0.7"."""
    return "x".join(f"{number:.4g}" for number in numbers)
