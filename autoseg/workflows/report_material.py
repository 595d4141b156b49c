"""Collect what the stages have left behind of one dataset, for its report."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoseg import __version__
from autoseg.errors import CorruptError, Problem
from autoseg.evaluation.crossvalidation import finished_folds
from autoseg.evaluation.select import pool_folds
from autoseg.evaluation.tables import SUMMARY, read_summary
from autoseg.files import read_json
from autoseg.importing.statistics_tables import STATISTICS
from autoseg.members import is_member
from autoseg.plan import Plan
from autoseg.plan_file import load_plan
from autoseg.planning.folds import load_folds
from autoseg.records import from_json
from autoseg.report.material import Checked, History, Material, Model, Run
from autoseg.results import Choice, DatasetStatistics, Summary
from autoseg.workspace import Workspace


def collect(workspace: Workspace, name: str) -> Material:
    """Return whatever there is of the dataset `name`; raise CorruptError naming a damaged file."""
    prepared = workspace.prepared(name)
    plan_file, folds_file = workspace.plan(name), workspace.folds(name)
    plan = load_plan(plan_file) if plan_file.is_file() else None
    folds = load_folds(folds_file) if folds_file.is_file() else ()
    statistics, best = prepared / STATISTICS, workspace.best(name)
    choice = from_json(Choice, read_json(best), str(best)) if best.is_file() else None
    return Material(
        dataset=name,
        statistics=from_json(DatasetStatistics, read_json(statistics), str(statistics))
        if statistics.is_file()
        else None,
        checked=_checked(prepared / "check.json"),
        plan=plan,
        folds=tuple(tuple(fold.validation) for fold in folds),
        models=_models(workspace.models(name), plan),
        choice=choice,
        chosen=None if choice is None else _chosen(workspace.models(name), choice),
        facts={
            "autoseg": __version__,
            "written": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        },
    )


def _checked(path: Path) -> Checked | None:
    if not path.is_file():
        return None
    record = read_json(path)
    problems, warnings = (
        tuple(from_json(Problem, found, str(path)) for found in record.get(kind, ()))
        for kind in ("problems", "warnings")
    )
    return Checked(int(record.get("cases", 0)), problems, warnings)


def _models(folder: Path, plan: Plan | None) -> tuple[Model, ...]:
    found = [path for path in sorted(folder.glob("*")) if (path / "run").is_dir()]
    return tuple(_model(path, plan) for path in found)


def _model(folder: Path, plan: Plan | None) -> Model:
    runs = {
        path.name.removeprefix("fold_"): _run(path)
        for path in sorted((folder / "run").glob("fold_*"))
        if is_member(path.name.removeprefix("fold_"))
    }
    folds, _ = finished_folds(folder)
    fold_of = {case.case: fold for fold, summary in folds.items() for case in summary.cases}
    summary = _pooled(folder, folds, plan) if folds and plan else None
    return Model(folder.name, runs, summary, fold_of, _bundle_facts(folder / "bundle"))


def _pooled(folder: Path, folds: Mapping[str, Summary], plan: Plan) -> Summary:
    """Return the summary that autoseg_evaluate wrote, where it is of just these folds."""
    path = folder / "run" / "crossvalidation" / SUMMARY
    sources = [folder / "run" / f"fold_{fold}" / "validation" / SUMMARY for fold in folds]
    if path.is_file() and all(s.stat().st_mtime_ns <= path.stat().st_mtime_ns for s in sources):
        there = read_summary(path)
        if list(there.header.get("folds", ())) == list(folds):
            return there
    return pool_folds(folds, plan.labels, folder.name)


def _chosen(models: Path, choice: Choice) -> Summary | None:
    """Return the scores of what was chosen, where they are not those of a model as it is."""
    pair = models / "ensembles" / "+".join(choice.models) / SUMMARY
    path = models / "best" / SUMMARY if choice.rules else pair
    return read_summary(path) if path.is_file() else None


def _run(folder: Path) -> Run:
    record = _json(folder / "result.json")
    shown = ("seed", "steps", "precision")
    facts: dict[str, str] = {name: str(record[name]) for name in shown if name in record}
    if "seconds" in record:
        facts["minutes"] = f"{record['seconds'] / 60:.1f}"
    return Run(read_history(folder / "history.csv"), facts, tuple(record.get("reasons", ())))


def read_history(path: Path) -> History:
    """Return what `history.csv` of a run holds, without empty cells; nothing of a missing one."""
    if not path.is_file():
        return ()
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        return tuple(
            {name: float(cell) for name, cell in row.items() if name and cell} for row in rows
        )
    except ValueError as error:  # of a cell, or of letters that are not UTF-8
        remedy = "remove it: the curves of this fold are then left out"
        raise CorruptError(f"is damaged ({error})", place=str(path), remedy=remedy) from error


def _bundle_facts(folder: Path) -> dict[str, str]:
    card, config = _json(folder / "card.json"), _json(folder / "train.json")
    named = {"model id": card.get("model_id"), "made by autoseg": card.get("version")}
    named |= {name: config.get(name) for name in ("recipe", "optimizer", "loss", "augmentation")}
    return {name: str(value) for name, value in named.items() if value}


def _json(path: Path) -> dict[str, Any]:
    found = read_json(path) if path.is_file() else {}
    return found if isinstance(found, dict) else {}
