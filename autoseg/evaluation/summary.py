"""From the scores of cases to their means: plain and penalised, always with their number."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from autoseg.evaluation.metrics import DISTANCES, METRICS, SCORES
from autoseg.labels import Labels
from autoseg.results import (
    MISSING_PRED,
    PRED_EMPTY,
    REF_EMPTY,
    CaseScores,
    Mean,
    Summary,
)

log = logging.getLogger(__name__)

UNTAGGED = ""  # the group of the cases without a tag
MISSES = (REF_EMPTY, PRED_EMPTY, MISSING_PRED)  # why a distance is null though there is something


def summarise(
    scores: Iterable[CaseScores],
    labels: Labels,
    header: Mapping[str, Any] | None = None,
    failed: Mapping[str, str] | None = None,
    allow_missing: bool = False,
) -> Summary:
    """Return the summary of cases, each of which is scored once.

    `header`: `make_header(labels, ...)`. With `failed` cases (id -> why) there are no means, unless
    `allow_missing`: a mean over the cases that happened to work would flatter.
    """
    cases = tuple(sorted(scores, key=lambda case: case.case))
    failed = dict(failed or {})
    complete = not failed
    header = {**(header or {}), "complete": complete, "dim": sorted({case.dim for case in cases})}
    _warn_of_fine_tolerance(cases, header)
    if not complete and not allow_missing:
        return Summary(cases, {}, {}, header, (), failed)
    mean = _means(cases, labels.names)
    absent = tuple(name for name in labels.names if not occurs(cases, name))
    return Summary(
        cases, mean, foreground_mean(mean, absent), header, absent, failed,
        {tag: _means(group, labels.names) for tag, group in groups(cases).items()},
    )  # fmt: skip


def groups(cases: Sequence[CaseScores]) -> dict[str, tuple[CaseScores, ...]]:
    """Return the cases of each tag, those without first, under ""; empty when none has one."""
    tags = sorted({tag for case in cases for tag in case.tags})
    if not tags:
        return {}
    untagged = tuple(case for case in cases if not case.tags)
    first = {UNTAGGED: untagged} if untagged else {}
    return first | {tag: tuple(case for case in cases if tag in case.tags) for tag in tags}


def occurs(cases: Iterable[CaseScores], target: str) -> bool:
    """Tell whether the reference of any case holds a voxel of `target`."""
    return any(case.metrics[target]["n_ref"].value for case in cases)


def mean_over_cases(cases: Sequence[CaseScores], target: str, metric: str) -> Mean:
    """Return the mean of one metric of one target over cases.

    Null values do not enter. In the penalised mean a missed distance counts as the diagonal of its
    image (the largest distance possible there); a missed Dice or NSD is 0 in both.
    """
    found = [case.metrics[target][metric] for case in cases]
    values = [value.value for value in found if value.value is not None]
    diagonals = [
        case.diagonal_mm
        for case, value in zip(cases, found, strict=True)
        if value.value is None and value.status in MISSES
    ]
    penalised = values + (diagonals if metric in DISTANCES else [])
    return Mean(
        mean=float(np.mean(values)) if values else None,
        n=len(values),
        of=len(cases),
        penalised=float(np.mean(penalised)) if penalised and metric in SCORES else None,
        median=float(np.median(values)) if values else None,
        std=float(np.std(values, ddof=1)) if len(values) > 1 else None,
        statuses=dict(sorted(Counter(value.status for value in found).items())),
    )


def foreground_mean(
    mean: Mapping[str, Mapping[str, Mean]], absent: Sequence[str]
) -> dict[str, Mean]:
    """Return for each score the mean of the targets' means; `n` and `of` count targets.

    Targets without any reference are left out: no headline that is not a number.
    """
    present = [target for target in mean if target not in absent]
    result = {}
    for metric in SCORES:
        means = [mean[target][metric] for target in present]
        plain = [entry.mean for entry in means if entry.mean is not None]
        worst = [entry.penalised for entry in means if entry.penalised is not None]
        result[metric] = Mean(
            mean=float(np.mean(plain)) if plain else None,
            n=len(plain),
            of=len(present),
            penalised=float(np.mean(worst)) if worst else None,
        )
    return result


def _means(cases: Sequence[CaseScores], targets: Sequence[str]) -> dict[str, Mapping[str, Mean]]:
    return {
        target: {metric: mean_over_cases(cases, target, metric) for metric in METRICS}
        for target in targets
    }


def _warn_of_fine_tolerance(cases: Sequence[CaseScores], header: Mapping[str, Any]) -> None:
    tolerances = header.get("nsd_tolerance_mm")
    if not isinstance(tolerances, Mapping) or not cases:
        return
    # In a flat image the thickness of the slice takes no part in any distance; it is the first axis
    # of everything that was read from a file.
    largest = max(max(case.spacing[1:] if case.dim == 2 else case.spacing) for case in cases)
    fine = [name for name, tolerance in tolerances.items() if tolerance < largest / 2]
    if fine:
        log.warning(
            "NSD tolerance of %s is below half of the largest spacing (%.3g mm): the voxel grid "
            "decides its value; declare nsd_tolerance_mm in dataset.json",
            ", ".join(fine),
            largest,
        )
