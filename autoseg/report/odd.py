"""Cases that deserve a look: scans unlike the others, and labels that a model contradicts.

Both are told from the middle of all cases: distances from the median in robust standard deviations
(1.4826 times the median absolute deviation), which single outliers do not widen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from autoseg.report.sizes import AXES, Sizes
from autoseg.results import REF_EMPTY, SKIPPED, CaseScores, Summary

FAR = 3.5  # robust standard deviations (Iglewicz and Hoaglin's limit for outliers)
FEWEST = 8  # values that say what is usual
LEAST_SPREAD = 0.02  # of Dice: among near-perfect cases a hundredth is no outlier
LISTED = 20
MOST = 3  # things that are told of a case


@dataclass(frozen=True)
class Odd:
    """A case to look at, and why; `distance` in robust standard deviations."""

    case: str
    why: str
    distance: float


def odd_cases(found: Sizes) -> list[Odd]:
    """Return the scans whose spacing, size or target volume lies far from the others'."""
    odd: list[Odd] = []
    for k, axis in enumerate(AXES):
        odd += _outliers({c: mm[k] for c, mm in found.spacings.items()}, f"spacing {axis}", "mm")
        shapes = {case: float(shape[k]) for case, shape in found.shapes.items()}
        odd += _outliers(shapes, f"size {axis}", "voxels")
    for name, volumes in found.volumes.items():
        odd += _outliers(volumes, f"volume of {name}", "ml")
    return _one_a_case(odd)


def doubtful_labels(summary: Summary) -> list[Odd]:
    """Return the cases whose label disagrees far more than others' with the out-of-fold model.

    The model has not seen these labels: where it agrees with all but a few, those few are wrong
    labels or hard cases. A target that is found where the label is empty counts most.
    """
    odd: list[Odd] = []
    for target in summary.mean:
        dice = {c.case: _value(c, target, "dice") for c in summary.cases}
        known = {case: value for case, value in dice.items() if value is not None}
        if len(known) < FEWEST:
            continue
        middle, spread = _middle(known.values())
        spread = max(spread, LEAST_SPREAD)
        for case in summary.cases:
            value = known.get(case.case)
            if value is None or case.metrics[target]["n_ref"].status == SKIPPED:
                continue
            distance = (middle - value) / spread
            if distance > FAR:
                odd.append(Odd(case.case, _disagreement(case, target, value, middle), distance))
    return _one_a_case(odd)


def false_alarms(summary: Summary) -> dict[str, str]:
    """Return the cases in which a target is found that their label lacks, the largest first."""
    found: dict[str, list[tuple[float, str]]] = {}
    for case in summary.cases:
        for target, metrics in case.metrics.items():
            if metrics["dice"].status == REF_EMPTY:
                found.setdefault(case.case, []).append(
                    (_value(case, target, "vol_pred_ml") or 0.0, target)
                )
    ordered = sorted(found, key=lambda case: (-sum(ml for ml, _ in found[case]), case))
    return {
        case: _first([f"{target} {ml:.3g} ml" for ml, target in sorted(of, reverse=True)], ", ")
        for case, of in ((case, found[case]) for case in ordered)
    }


def _disagreement(case: CaseScores, target: str, dice: float, usual: float) -> str:
    """Say in words how label and prediction differ."""
    ours, theirs = (_value(case, target, f"vol_{side}_ml") or 0.0 for side in ("ref", "pred"))
    if case.metrics[target]["dice"].status == REF_EMPTY or ours == 0:
        return f"{target}: not in the label, but {theirs:.3g} ml are found"
    if theirs == 0:
        return f"{target}: {ours:.3g} ml in the label, nothing is found"
    sizes = f"{ours:.3g} ml in the label, {theirs:.3g} ml found"
    told = f"{target}: Dice {dice:.3f} (usual {usual:.3f}), {sizes}"
    apart = _value(case, target, "assd")
    return told if apart is None else f"{told}, surfaces {apart:.3g} mm apart"


def _outliers(values: Mapping[str, float], what: str, unit: str) -> list[Odd]:
    """Return what lies far from the median; sizes are compared as ratios."""
    positive = {case: value for case, value in values.items() if value > 0}
    if len(positive) < FEWEST:
        return []
    logs = {case: math.log(value) for case, value in positive.items()}
    middle, spread = _middle(logs.values())
    usual = math.exp(middle)
    spread = max(spread, 0.05)  # a twentieth more or less is no oddity where all others are equal
    return [
        Odd(
            case,
            f"{what} {positive[case]:.4g} {unit} (median {usual:.4g})",
            abs(log - middle) / spread,
        )
        for case, log in logs.items()
        if abs(log - middle) / spread > FAR
    ]


def _middle(values: Iterable[float]) -> tuple[float, float]:
    """Return the median and the robust standard deviation."""
    known = list(values)
    middle = median(known)
    return middle, 1.4826 * median(abs(value - middle) for value in known)


def _one_a_case(odd: Iterable[Odd]) -> list[Odd]:
    """Return one entry for each case, the oddest first, with what is oddest about it."""
    found: dict[str, list[Odd]] = {}
    for one in sorted(odd, key=lambda o: -o.distance):
        found.setdefault(one.case, []).append(one)
    joined = [
        Odd(case, _first([o.why for o in of], "; "), of[0].distance) for case, of in found.items()
    ]
    return joined[:LISTED]


def _first(told: Sequence[str], sign: str) -> str:
    """Return the first `MOST` of some phrases, and how many more there are."""
    more = len(told) - MOST
    return sign.join([*told[:MOST], *([f"and {more} more"] if more > 0 else [])])


def _value(case: CaseScores, target: str, metric: str) -> float | None:
    found = case.metrics[target].get(metric)
    return None if found is None else found.value
