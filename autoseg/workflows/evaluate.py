"""Score two folders of label maps, or sum up the cross-validation so far."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from autoseg.errors import DataError, PartlyDone, Problem, UsageError
from autoseg.evaluation.choice_text import format_crossvalidation
from autoseg.evaluation.compat import (
    count_both_empty_as_one,
)
from autoseg.evaluation.crossvalidation import CrossValidation
from autoseg.evaluation.export_npz import (
    check_exportable,
)
from autoseg.evaluation.faults import inspect_pair
from autoseg.evaluation.grids import problems_of
from autoseg.evaluation.optional import OptionalGroups
from autoseg.evaluation.pair import Pair
from autoseg.evaluation.pairing import score_pair
from autoseg.evaluation.score import format_table, make_header, summarise, write_summary
from autoseg.evaluation.tables import SUMMARY
from autoseg.evaluation.targets import find_preset, preset_tolerances
from autoseg.files import sha256
from autoseg.labels import Labels
from autoseg.parallel import map_cases
from autoseg.records import fingerprint_of
from autoseg.results import CaseScores, Summary
from autoseg.workflows.crossvalidate import evaluate_crossvalidation
from autoseg.workflows.evaluate_extras import Extras, check_extras, older_numbers, write_extras
from autoseg.workflows.evaluate_inputs import (
    Inputs,
    Places,
    choose_workers,
    collect_inputs,
    everything_wrong,
    output_folder,
)
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)


def evaluate(
    workspace: Workspace | None = None,
    *,
    predictions: Path | None = None,
    references: Path | None = None,
    output: Path | None = None,
    dataset: str | None = None,
    targets: Labels | None = None,
    preset: str | None = None,
    nsd_tolerance: float | Mapping[str, float] | None = None,
    mode: str = "surfel",
    cases: Collection[str] | None = None,
    prediction_map: Mapping[int, int] | None = None,
    reference_map: Mapping[int, int] | None = None,
    allow_missing: bool = False,
    ignore_geometry: bool = False,
    extras: Extras | None = None,
    overwrite: bool = False,
    workers: int | None = None,
) -> Summary:
    """Score `predictions` against `references`; write `summary.json` and `metrics.csv`.

    Both are folders, or files, or patterns such as `runs/{case}/seg.nii.gz`. Targets are `targets`,
    else those of `preset`, of `dataset` (planned in the workspace), of a `dataset.json` in or above
    the folders, else the values found. `prediction_map` and `reference_map` say what values of the
    files stand for. The output is by default the predictions' folder; the summary of other folders
    in it is replaced only with `overwrite`.
    Without folders: the cross-validation so far, the chosen model's summary.
    Raises DataError listing everything that is wrong with the files, with nothing written;
    PartlyDone, with the files written, when a case failed or a missing one was allowed.
    """
    if predictions is None or references is None:
        if predictions or references:
            raise UsageError("one folder", expected="predictions (-p) and references (-g)")
        return _best_of(evaluate_crossvalidation(workspace or Workspace(Path()), dataset))
    extras = extras or Extras()
    places = Places(
        predictions, references, cases, allow_missing, ignore_geometry,
        prediction_map or {}, reference_map or {},
    )  # fmt: skip
    folder = output_folder(places, output, overwrite)
    check_extras(extras, places, overwrite)
    chosen = find_preset(preset) if preset else None
    if chosen and chosen.targets:
        if targets:
            raise UsageError(f"preset '{preset}' has targets of its own", remedy="give one of both")
        targets = Labels(chosen.targets)
    if chosen:
        log.info("preset %s: %s", preset, chosen.note)
    inputs = collect_inputs(places, targets, workspace, dataset, workers)
    labels = inputs.labels
    if extras.export_npz:
        check_exportable(labels)
    if chosen and not isinstance(nsd_tolerance, int | float):
        nsd_tolerance = preset_tolerances(chosen, labels) | dict(nsd_tolerance or {})
    header = make_header(labels, nsd_tolerance, mode, **_more(places, inputs, preset, extras))
    workers = choose_workers(inputs.pairs, workers)
    scores, failed = _score(inputs, header["nsd_tolerance_mm"], mode, workers, extras.optional)
    if extras.both_empty == "one":
        scores = [count_both_empty_as_one(case) for case in scores]
    if extras.compat and (allow_missing or not failed):  # else there are no means at all
        header["compat"] = older_numbers(extras.compat, scores, inputs, workers)
    summary = summarise(scores, labels, header, failed, allow_missing)
    write_summary(folder, summary)
    problems = write_extras(extras, folder, summary, inputs, places, workers)
    log.info("written: %s and metrics.csv", folder / SUMMARY)
    _raise_if_incomplete(summary, inputs.pairs, folder, problems)
    return summary


def _more(places: Places, inputs: Inputs, preset: str | None, extras: Extras) -> dict[str, Any]:
    """Return what else the header says about where numbers come from."""
    maps = {"predictions": places.prediction_map, "references": places.reference_map}
    return {
        **places.header(),
        "inputs_sha256": _hash_inputs(inputs.pairs),
        "targets_source": f"preset {preset}" if preset else inputs.targets_source,
        "preset_note": find_preset(preset).note if preset else "",
        "label_maps": {side: changes for side, changes in maps.items() if changes},
        "both_empty": extras.both_empty,
        **extras.optional.header(),
        "extra_predictions": list(inputs.extra),
        "ignore_geometry": places.ignore_geometry,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _hash_inputs(pairs: Sequence[Pair]) -> str:
    """Return a hash of the files' bytes and of the names of cases, the same on every computer."""
    files = {
        pair.id: [sha256(file) if file else "" for file in (pair.reference, pair.prediction)]
        for pair in pairs
    }
    return fingerprint_of(files)


def _score(
    inputs: Inputs,
    tolerances: Mapping[str, float],
    mode: str,
    workers: int,
    optional: OptionalGroups,
) -> tuple[list[CaseScores], dict[str, str]]:
    """Return the scores, and why other cases failed; what is wrong with files is raised at once."""
    function = partial(
        score_pair, labels=inputs.labels, tolerances=tolerances, mode=mode, optional=optional
    )
    outcomes = list(map_cases(function, inputs.pairs, workers=workers, title="evaluating"))
    problems: list[Problem] = []
    for outcome in outcomes:
        if isinstance(outcome.error, DataError):
            # Scoring stops at the first of the two files; both are looked at here.
            every = inspect_pair(outcome.item, inputs.labels).problems
            problems += every or problems_of(outcome.error, outcome.item.id)
    if problems:
        raise everything_wrong(problems, "the label maps")
    failed = {o.item.id: str(o.error) or repr(o.error) for o in outcomes if o.error}
    return [o.result() for o in outcomes if o.error is None], {**inputs.failed, **failed}


def _raise_if_incomplete(
    summary: Summary, pairs: Sequence[Pair], folder: Path, unwritten: Sequence[Problem]
) -> None:
    missing = [pair.id for pair in pairs if pair.prediction is None]
    if not summary.failed and not missing and not unwritten:
        return
    log.info("%s", format_table(summary))
    problems = [Problem(case, reason) for case, reason in summary.failed.items()]
    problems += unwritten
    problems += [Problem(case, "no prediction, counted as empty") for case in missing]
    raise PartlyDone(
        f"{len(problems)} of {len(summary.cases) + len(summary.failed)} cases are not as they "
        "should be",
        place=str(folder / SUMMARY),
        problems=problems,
    )


def _best_of(result: CrossValidation) -> Summary:
    log.info("%s", format_crossvalidation(result))
    return result.final or result.chosen
