"""Every metric of one target in one case, and the one function that decides what empty masks mean.

Keys and definitions: docs/metrics.md. R and P are the boolean masks of reference and prediction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from autoseg.evaluation.surface import Surfaces, measure_surfaces
from autoseg.results import BOTH_EMPTY, OK, PRED_EMPTY, REF_EMPTY, SKIPPED, Value

OVERLAPS = ("dice", "iou")
DISTANCES = ("hd95", "assd")  # mm; lower is better; not defined when a mask is empty
SCORES = ("dice", "iou", "hd95", "assd", "nsd")
COUNTS = ("n_ref", "n_pred", "tp", "fp", "fn", "vol_ref_ml", "vol_pred_ml", "fp_volume_ml")
METRICS = SCORES + COUNTS

HD_PERCENTILE = 95.0
# Distances are sums of rounded products: 3 x 0.1 mm must count as within 0.3 mm.
_ROUNDING_MM = 1e-9
_ROUNDING = 1e-12


def measure_target(
    reference: np.ndarray,
    prediction: np.ndarray,
    spacing: Sequence[float],
    tolerance_mm: float,
    mode: str = "surfel",
    flat_axis: int | None = None,
) -> dict[str, Value]:
    """Return all `METRICS` of two boolean masks (Z, Y, X) of one shape; `spacing` in mm.

    `flat_axis` is the axis along which the whole image has one voxel: surfaces are lines then.
    (As a volume it would count its top and bottom, and every NSD would be about them.)
    """
    counts = count_voxels(reference, prediction, float(np.prod(spacing)))
    values = {key: Value(value) for key, value in counts.items()}
    status = _status(counts)
    if status != OK:
        return _empty_scores(status) | values
    if flat_axis is not None:
        reference, prediction = reference.squeeze(flat_axis), prediction.squeeze(flat_axis)
        spacing = [step for axis, step in enumerate(spacing) if axis != flat_axis]
    surfaces = measure_surfaces(reference, prediction, spacing, mode)
    scores = {name: Value(overlap(counts)) for name, overlap in _OVERLAPS.items()}
    scores |= {name: Value(distance(surfaces)) for name, distance in _DISTANCES.items()}
    scores["nsd"] = Value(surface_dice(surfaces, tolerance_mm))
    return scores | values


def skipped() -> dict[str, Value]:
    """Return what stands for a target that is not annotated, or wholly ignored, in a case."""
    return {key: Value(None, SKIPPED) for key in METRICS}


def count_voxels(
    reference: np.ndarray, prediction: np.ndarray, voxel_mm3: float
) -> dict[str, float]:
    """Return the `COUNTS`: voxels, and volumes in ml."""
    n_ref, n_pred = int(np.count_nonzero(reference)), int(np.count_nonzero(prediction))
    both = int(np.count_nonzero(reference & prediction))
    ml = voxel_mm3 / 1000.0
    return {
        "n_ref": n_ref,
        "n_pred": n_pred,
        "tp": both,
        "fp": n_pred - both,
        "fn": n_ref - both,
        "vol_ref_ml": n_ref * ml,
        "vol_pred_ml": n_pred * ml,
        "fp_volume_ml": (n_pred - both) * ml,
    }


# --- overlap -----------------------------------------------------------------------------------


def dice(counts: Mapping[str, float]) -> float:
    """Return 2 TP / (2 TP + FP + FN)."""
    return 2 * counts["tp"] / (counts["n_ref"] + counts["n_pred"])


def iou(counts: Mapping[str, float]) -> float:
    """Return TP / (TP + FP + FN)."""
    return counts["tp"] / (counts["tp"] + counts["fp"] + counts["fn"])


# --- surfaces ----------------------------------------------------------------------------------


def hausdorff(surfaces: Surfaces, percentile: float = 100.0) -> float:
    """Return the larger of the two directed percentiles of surface distance, mm."""
    return max(
        _percentile(distances, weights, percentile, surfaces.mode)
        for distances, weights in _both_ways(surfaces)
    )


def hd95(surfaces: Surfaces) -> float:
    """Return the 95th percentile Hausdorff distance, mm: the maximum of the two directions."""
    return hausdorff(surfaces, HD_PERCENTILE)


def assd(surfaces: Surfaces) -> float:
    """Return the average symmetric surface distance, mm: both directions in one weighted mean."""
    total = sum(float(distances @ weights) for distances, weights in _both_ways(surfaces))
    return total / _total_weight(surfaces)


def surface_dice(surfaces: Surfaces, tolerance_mm: float) -> float:
    """Return the fraction of both surfaces that lies within `tolerance_mm` of the other (NSD)."""
    limit = tolerance_mm + _ROUNDING_MM
    near = sum(
        float(weights[distances <= limit].sum()) for distances, weights in _both_ways(surfaces)
    )
    return min(1.0, near / _total_weight(surfaces))


def _both_ways(surfaces: Surfaces) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    return (
        (surfaces.from_reference, surfaces.reference_weights),
        (surfaces.from_prediction, surfaces.prediction_weights),
    )


def _total_weight(surfaces: Surfaces) -> float:
    return float(surfaces.reference_weights.sum() + surfaces.prediction_weights.sum())


def _percentile(distances: np.ndarray, weights: np.ndarray, percentile: float, mode: str) -> float:
    if mode == "voxel":
        return float(np.percentile(distances, percentile))
    order = np.argsort(distances)
    share = np.cumsum(weights[order])
    # Without the rounding margin an exact tie would depend on the order of summation.
    wanted = percentile / 100.0 * share[-1] * (1 - _ROUNDING)
    return float(distances[order[np.searchsorted(share, wanted)]])


_OVERLAPS: dict[str, Callable[[Mapping[str, float]], float]] = {"dice": dice, "iou": iou}
_DISTANCES: dict[str, Callable[[Surfaces], float]] = {"hd95": hd95, "assd": assd}


# --- empty masks -------------------------------------------------------------------------------


def _status(counts: Mapping[str, float]) -> str:
    if counts["n_ref"] and counts["n_pred"]:
        return OK
    if not counts["n_ref"] and not counts["n_pred"]:
        return BOTH_EMPTY
    return PRED_EMPTY if counts["n_ref"] else REF_EMPTY


def _empty_scores(status: str) -> dict[str, Value]:
    """Return the scores when a mask is empty: fractions 0 if only one is; distances never defined.

    Not infinity (JSON has none, and means break on it), and nothing is dropped: the status tells
    `summarise` which values a penalised mean has to replace.
    """
    fraction = None if status == BOTH_EMPTY else 0.0
    return {key: Value(None if key in DISTANCES else fraction, status) for key in SCORES}
