"""Calibration of probabilities around a target: expected calibration error, Brier score, NLL.

Naeini et al., AAAI 2015 (ECE); Brier, Monthly Weather Review 1950.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_edt

from autoseg import probabilities as saved
from autoseg.errors import DataError
from autoseg.evaluation.label_maps import LabelMap, grown_box, target_box
from autoseg.labels import Labels
from autoseg.results import BOTH_EMPTY, Value

CALIBRATION_METRICS = ("ece", "brier", "nll")

MARGIN_MM = 10.0  # around reference and prediction; in the whole image background swamps all else
BINS = 15
SMALLEST = 1e-7  # probability, for a finite logarithm
_ROUNDING = 1e-3  # float16 probabilities


def measure_calibration(
    probabilities: np.ndarray,
    reference: LabelMap,
    prediction: LabelMap,
    labels: Labels,
    target: str,
    spacing: Sequence[float],
) -> dict[str, Value]:
    """Return `CALIBRATION_METRICS` within 10 mm of the target in reference or prediction.

    `probabilities` (channels, Z, Y, X), 0 to 1, as `labels.channels`. Exclusive targets: all
    channels, the true one is that of the reference's value. Overlapping targets: the target's own
    channel against its complement. Voxels that the reference marks as ignored do not count.
    """
    box = target_box(reference, prediction, labels, target)
    if box is None:
        return dict.fromkeys(CALIBRATION_METRICS, Value(None, BOTH_EMPTY))
    reach = [int(np.ceil(MARGIN_MM / step)) for step in spacing]
    box = grown_box(box, reach, reference.array.shape)
    ours, theirs = reference.array[box], prediction.array[box]
    either = labels.mask(ours, target) | labels.mask(theirs, target)
    near = distance_transform_edt(~either, sampling=spacing) <= MARGIN_MM
    if labels.ignore is not None:
        near &= ours != labels.ignore
    if not near.any():
        return dict.fromkeys(CALIBRATION_METRICS, Value(None, BOTH_EMPTY))
    chosen = probabilities[(slice(None), *box)][:, near].astype(np.float64)
    if labels.exclusive:
        truth = labels.channel_of_value[labels.encode(ours[near])]
    else:
        own = chosen[labels.names.index(target)]
        chosen, truth = np.stack([1 - own, own]), labels.mask(ours[near], target).astype(np.intp)
    scores = (
        expected_calibration_error(chosen, truth), brier_score(chosen, truth),
        negative_log_likelihood(chosen, truth),
    )  # fmt: skip
    return {key: Value(score) for key, score in zip(CALIBRATION_METRICS, scores, strict=True)}


def expected_calibration_error(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Return the sum over 15 bins of confidence of n_b / N * |accuracy - confidence|.

    `probabilities` (C, N), `truth` (N,) the true class. Confidence is the probability of the class
    chosen; bins are [l, u), the last one closed.
    """
    confidence = probabilities.max(axis=0)
    right = probabilities.argmax(axis=0) == truth
    edges = np.arange(1, BINS) / BINS
    bins = np.searchsorted(edges, confidence, side="right")
    gaps = np.bincount(bins, right - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(truth))


def brier_score(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean over voxels of the squared error summed over classes, 0 to 2."""
    wanted = np.arange(len(probabilities))[:, None] == truth
    return float(((probabilities - wanted) ** 2).sum(axis=0).mean())


def negative_log_likelihood(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean of -log of the true class's probability, which counts as 1e-7 at least."""
    true = probabilities[truth, np.arange(len(truth))]
    return float(-np.log(np.maximum(true, SMALLEST)).mean())


def check_probabilities(
    probabilities: np.ndarray, shape: tuple[int, ...], labels: Labels, place: str
) -> None:
    """Raise DataError unless these are probabilities of all channels on the reference's grid."""
    expected = (labels.channels, *shape)
    if probabilities.shape != expected:
        raise DataError(
            f"probabilities of shape {probabilities.shape}",
            place=place,
            expected=f"{expected}: channels{' with background' * labels.exclusive}, Z, Y, X",
        )
    low, high = float(probabilities.min()), float(probabilities.max())
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):  # also where one is NaN
        raise DataError(
            f"values from {low:.4g} to {high:.4g}", place=place, expected="probabilities, 0 to 1"
        )


def read_probabilities(folder: Path, case: str, labels: Labels) -> np.ndarray:
    """Return the probabilities (channels, Z, Y, X) in `<case>.npz`, as autoseg or nnU-Net saves.

    autoseg keeps the box where background is not certain, and what each channel stands for; they
    are returned in the order of `labels`. nnU-Net keeps a member `probabilities` alone.
    """
    path = folder / f"{case}.npz"
    if not path.is_file():
        raise DataError("no probabilities of this case", place=str(path))
    with np.load(path, allow_pickle=False) as members:
        if "probabilities" not in members:
            raise DataError(
                f"holds {', '.join(members) or 'nothing'}",
                place=str(path),
                expected="a member 'probabilities' (channels, Z, Y, X)",
            )
        if "box" not in members:
            return members["probabilities"]
    ours = saved.read_probabilities(path)
    if sorted(ours.values) != sorted(labels.written.tolist()):
        shown = ", ".join(f"{n} ({v})" for n, v in zip(ours.channels, ours.values, strict=True))
        expected = ", ".join(map(str, labels.written.tolist()))
        raise DataError(f"probabilities of {shown}", place=str(path), expected=f"of {expected}")
    order = [ours.values.index(value) for value in labels.written.tolist()]
    whole = ours.whole()
    return whole if order == sorted(order) else whole[order]
