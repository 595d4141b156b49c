"""From the scores of cases to what is said about all of them: means, intervals, worst cases."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from autoseg.evaluation.agreement import volume_agreement
from autoseg.evaluation.means import (
    foreground_mean,
    means_of_targets,
    means_within_cases,
    value_of,
)
from autoseg.evaluation.statistics import RESAMPLES, SEED, Draws, draw_patients
from autoseg.labels import Labels
from autoseg.results import SKIPPED, CaseScores, Summary

log = logging.getLogger(__name__)

UNTAGGED = ""  # the group of the cases without a tag
WORST = 5  # cases that are named for each target


def summarise(
    scores: Iterable[CaseScores],
    labels: Labels,
    header: Mapping[str, Any] | None = None,
    failed: Mapping[str, str] | None = None,
    allow_missing: bool = False,
    intervals: bool = True,
) -> Summary:
    """Return the summary of cases, each of which is scored once.

    `header`: `make_header(labels, ...)`. With `failed` cases (id -> why) there are no means, unless
    `allow_missing`: a mean over the cases that happened to work would flatter. `intervals=False`
    leaves the bootstrap out, for searches that need the means alone.
    """
    cases = tuple(sorted(scores, key=lambda case: case.case))
    failed = dict(failed or {})
    complete = not failed
    header = {**(header or {}), "complete": complete, "dim": sorted({case.dim for case in cases})}
    _warn_of_fine_tolerance(cases, header)
    if not complete and not allow_missing:
        return Summary(cases, {}, {}, header, (), failed)
    if intervals:
        header["ci95"] = {
            "method": "bootstrap over patients; percentile, from 20 patients BCa",
            "resamples": RESAMPLES,
            "seed": SEED,
            "patients": len(set(patients_of(cases))),
        }
    draws = _draw(cases, intervals)
    mean = means_of_targets(cases, labels.names, draws)
    absent = tuple(name for name in labels.names if not occurs(cases, name))
    present = [name for name in labels.names if name not in absent]
    agreement = {name: volume_agreement(cases, name) for name in labels.names}
    return Summary(
        cases,
        mean,
        foreground_mean(mean, absent),
        header,
        absent,
        failed,
        by_tag={
            tag: means_of_targets(group, labels.names, _draw(group, intervals))
            for tag, group in groups(cases).items()
        },
        case_mean=means_within_cases(cases, present, draws),
        agreement={name: found for name, found in agreement.items() if found},
    )


def patients_of(cases: Iterable[CaseScores]) -> list[str]:
    """Return the patient of each case: its group, or the case itself."""
    return [case.group or case.case for case in cases]


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


def judged(cases: Iterable[CaseScores], target: str) -> list[CaseScores]:
    """Return the cases in which `target` was annotated: only there absence means anything."""
    return [case for case in cases if value_of(case, target, "n_ref").status != SKIPPED]


def worst_cases(cases: Iterable[CaseScores], target: str, number: int = WORST) -> list[CaseScores]:
    """Return the cases of the lowest Dice of `target`, the worst first."""
    scored = [(value_of(case, target, "dice").value, case) for case in cases]
    known = [(dice, case) for dice, case in scored if dice is not None]
    return [case for _, case in sorted(known, key=lambda pair: (pair[0], pair[1].case))[:number]]


def _draw(cases: Sequence[CaseScores], intervals: bool) -> Draws | None:
    return draw_patients(patients_of(cases)) if intervals and cases else None


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
