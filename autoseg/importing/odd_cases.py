"""Cases that are unlike the others: targets that they lack, voxel sizes that nobody else has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from autoseg.case_files import some
from autoseg.dataset import Case
from autoseg.errors import Problem, number_of
from autoseg.labels import Labels

EXPECTED = 0.8  # of the cases have a target that the others are said to miss
NO_SPACING = (1.0, 1.0, 1.0)  # mm, what a lost header becomes
ODD_FACTOR = 2.0  # between a voxel size and the median, at least
ODD_DEVIATIONS = 6.0  # median absolute deviations of the logarithms, where sizes differ anyway

Values = Mapping[int, int]  # label value -> voxels, of one case


def find_no_foreground(values: Sequence[Values], labels: Labels) -> list[Problem]:
    """Return a problem when no label map of the dataset holds any target."""
    if any(_targets_in(one, labels) for one in values):
        return []
    return [Problem("labelsTr", "no voxel of any label map is labelled", "at least one target")]


def find_never_seen(
    cases: Sequence[Case], values: Sequence[Values], labels: Labels
) -> list[Problem]:
    """Return warnings about targets that occur in no case, and cases without any target."""
    seen = {value for one in values for value in one}
    unknown = [name for name in labels.names if not any(_is_annotated(c, name) for c in cases)]
    unseen = [
        f"'{name}' (value {', '.join(map(str, numbers))})"
        for name, numbers in labels.targets.items()
        if name not in unknown and not seen.intersection(numbers)
    ]
    warnings = []
    for name in unknown:
        fact = f"'{name}' is annotated in no case: it cannot be learnt"
        remedy = "remove it from labels, or add it to the annotated targets of a case"
        warnings.append(Problem("dataset.json", fact, remedy=remedy))
    if unseen:  # of a hundred structures often half: one line
        one = len(unseen) == 1
        fact = f"{', '.join(unseen)} occur{'s' * one} in no case"
        remedy = f"remove {'it' if one else 'them'} from labels"
        warnings.append(Problem("dataset.json", fact, remedy=remedy))
    empty = [
        case.id
        for case, one in zip(cases, values, strict=True)
        if not _targets_in(one, labels) and "control" not in case.tags
    ]
    if empty:
        fact = f"{number_of(len(empty), 'case')} with background only: {some(empty)}"
        warnings.append(Problem("labelsTr", fact, remedy='if so intended, tag them "control"'))
    return warnings


def find_missing(
    cases: Sequence[Case], values: Sequence[Values], labels: Labels
) -> dict[str, tuple[str, ...]]:
    """Return, for each target that four of five cases have, the ids of the cases that lack it.

    Cases where it is not annotated, controls, and cases without any target do not count.
    """
    missing = {}
    for name, numbers in labels.targets.items():
        has = {
            case.id: any(number in one for number in numbers)
            for case, one in zip(cases, values, strict=True)
            if _is_annotated(case, name) and "control" not in case.tags and _targets_in(one, labels)
        }
        lacking = tuple(case for case, there in has.items() if not there)
        if lacking and len(has) - len(lacking) >= EXPECTED * len(has):
            missing[name] = lacking
    return missing


def tell_missing(missing: Mapping[str, Sequence[str]]) -> list[Problem]:
    """Return a warning for each target that some cases lack."""
    remedy = "if it is not annotated there, say so in cases.<case>.annotated of dataset.json"
    return [
        Problem("labelsTr", f"'{name}' is missing in {some(cases)}", "in every case", remedy)
        for name, cases in missing.items()
    ]


def find_odd_spacing(
    places: Sequence[str], spacings: Sequence[tuple[float, float, float]]
) -> list[Problem]:
    """Return warnings about voxel sizes (mm, canonical Z, Y, X) that few other images have."""
    if len(spacings) < 3:
        return []
    logs = np.log(spacings)
    middle = np.median(logs, axis=0)
    away = np.abs(logs - middle)
    allowed = np.maximum(np.log(ODD_FACTOR), ODD_DEVIATIONS * np.median(away, axis=0))
    usual = _numbers(np.exp(middle))
    without = np.array([spacing == NO_SPACING for spacing in spacings])
    lost = without.sum() < len(spacings) / 2
    warnings = []
    for place, spacing, header_lost, far in zip(
        places, spacings, without & lost, (away > allowed).any(axis=1), strict=True
    ):
        if header_lost or far:
            remedy = "was its header lost?" if header_lost else "right, or in other units?"
            found = f"voxels of {_numbers(spacing)} mm"
            warnings.append(Problem(place, found, f"about {usual}, the median", remedy))
    return warnings


def _numbers(values: Sequence[float] | np.ndarray) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"


def _is_annotated(case: Case, target: str) -> bool:
    return case.annotated is None or target in case.annotated


def _targets_in(values: Values, labels: Labels) -> set[int]:
    """Return the values of a label map that are neither background nor ignored."""
    return set(values) - {0, labels.ignore}
