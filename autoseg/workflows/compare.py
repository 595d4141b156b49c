"""Compare two or more models, or folders of predictions, that were scored on the same cases."""

from __future__ import annotations

import logging
import string
from collections.abc import Mapping, Sequence
from pathlib import Path

from autoseg.errors import DataError, UsageError, suggest
from autoseg.evaluation.comparison import TESTED, Comparison, compare_summaries
from autoseg.evaluation.comparison_tables import format_comparison
from autoseg.evaluation.select import pool_folds
from autoseg.evaluation.tables import METRICS_TABLE, SUMMARY, read_summary
from autoseg.evaluation.trained import finished_folds
from autoseg.files import read_json, write_json, write_text
from autoseg.plan_file import load_plan
from autoseg.results import Summary
from autoseg.workspace import Workspace

__all__ = ["compare", "format_comparison"]

log = logging.getLogger(__name__)

COMPARISON, COMPARISON_TABLE = "comparison.json", "comparison.md"


def compare(
    models: Sequence[str | Path],
    workspace: Workspace | None = None,
    *,
    dataset: str | None = None,
    output: Path | None = None,
    metrics: Sequence[str] = TESTED,
    tuned: bool = False,
    overwrite: bool = False,
) -> Comparison:
    """Compare models on the cases that all of them were scored on; write the comparison too.

    Each of `models` is a folder with the `summary.json` of an evaluation, or the name of a trained
    model of `dataset` (`3d_fullres-M`), whose finished folds are pooled; or of what the
    cross-validation left: a pair (`2d-M+3d_fullres-M`), and `best`. `comparison.json` and
    `comparison.md` go to `output`, by default the current folder. `tuned`: one of them was chosen
    on these cases, so no p value is given. Raises UsageError when `output` holds another
    comparison and `overwrite` is not set.
    """
    if len(models) < 2:
        raise UsageError("nothing to compare with", expected="two folders or models, or more")
    workspace = workspace or Workspace(Path())
    names = [_name(i) for i in range(len(models))]
    found = [_find(str(model), workspace, dataset) for model in models]
    sources = {name: source for name, (_, source) in zip(names, found, strict=True)}
    folder = output or Path()
    if not overwrite:
        _refuse_other_comparison(folder / COMPARISON, sources)
    summaries = {name: summary for name, (summary, _) in zip(names, found, strict=True)}
    comparison = compare_summaries(summaries, sources, metrics, tuned)
    write_text(folder / COMPARISON_TABLE, format_comparison(comparison, "markdown") + "\n")
    write_json(folder / COMPARISON, comparison)
    log.info("written: %s and %s", folder / COMPARISON, COMPARISON_TABLE)
    return comparison


def _refuse_other_comparison(path: Path, sources: Mapping[str, str]) -> None:
    if not path.is_file():
        return
    record = read_json(path)
    there = record.get("models") if isinstance(record, dict) else None
    if there != sources:
        names = ", ".join(there.values()) if isinstance(there, dict) else "something else"
        raise UsageError(
            f"holds the comparison of {names}",
            place=str(path),
            remedy="choose another folder with -o, or give --overwrite",
        )


def _name(index: int) -> str:
    """Return A to Z, then M27, M28, ..."""
    letters = string.ascii_uppercase
    return letters[index] if index < len(letters) else f"M{index + 1}"


def _find(model: str, workspace: Workspace, dataset: str | None) -> tuple[Summary, str]:
    """Return the summary that `model` names, and where it lies."""
    path = Path(model)
    file = path / SUMMARY if path.is_dir() else path
    if file.is_file():
        return read_summary(file), str(path)
    if path.is_dir() and not (path / "run").is_dir():
        remedy = "run autoseg_evaluate -p FOLDER -g LABELS first"
        if (path / METRICS_TABLE).is_file():
            remedy = f"{METRICS_TABLE} alone does not tell mode and tolerances: evaluate again"
        raise DataError(f"has no {SUMMARY}", place=model, remedy=remedy)
    if path.is_dir():
        dataset, own = path.resolve().parent.name, Workspace(path.resolve().parents[2])
        there = own.plan(dataset).is_file()
        return _pool(path, own if there else workspace, dataset), model
    return _find_trained(model, workspace, dataset)


def _find_trained(model: str, workspace: Workspace, dataset: str | None) -> tuple[Summary, str]:
    try:
        name = workspace.find_planned(dataset)
    except UsageError as error:
        fact = f"'{model}' is neither a folder nor a model: {error.fact}"
        raise UsageError(fact, place=error.place, remedy=error.remedy) from error
    folder = workspace.models(name)
    known = {path.parent.name: path.parent for path in folder.glob("*/run")}
    # What autoseg_evaluate scored on the same cases: pairs, and the chosen model with its rules.
    known |= {path.parent.name: path for path in folder.glob(f"ensembles/*/{SUMMARY}")}
    known |= {path.parent.name: path for path in folder.glob(f"best/{SUMMARY}")}
    if model not in known:
        fact = f"'{model}' is neither a folder nor a trained model"
        raise UsageError(fact, place=str(folder), remedy=suggest(model, known))
    place = known[model]
    summary = read_summary(place) if place.is_file() else _pool(place, workspace, name)
    return summary, f"{name} {model}"


def _pool(model: Path, workspace: Workspace, dataset: str) -> Summary:
    """Return the out-of-fold scores of a model's finished folds as one summary."""
    folds, _ = finished_folds(model)
    if not folds:
        raise UsageError("no fold has been validated yet", place=str(model))
    labels = load_plan(workspace.plan(dataset)).labels
    return pool_folds(folds, labels, model.name)
