"""Lesion-wise scores: connected components, matched one to one; detection and panoptic quality.

Panoptic quality: Kirillov et al., CVPR 2019. The presets follow the scripts of two challenges:
BraTS 2023 (Saluja et al.) and autoPET (Gatidis et al.).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation, generate_binary_structure, label
from scipy.optimize import linear_sum_assignment

from autoseg.errors import UsageError, suggest
from autoseg.evaluation.metrics import hd95, status_of
from autoseg.evaluation.overlap import count_voxels, dice
from autoseg.evaluation.surface import measure_surfaces
from autoseg.results import OK, UNDEFINED, Value

LESION_COUNTS = (
    "lesion_n_ref", "lesion_n_pred", "lesion_tp", "lesion_fp", "lesion_fn", "lesion_small_ref",
    "lesion_small_pred",
)  # fmt: skip
LESION_METRICS = (
    "lesion_f1", "lesion_sensitivity", "lesion_precision", "lesion_sq", "lesion_rq", "lesion_pq",
    "lesion_fp_volume_ml", "lesion_fn_volume_ml", *LESION_COUNTS,
)  # fmt: skip
BRATS_METRICS = ("lesion_brats_dice", "lesion_brats_hd95")
LESION_PRESETS = ("brats", "autopet")

BRATS_MISS_MM = 374.0  # what BraTS counts for the HD95 of a lesion missed or invented
_AUTOPET_CONNECTIVITY = 2  # 18 neighbours, in 2-D all 8


@dataclass(frozen=True)
class LesionRules:
    """What counts as a lesion, and as found."""

    min_volume_mm3: float = 0.0  # smaller components are dropped on both sides, and counted
    detection_iou: float = 0.0  # for F1 a match has a larger IoU than this: any overlap
    panoptic_iou: float = 0.5  # for SQ, RQ and PQ: above 0.5 no other match is possible
    preset: str = ""  # "brats": adds its scores; "autopet": its volumes of false components
    brats_dilation: int = 3  # voxels; 1 for the tasks MEN-RT and MET
    brats_volume_mm3: float = 50.0  # reference lesions up to this are not judged; 2 for MET

    def __post_init__(self) -> None:
        if self.preset and self.preset not in LESION_PRESETS:
            remedy = suggest(self.preset, LESION_PRESETS)
            raise UsageError(f"unknown lesion preset '{self.preset}'", remedy=remedy)
        if not 0 <= self.min_volume_mm3 < math.inf:
            raise UsageError(f"lesions of {self.min_volume_mm3} mm3", expected="0 mm3 or more")

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of all values that these rules give."""
        return LESION_METRICS + (BRATS_METRICS if self.preset == "brats" else ())


def measure_lesions(
    reference: np.ndarray, prediction: np.ndarray, spacing: Sequence[float], rules: LesionRules
) -> dict[str, Value]:
    """Return the lesion metrics of two boolean masks (Z, Y, X) or (Y, X); `spacing` in mm.

    Lesions are components of 26 (in 2-D 8) neighbours. Matching is one to one with the largest
    total IoU: of a lesion predicted in pieces, one piece matches and the others are false. Values
    are null where there is nothing to divide by; their status is that of the two sets of lesions.
    """
    voxel_mm3 = math.prod(spacing)
    ours, our_sizes, our_small = components(reference, rules.min_volume_mm3 / voxel_mm3)
    theirs, their_sizes, their_small = components(prediction, rules.min_volume_mm3 / voxel_mm3)
    iou = _overlaps(ours, our_sizes, theirs, their_sizes)
    detected, detections = match(iou, rules.detection_iou)
    panoptic = match(iou, rules.panoptic_iou)
    tp, quality = len(detected), float(iou[panoptic].sum())
    n_ref, n_pred = len(our_sizes), len(their_sizes)
    scores: dict[str, float | None] = {
        "lesion_f1": _ratio(2 * tp, n_ref + n_pred),
        "lesion_sensitivity": _ratio(tp, n_ref),
        "lesion_precision": _ratio(tp, n_pred),
        "lesion_sq": _ratio(quality, len(panoptic[0])),
        "lesion_rq": _ratio(2 * len(panoptic[0]), n_ref + n_pred),
        "lesion_pq": _ratio(2 * quality, n_ref + n_pred),
        "lesion_fp_volume_ml": float(np.delete(their_sizes, detections).sum()) * voxel_mm3 / 1000,
        "lesion_fn_volume_ml": float(np.delete(our_sizes, detected).sum()) * voxel_mm3 / 1000,
        "lesion_n_ref": n_ref,
        "lesion_n_pred": n_pred,
        "lesion_tp": tp,
        "lesion_fp": n_pred - tp,
        "lesion_fn": n_ref - tp,
        "lesion_small_ref": our_small,
        "lesion_small_pred": their_small,
    }
    if rules.preset == "autopet":
        scores |= _autopet(reference, prediction, voxel_mm3)
    if rules.preset == "brats":
        scores |= _brats(reference, prediction, spacing, rules)
    status = status_of({"n_ref": n_ref, "n_pred": n_pred})
    return {key: _value(key, scores[key], status) for key in rules.metrics}


def components(
    mask: np.ndarray, min_voxels: float = 0.0, connectivity: int | None = None
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return components numbered from 1 (as `mask`), their sizes in voxels (n,), how many dropped.

    Components smaller than `min_voxels` become background. `connectivity`: as SciPy counts it,
    None: all neighbours.
    """
    structure = generate_binary_structure(mask.ndim, connectivity or mask.ndim)
    found, number = label(mask, structure)
    sizes = np.bincount(found.ravel(), minlength=number + 1)[1:]
    kept = sizes >= min_voxels
    if not kept.all():
        numbers = np.zeros(number + 1, dtype=found.dtype)
        numbers[1:][kept] = np.arange(1, kept.sum() + 1)
        found = numbers[found]
    return found, sizes[kept], int(number - kept.sum())


def match(iou: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns that are matched: one to one, each above `threshold`, and of all
    such matchings the one with the largest total IoU (Hungarian algorithm)."""
    allowed = np.where(iou > threshold, iou, 0.0)
    rows, columns = linear_sum_assignment(allowed, maximize=True)
    real = allowed[rows, columns] > 0
    return rows[real], columns[real]


def _overlaps(
    ours: np.ndarray, our_sizes: np.ndarray, theirs: np.ndarray, their_sizes: np.ndarray
) -> np.ndarray:
    """Return the IoU (n, m) of every component with every other."""
    n, m = len(our_sizes), len(their_sizes)
    both = (ours > 0) & (theirs > 0)
    pairs = (ours[both].astype(np.int64) - 1) * m + theirs[both] - 1
    shared = np.bincount(pairs, minlength=n * m).reshape(n, m)
    return shared / (our_sizes[:, None] + their_sizes[None] - shared)


def _ratio(above: float, below: int) -> float | None:
    return above / below if below else None


def _value(key: str, value: float | None, status: str) -> Value:
    if key in LESION_COUNTS or key.endswith("_ml"):
        return Value(value)
    return Value(value, UNDEFINED if value is None and status == OK else status)


# --- presets -------------------------------------------------------------------------------------


def _autopet(
    reference: np.ndarray, prediction: np.ndarray, voxel_mm3: float
) -> Mapping[str, float]:
    """Return the volume of components (18 neighbours) that do not touch the other mask, ml."""
    volumes = {}
    sides = {"lesion_fp_volume_ml": (prediction, reference),
             "lesion_fn_volume_ml": (reference, prediction)}  # fmt: skip
    for key, (mask, other) in sides.items():
        found, sizes, _ = components(mask, 0.0, min(_AUTOPET_CONNECTIVITY, mask.ndim))
        touched = np.unique(found[other])
        alone = np.delete(sizes, touched[touched > 0] - 1)
        volumes[key] = float(alone.sum()) * voxel_mm3 / 1000
    return volumes


def _brats(
    reference: np.ndarray, prediction: np.ndarray, spacing: Sequence[float], rules: LesionRules
) -> Mapping[str, float]:
    """Return the lesion-wise Dice and HD95 (mm) of BraTS 2023; perfect where there is no lesion.

    Reference lesions whose dilations touch are one. All predicted components that the dilation of a
    lesion touches are compared with it together; those that none touches are false.
    """
    # Dilation may leave the box of the masks: lesions can grow together outside of it.
    reference, prediction = (np.pad(mask, rules.brats_dilation) for mask in (reference, prediction))
    structure = generate_binary_structure(reference.ndim, min(2, reference.ndim))
    grown = binary_dilation(reference, structure, rules.brats_dilation)
    lesions = components(grown)[0] * reference
    predicted, sizes, _ = components(prediction)
    touched: set[int] = set()
    scores = []
    for number in range(1, int(lesions.max(initial=0)) + 1):
        lesion = lesions == number
        near = np.unique(predicted[binary_dilation(lesion, structure, rules.brats_dilation)])
        near = near[near > 0]
        touched.update(near.tolist())
        if np.count_nonzero(lesion) * math.prod(spacing) > rules.brats_volume_mm3:
            scores.append(_brats_lesion(lesion, np.isin(predicted, near), spacing))
    scores += [(0.0, BRATS_MISS_MM)] * (len(sizes) - len(touched))
    mean = np.mean(scores, axis=0) if scores else (1.0, 0.0)
    return dict(zip(BRATS_METRICS, map(float, mean), strict=True))


def _brats_lesion(
    lesion: np.ndarray, found: np.ndarray, spacing: Sequence[float]
) -> tuple[float, float]:
    if not found.any():
        return 0.0, BRATS_MISS_MM
    surfaces = measure_surfaces(lesion, found, spacing)
    return dice(count_voxels(lesion, found)) or 0.0, hd95(surfaces)
