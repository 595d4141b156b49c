"""Every metric of one target in one case, and the one function that decides what empty masks mean.

Keys and definitions: docs/metrics.md. R and P are the boolean masks of reference and prediction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from autoseg.evaluation.elements import added_path_length
from autoseg.evaluation.overlap import FORMULAS, Counts, count_voxels
from autoseg.evaluation.surface import Surfaces, measure_surfaces
from autoseg.results import (
    BOTH_EMPTY,
    OK,
    PRED_EMPTY,
    REF_EMPTY,
    SKIPPED,
    UNDEFINED,
    Value,
)  # fmt: skip

OVERLAPS = tuple(FORMULAS)
# mm; lower is better; not defined when a mask is empty
DISTANCES = ("hd", "hd95", "assd", "masd", "asd_ref_to_pred", "asd_pred_to_ref")
SCORES = (*OVERLAPS, *DISTANCES, "nsd", "added_path_length_mm")
COUNTS = (
    "n_ref", "n_pred", "tp", "fp", "fn", "tn", "vol_ref_ml", "vol_pred_ml", "vol_diff_ml",
    "fp_volume_ml",
)  # fmt: skip
METRICS = SCORES + COUNTS
VERTEX_ONLY = ("hd95_mean",)  # what distorch calls hd95; added in vertex mode

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
    voxels: int | None = None,
) -> dict[str, Value]:
    """Return all `METRICS` of two boolean masks (Z, Y, X) of one shape; `spacing` in mm.

    `flat_axis` is the axis along which the whole image has one voxel: surfaces are lines then.
    (As a volume it would count its top and bottom, and every NSD would be about them.)
    `voxels`: how many the image has that are not ignored, None: as many as the masks.
    """
    counts = count_voxels(reference, prediction, voxels)
    scores = {name: formula(counts) for name, formula in FORMULAS.items()}
    status = status_of(counts)
    steps = [step for axis, step in enumerate(spacing) if axis != flat_axis]
    if flat_axis is not None and counts["n_ref"]:
        reference, prediction = reference.squeeze(flat_axis), prediction.squeeze(flat_axis)
    if status == OK:
        scores |= surface_scores(measure_surfaces(reference, prediction, steps, mode), tolerance_mm)
    elif status == PRED_EMPTY:
        scores["added_path_length_mm"] = added_path_length(reference, prediction, steps)
    volumes = _volumes(counts, math.prod(spacing) / 1000.0)
    return settle(scores, status, mode) | {
        key: Value(value) for key, value in {**counts, **volumes}.items()
    }


def settle(
    scores: Mapping[str, float | None], status: str, mode: str = "surfel"
) -> dict[str, Value]:
    """Return every score with its status: the table of empty masks, A.4 of docs/metrics.md.

    `scores`: what could be computed; None where a denominator is 0. Overlap with one empty mask is
    0 by its own formula, and so is NSD; a distance to nothing is not defined. Not infinity (JSON
    has none, and means break on it), and nothing is dropped: the status tells the penalised mean
    which values to replace.
    """
    settled = {}
    for key in (*SCORES, *(VERTEX_ONLY if mode == "vertex" else ())):
        value = scores.get(key)
        if key == "nsd" and status in (REF_EMPTY, PRED_EMPTY):
            value = 0.0
        undefined = value is None and (status == OK or key == "mcc")
        settled[key] = Value(value, UNDEFINED if undefined else status)
    return settled


def skipped() -> dict[str, Value]:
    """Return what stands for a target that is not annotated, or wholly ignored, in a case."""
    return {key: Value(None, SKIPPED) for key in METRICS}


def status_of(counts: Counts) -> str:
    """Return which of the two masks are empty, or `ok`."""
    if counts["n_ref"] and counts["n_pred"]:
        return OK
    if not counts["n_ref"] and not counts["n_pred"]:
        return BOTH_EMPTY
    return PRED_EMPTY if counts["n_ref"] else REF_EMPTY


def _volumes(counts: Counts, ml: float) -> dict[str, float]:
    return {
        "vol_ref_ml": counts["n_ref"] * ml,
        "vol_pred_ml": counts["n_pred"] * ml,
        "vol_diff_ml": (counts["n_pred"] - counts["n_ref"]) * ml,
        "fp_volume_ml": counts["fp"] * ml,
    }


# --- surfaces ----------------------------------------------------------------------------------


def surface_scores(surfaces: Surfaces, tolerance_mm: float) -> dict[str, float | None]:
    """Return all `DISTANCES`, `nsd` and the added path length; in vertex mode `hd95_mean` too."""
    there, back = (
        float(distances @ weights) / float(weights.sum())
        for distances, weights in both_ways(surfaces)
    )
    near, far = directed_percentiles(surfaces, HD_PERCENTILE)
    only = {"hd95_mean": (near + far) / 2} if surfaces.mode == "vertex" else {}
    return {
        "hd": hausdorff(surfaces),
        "hd95": max(near, far),
        "assd": assd(surfaces),
        "masd": (there + back) / 2,
        "asd_ref_to_pred": there,
        "asd_pred_to_ref": back,
        "nsd": surface_dice(surfaces, tolerance_mm),
        "added_path_length_mm": surfaces.added_path_mm,
        **only,
    }


def hausdorff(surfaces: Surfaces) -> float:
    """Return the largest distance of any element of either surface to the other, mm."""
    return float(max(surfaces.from_reference.max(), surfaces.from_prediction.max()))


def directed_percentiles(surfaces: Surfaces, percentile: float) -> tuple[float, float]:
    """Return the percentile of distance from the reference, and that from the prediction, mm.

    Surfels: the first distance whose cumulative weight reaches the share. Elements of equal weight:
    linear between the two nearest ranks, as `numpy.percentile`.
    """
    there, back = (
        _percentile(distances, weights, percentile, surfaces.mode)
        for distances, weights in both_ways(surfaces)
    )
    return there, back


def hd95(surfaces: Surfaces) -> float:
    """Return the 95th percentile Hausdorff distance, mm: the maximum of the two directions."""
    return max(directed_percentiles(surfaces, HD_PERCENTILE))


def assd(surfaces: Surfaces) -> float:
    """Return the average symmetric surface distance, mm: both directions in one weighted mean."""
    total = sum(float(distances @ weights) for distances, weights in both_ways(surfaces))
    return total / _total_weight(surfaces)


def surface_dice(surfaces: Surfaces, tolerance_mm: float) -> float:
    """Return the fraction of both surfaces that lies within `tolerance_mm` of the other (NSD)."""
    limit = tolerance_mm + _ROUNDING_MM
    near = sum(
        float(weights[distances <= limit].sum()) for distances, weights in both_ways(surfaces)
    )
    return min(1.0, near / _total_weight(surfaces))


def both_ways(surfaces: Surfaces) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Return distances and weights from the reference, and those from the prediction."""
    return (
        (surfaces.from_reference, surfaces.reference_weights),
        (surfaces.from_prediction, surfaces.prediction_weights),
    )


def _total_weight(surfaces: Surfaces) -> float:
    return float(surfaces.reference_weights.sum() + surfaces.prediction_weights.sum())


def _percentile(distances: np.ndarray, weights: np.ndarray, percentile: float, mode: str) -> float:
    if mode != "surfel":
        return float(np.percentile(distances, percentile))
    order = np.argsort(distances)
    share = np.cumsum(weights[order])
    # Without the rounding margin an exact tie would depend on the order of summation.
    wanted = percentile / 100.0 * share[-1] * (1 - _ROUNDING)
    return float(distances[order[np.searchsorted(share, wanted)]])
