"""Numbers as older reports give them: none is the standard definition, and each says so.

For comparison with such reports only. The standard: every metric per case and target, a target
empty in both not counted, then the mean over cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autoseg.errors import UsageError, suggest
from autoseg.evaluation.label_maps import load_label_map, target_masks
from autoseg.evaluation.metrics import DISTANCES
from autoseg.evaluation.pair import Pair, read_prediction, read_reference
from autoseg.labels import Labels
from autoseg.results import BOTH_EMPTY, CaseScores, Value

POOLED, WITH_ORGAN, EMPTY_IS_ONE = "pooled", "slices-with-organ", "empty-is-one"
MEANINGS = {
    POOLED: "the voxels of all cases counted together: large cases weigh more",
    WITH_ORGAN: "pooled over slices (Z) whose reference holds the target, other false positives "
    "are not seen; a target that no reference holds counts as 1",
    EMPTY_IS_ONE: "mean over all slices (Z) of all cases, a slice empty in both counts as 1: "
    "predicting nothing scores high",
}
SHOWN_TARGETS = 8  # of more, the screen has only the mean
NOT_STANDARD = "not the standard definition"
PERFECT = {"dice": 1.0, "iou": 1.0, "nsd": 1.0, **dict.fromkeys(DISTANCES, 0.0)}


@dataclass(frozen=True)
class SliceSums:
    """What the slices of one case (or of several) give for one target."""

    tp: int = 0  # these three: voxels in slices whose reference holds the target
    n_ref: int = 0
    n_pred: int = 0
    dice: float = 0.0  # summed over all slices
    iou: float = 0.0
    slices: int = 0


def check_compat(names: Iterable[str]) -> None:
    """Raise UsageError naming the near one for a name that is no compatibility mode."""
    for name in names:
        if name not in MEANINGS:
            raise UsageError(f"unknown mode '{name}'", remedy=suggest(name, MEANINGS))


def count_both_empty_as_one(case: CaseScores) -> CaseScores:
    """Return the scores with Dice, IoU, NSD 1 and distances 0 where a target is in neither mask.

    As KiTS, FLARE and BraTS count. The status stays `both_empty`.
    """
    metrics = {
        target: {
            key: Value(PERFECT[key], value.status)
            if value.status == BOTH_EMPTY and key in PERFECT
            else value
            for key, value in values.items()
        }
        for target, values in case.metrics.items()
    }
    return replace(case, metrics=metrics)


def needs_slices(names: Iterable[str]) -> bool:
    """Tell whether one of these modes looks at slices, so that the files must be read again."""
    return bool({WITH_ORGAN, EMPTY_IS_ONE} & set(names))


def slice_sums(pair: Pair, labels: Labels) -> dict[str, SliceSums]:
    """Return the sums over the slices (first axis) of a pair, of each target annotated there."""
    reference = read_reference(pair).array[0]
    prediction = read_prediction(pair)
    if prediction is None:
        prediction = np.zeros(reference.shape, np.uint8)
    ours = load_label_map(reference, str(pair.reference))
    theirs = load_label_map(prediction, str(pair.prediction))
    sums = {}
    for target in labels.names:
        if pair.annotated is None or target in pair.annotated:
            masks = target_masks(ours, theirs, labels, target)
            sums[target] = _sums(*masks, reference.shape[0])
    return sums


def _sums(reference: np.ndarray, prediction: np.ndarray, slices: int) -> SliceSums:
    """Return the sums of two masks that are cut to their box, in a volume of so many slices."""
    n_ref, n_pred, tp = (
        np.count_nonzero(mask, axis=(1, 2))
        for mask in (reference, prediction, reference & prediction)
    )
    size, union = n_ref + n_pred, n_ref + n_pred - tp
    empty = slices - np.count_nonzero(size)  # here and outside of the box
    held, some = n_ref > 0, size > 0
    return SliceSums(
        int(tp[held].sum()),
        int(n_ref[held].sum()),
        int(n_pred[held].sum()),
        float((2 * tp[some] / size[some]).sum()) + empty,
        float((tp[some] / union[some]).sum()) + empty,
        slices,
    )


def compat_scores(
    names: Sequence[str],
    cases: Sequence[CaseScores],
    slices: Sequence[Mapping[str, SliceSums]] = (),
) -> dict[str, Any]:
    """Return for the header Dice and IoU of each target, and their mean, in each mode asked for."""
    targets = list(cases[0].metrics) if cases else []
    scores = {}
    for name in names:
        dice, iou = {}, {}
        for target in targets:
            if name == POOLED:
                sums = [_counts(case.metrics[target]) for case in cases]
            else:
                sums = [entry[target] for entry in slices if target in entry]
            dice[target], iou[target] = _scores(name, _total(sums))
        means = [_mean(values) for values in (dice, iou)]
        scores[name] = {
            "definition": MEANINGS[name],
            "standard": False,
            "dice": dice,
            "iou": iou,
            "mean": {"dice": means[0], "iou": means[1]},
        }
    return scores


def _counts(values: Mapping[str, Value]) -> SliceSums:
    tp, n_ref, n_pred = (int(values[key].value or 0) for key in ("tp", "n_ref", "n_pred"))
    return SliceSums(tp, n_ref, n_pred)


def _total(sums: Sequence[SliceSums]) -> SliceSums:
    names = SliceSums.__dataclass_fields__
    return SliceSums(**{name: sum(getattr(entry, name) for entry in sums) for name in names})


def _scores(name: str, total: SliceSums) -> tuple[float | None, float | None]:
    if name == EMPTY_IS_ONE:
        return (
            (total.dice / total.slices, total.iou / total.slices) if total.slices else (None,) * 2
        )
    size = total.n_ref + total.n_pred
    if not size:
        return (1.0, 1.0) if name == WITH_ORGAN else (None, None)
    return 2 * total.tp / size, total.tp / (size - total.tp)


def _mean(values: Mapping[str, float | None]) -> float | None:
    known = [value for value in values.values() if value is not None]
    return sum(known) / len(known) if known else None


def format_compat(header: Mapping[str, Any]) -> list[str]:
    """Return lines for below the table: what is in it or beside it that is not the standard."""
    lines = []
    if header.get("ignore_geometry"):
        lines.append("headers ignored (--ignore-geometry): arrays, with the references' spacing")
    if header.get("both_empty") == "one":
        lines.append(f"both empty counts as 1 (--both-empty one): {NOT_STANDARD}")
    for name, scores in (header.get("compat") or {}).items():
        lines.append(f"--compat {name}, {NOT_STANDARD}: {scores['definition']}")
        for metric, title in (("dice", "Dice"), ("iou", "IoU")):
            means = {"mean": scores["mean"][metric]} if len(scores[metric]) > 1 else {}
            few = len(scores[metric]) <= SHOWN_TARGETS
            shown = {**scores[metric], **means} if few else means
            numbers = "  ".join(f"{target} {_number(value)}" for target, value in shown.items())
            lines.append(f"  {title}: {numbers}")
    return lines


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
