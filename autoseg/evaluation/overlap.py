"""Overlap, relative volume and agreement from counts of voxels; None where a denominator is 0.

The counts are Python integers: the products of four of them in a large volume overflow 64 bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

Counts = Mapping[str, int]


def count_voxels(
    reference: np.ndarray, prediction: np.ndarray, voxels: int | None = None
) -> dict[str, int]:
    """Return n_ref, n_pred, tp, fp, fn, tn as Python integers, whose products never overflow.

    `voxels`: of the whole image without what is ignored, None: of the masks.
    """
    n_ref, n_pred = int(np.count_nonzero(reference)), int(np.count_nonzero(prediction))
    both = int(np.count_nonzero(reference & prediction))
    everywhere = reference.size if voxels is None else voxels
    return {
        "n_ref": n_ref,
        "n_pred": n_pred,
        "tp": both,
        "fp": n_pred - both,
        "fn": n_ref - both,
        "tn": everywhere - n_ref - n_pred + both,
    }


def dice(counts: Counts) -> float | None:
    """Return 2 TP / (2 TP + FP + FN)."""
    return _ratio(2 * counts["tp"], counts["n_ref"] + counts["n_pred"])


def iou(counts: Counts) -> float | None:
    """Return TP / (TP + FP + FN)."""
    return _ratio(counts["tp"], counts["tp"] + counts["fp"] + counts["fn"])


def sensitivity(counts: Counts) -> float | None:
    """Return TP / (TP + FN), also called recall."""
    return _ratio(counts["tp"], counts["n_ref"])


def precision(counts: Counts) -> float | None:
    """Return TP / (TP + FP)."""
    return _ratio(counts["tp"], counts["n_pred"])


def specificity(counts: Counts) -> float | None:
    """Return TN / (TN + FP); it depends on how much of the image is background."""
    return _ratio(counts["tn"], counts["tn"] + counts["fp"])


def volume_similarity(counts: Counts) -> float | None:
    """Return 1 - |#P - #R| / (#P + #R); it says nothing about position."""
    apart = _ratio(abs(counts["n_pred"] - counts["n_ref"]), counts["n_pred"] + counts["n_ref"])
    return None if apart is None else 1 - apart


def relative_volume_error(counts: Counts) -> float | None:
    """Return (#P - #R) / #R: negative where the prediction is too small."""
    return _ratio(counts["n_pred"] - counts["n_ref"], counts["n_ref"])


def absolute_volume_error(counts: Counts) -> float | None:
    """Return |#P - #R| / #R."""
    return _ratio(abs(counts["n_pred"] - counts["n_ref"]), counts["n_ref"])


def mcc(counts: Counts) -> float | None:
    """Return Matthews' correlation, -1 to 1; undefined when either mask is empty or everything."""
    tp, fp, fn, tn = (counts[key] for key in ("tp", "fp", "fn", "tn"))
    root = math.sqrt((tp + fp) * (tp + fn)) * math.sqrt((tn + fp) * (tn + fn))
    return (tp * tn - fp * fn) / root if root else None


def kappa(counts: Counts) -> float | None:
    """Return Cohen's (po - pe) / (1 - pe) of reference and prediction as two raters."""
    voxels = sum(counts[key] for key in ("tp", "fp", "fn", "tn"))
    absent = (voxels - counts["n_ref"]) * (voxels - counts["n_pred"])
    chance = counts["n_ref"] * counts["n_pred"] + absent
    return _ratio(voxels * (counts["tp"] + counts["tn"]) - chance, voxels * voxels - chance)


def _ratio(above: int, below: int) -> float | None:
    return above / below if below else None


FORMULAS: dict[str, Callable[[Counts], float | None]] = {
    "dice": dice,
    "iou": iou,
    "sensitivity": sensitivity,
    "precision": precision,
    "specificity": specificity,
    "vs": volume_similarity,
    "mcc": mcc,
    "kappa": kappa,
    "rve": relative_volume_error,
    "abs_rve": absolute_volume_error,
}
