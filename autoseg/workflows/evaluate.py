"""Score two folders of label maps, or sum up the cross-validation so far."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from math import prod
from pathlib import Path

from autoseg.dataset_json import CaseEntry
from autoseg.errors import AutosegError, DataError, PartlyDone, Problem, UsageError
from autoseg.evaluation.crossvalidation import (
    CrossValidation,
    cross_validate,
    format_crossvalidation,
)
from autoseg.evaluation.grids import grid_problems, problems_of
from autoseg.evaluation.pairing import (
    Pair,
    find_declaration,
    labels_of_values,
    pair_folders,
    score_pair,
    values_found,
)
from autoseg.evaluation.score import format_table, make_header, summarise, write_summary
from autoseg.evaluation.tables import SUMMARY
from autoseg.files import write_json
from autoseg.hardware import cores
from autoseg.io import read_header
from autoseg.labels import Labels
from autoseg.parallel import map_cases
from autoseg.plan import load_plan
from autoseg.planning.folds import load_folds
from autoseg.results import CaseScores, Summary
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)

# Below this many voxels one process is done before others have started.
VOXELS_FOR_WORKERS = 300_000_000


def evaluate(
    workspace: Workspace | None = None,
    *,
    predictions: Path | None = None,
    references: Path | None = None,
    output: Path | None = None,
    dataset: str | None = None,
    nsd_tolerance: float | Mapping[str, float] | None = None,
    mode: str = "surfel",
    cases: Collection[str] | None = None,
    allow_missing: bool = False,
    ignore_geometry: bool = False,
    workers: int | None = None,
) -> Summary:
    """Score `predictions` against `references`, two folders or two files; write the summary too.

    `summary.json` and `metrics.csv` go to `output`, by default the predictions' folder. Targets are
    those of `dataset` (planned in the workspace), else of a `dataset.json` in or above the folders,
    else the values found. Without folders: the cross-validation so far, the chosen model's summary.
    Raises DataError listing everything that is wrong with the files, before any is scored;
    PartlyDone, with the files written, when a case failed or a missing one was allowed.
    """
    if predictions is None or references is None:
        if predictions or references:
            raise UsageError("one folder", expected="predictions (-p) and references (-g)")
        return _best_of(evaluate_crossvalidation(workspace or Workspace(Path()), dataset))
    pairing = pair_folders(predictions, references, cases, allow_missing)
    problems = [*pairing.problems, *grid_problems(pairing.pairs, ignore_geometry)]
    if problems:
        raise DataError(_counted(problems), place=str(predictions), problems=problems)
    if pairing.extra:
        names = ", ".join(pairing.extra[:10])
        log.warning("%d predictions have no reference: %s", len(pairing.extra), names)
    workers = _choose_workers(pairing.pairs) if workers is None else workers
    labels, pairs = _declare(pairing.pairs, predictions, references, workspace, dataset, workers)
    header = make_header(
        labels,
        nsd_tolerance,
        mode,
        predictions=str(predictions),
        references=str(references),
        extra_predictions=list(pairing.extra),
        ignore_geometry=ignore_geometry,
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    scores, failed = _score(pairs, labels, header["nsd_tolerance_mm"], mode, workers)
    summary = summarise(scores, labels, header, failed, allow_missing)
    folder = output or (predictions.parent if predictions.is_file() else predictions)
    write_summary(folder, summary)
    _raise_if_incomplete(summary, pairs, folder)
    return summary


def _declare(
    pairs: Sequence[Pair],
    predictions: Path,
    references: Path,
    workspace: Workspace | None,
    dataset: str | None,
    workers: int,
) -> tuple[Labels, tuple[Pair, ...]]:
    """Return the targets, and the pairs with what is declared about their cases."""
    declaration = find_declaration(references, predictions)
    entries = declaration.entries if declaration else {}
    known = tuple(_with_entry(pair, entries.get(pair.id)) for pair in pairs)
    if dataset is not None:
        workspace = workspace or Workspace(Path())
        return load_plan(workspace.plan(workspace.find_planned(dataset))).labels, known
    if declaration is not None:
        return declaration.labels, known
    outcomes = list(map_cases(values_found, pairs, workers=workers, title="reading values"))
    _raise_data_errors([(o.item.id, o.error) for o in outcomes if o.error], str(predictions))
    labels = labels_of_values((o.result() for o in outcomes), str(predictions))
    log.info("targets are the values found: %s", ", ".join(labels.names))
    return labels, known


def _with_entry(pair: Pair, entry: CaseEntry | None) -> Pair:
    if entry is None:
        return pair
    return replace(pair, tags=entry.tags, group=entry.group, annotated=entry.annotated)


def _score(
    pairs: Sequence[Pair],
    labels: Labels,
    tolerances: Mapping[str, float],
    mode: str,
    workers: int,
) -> tuple[list[CaseScores], dict[str, str]]:
    """Return the scores, and why the other cases failed; wrong label values are raised together."""
    function = partial(score_pair, labels=labels, tolerances=tolerances, mode=mode)
    outcomes = list(map_cases(function, pairs, workers=workers, title="evaluating"))
    wrong = [(o.item.id, o.error) for o in outcomes if isinstance(o.error, DataError)]
    _raise_data_errors(wrong, "the label maps")
    failed = {o.item.id: str(o.error) or repr(o.error) for o in outcomes if o.error}
    return [o.result() for o in outcomes if o.error is None], failed


def _raise_data_errors(errors: Sequence[tuple[str, Exception]], place: str) -> None:
    problems: list[Problem] = []
    for case, error in errors:
        if not isinstance(error, AutosegError):
            raise error
        problems += problems_of(error, case)
    if problems:
        raise DataError(_counted(problems), place=place, problems=problems)


def _raise_if_incomplete(summary: Summary, pairs: Sequence[Pair], folder: Path) -> None:
    missing = [pair.id for pair in pairs if pair.prediction is None]
    if not summary.failed and not missing:
        return
    log.info("%s", format_table(summary))
    problems = [Problem(case, reason) for case, reason in summary.failed.items()]
    problems += [Problem(case, "no prediction, counted as empty") for case in missing]
    raise PartlyDone(
        f"{len(problems)} of {len(pairs)} cases could not be scored as they should",
        place=str(folder / SUMMARY),
        problems=problems,
    )


def _choose_workers(pairs: Sequence[Pair]) -> int:
    """Return 0 (no further processes) unless there are enough voxels to pay for starting them."""
    voxels = sum(prod(read_header(pair.reference).geometry.shape) for pair in pairs)
    return cores() if voxels > VOXELS_FOR_WORKERS and cores() > 1 else 0


def _counted(problems: Sequence[Problem]) -> str:
    return f"{len(problems)} problem{'s' * (len(problems) != 1)}, nothing was scored"


def evaluate_crossvalidation(workspace: Workspace, dataset: str | None = None) -> CrossValidation:
    """Pool the validations of every trained model, choose the best, write `best.json`.

    The pooled summary of a model goes to its `run/crossvalidation/`. One finished fold is enough.
    """
    name = workspace.find_planned(dataset)
    labels = load_plan(workspace.plan(name)).labels
    path = workspace.folds(name)
    split = [fold.validation for fold in load_folds(path)] if path.is_file() else []
    models = workspace.models(name)
    result = cross_validate(name, models, labels, split)
    for model, summary in result.summaries.items():
        write_summary(models / model / "run" / "crossvalidation", summary)
    if result.choice.models:
        write_json(workspace.best(name), result.choice)
    return result


def _best_of(result: CrossValidation) -> Summary:
    log.info("%s", format_crossvalidation(result))
    return result.summaries[(*result.choice.models, *result.summaries)[0]]
