"""What an evaluation writes besides `summary.json` and `metrics.csv`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from autoseg.errors import Problem, UsageError
from autoseg.evaluation.compat import (
    check_compat,
    compat_scores,
    needs_slices,
    slice_sums,
)
from autoseg.evaluation.export_npz import (
    npz_rows,
    refuse_foreign_export,
    write_export,
)
from autoseg.evaluation.nnunet_view import FILE, nnunet_summary
from autoseg.evaluation.optional import OptionalGroups
from autoseg.evaluation.pair import Pair
from autoseg.files import write_json
from autoseg.parallel import map_cases
from autoseg.results import CaseScores, Summary
from autoseg.workflows.evaluate_inputs import (
    Inputs,
    Places,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Extras:
    """What is wanted besides `summary.json` and `metrics.csv`."""

    both_empty: str = "null"  # or "one": a target that is in neither mask counts as perfect
    compat: Sequence[str] = ()  # numbers as older reports have them: evaluation/compat.py
    export_npz: Path | None = None  # folder for distorch's files
    nnunet_summary: bool = False  # nnunet_summary.json beside the summary
    # Lesions, topology, calibration.
    optional: OptionalGroups = field(default_factory=OptionalGroups)


def check_extras(extras: Extras, places: Places, overwrite: bool) -> None:
    """Raise UsageError for what cannot be had, or stands where another export would go."""
    check_compat(extras.compat)
    if extras.both_empty not in ("null", "one"):
        raise UsageError(f"both_empty is '{extras.both_empty}'", expected="null or one")
    if extras.export_npz and not overwrite:
        refuse_foreign_export(extras.export_npz, line_of(places))


def older_numbers(
    names: Sequence[str], scores: Sequence[CaseScores], inputs: Inputs, workers: int
) -> dict[str, Any]:
    """Return the numbers that `--compat` asks for: {name: ...}, without those that failed."""
    slices: list[Any] = []
    if needs_slices(names):
        pairs = _scored(inputs.pairs, scores)
        function = partial(slice_sums, labels=inputs.labels)
        outcomes = list(map_cases(function, pairs, workers=workers, title="counting slices"))
        slices = [outcome.result() for outcome in outcomes if not outcome.error]
        if len(slices) < len(outcomes):
            why = next(f"{o.item.id}: {o.error}" for o in outcomes if o.error)
            log.warning("--compat: no numbers of slices, they could not be counted (%s)", why)
            names = [name for name in names if not needs_slices([name])]
    return compat_scores(names, scores, slices)


def write_extras(
    extras: Extras, folder: Path, summary: Summary, inputs: Inputs, places: Places, workers: int
) -> list[Problem]:
    """Write the other files that are wanted; return which cases are not in them, and why."""
    problems: list[Problem] = []
    if extras.nnunet_summary and summary.mean:
        write_json(folder / FILE, nnunet_summary(summary, inputs.labels))
        log.info("written: %s", folder / FILE)
    if extras.export_npz and summary.cases:
        pairs = _scored(inputs.pairs, summary.cases)
        function = partial(npz_rows, labels=inputs.labels)
        outcomes = list(map_cases(function, pairs, workers=workers, title="exporting"))
        rows = {outcome.item.id: outcome.result() for outcome in outcomes if not outcome.error}
        problems = [Problem(o.item.id, f"not exported: {o.error}") for o in outcomes if o.error]
        write_export(extras.export_npz, rows, inputs.labels, line_of(places))
        log.info("written: %s", extras.export_npz)
    return problems


def _scored(pairs: Sequence[Pair], scores: Sequence[CaseScores]) -> list[Pair]:
    done = {case.case for case in scores}
    return [pair for pair in pairs if pair.id in done]


def line_of(places: Places) -> str:
    """Return the line of an export's notes that says whose it is."""
    return "{predictions} against {references}".format(**places.header())
