"""Collect what the stages have left behind of one dataset, for its report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

from autoseg import __version__
from autoseg.errors import AutosegError, CorruptError, Problem
from autoseg.evaluation.select import pool_folds
from autoseg.evaluation.tables import SUMMARY, read_summary
from autoseg.evaluation.trained import fold_summaries
from autoseg.files import read_json
from autoseg.fingerprint_file import FINGERPRINT, load_fingerprint
from autoseg.importing.statistics_tables import STATISTICS
from autoseg.members import is_member
from autoseg.plan import Fingerprint, Plan
from autoseg.plan_file import load_plan
from autoseg.planning.folds import load_folds
from autoseg.records import from_json
from autoseg.report.html import data_uri
from autoseg.report.material import Checked, Material, Model, Run, Unreadable
from autoseg.results import Choice, DatasetStatistics, Summary
from autoseg.workflows.report_history import read_history
from autoseg.workspace import Workspace

LONGEST = 1e9  # seconds of a training that are believed: 32 years
CHECKED, DRAWN = "check.json", 12  # pictures of misplaced targets on the page
Found = TypeVar("Found")


def collect(workspace: Workspace, name: str) -> Material:
    """Return whatever there is of the dataset `name`, and which of its files are damaged."""
    prepared, models = workspace.prepared(name), workspace.models(name)
    lost: list[Unreadable] = []
    plan = _read("Plan", workspace.plan(name), load_plan, lost)
    folds = _read("Plan", workspace.folds(name), load_folds, lost) or ()
    choice = _read("Choice", workspace.best(name), partial(_record, Choice), lost)
    return Material(
        dataset=name,
        statistics=_read("Data", prepared / STATISTICS, partial(_record, DatasetStatistics), lost),
        fingerprint=_read("Data", prepared / FINGERPRINT, _fingerprint, lost),
        checked=_read("Data", prepared / CHECKED, _checked, lost),
        plan=plan,
        folds=tuple(tuple(fold.validation) for fold in folds),
        models=_models(models, plan, lost),
        choice=choice,
        chosen=None if choice is None else _chosen(models, choice, lost),
        facts=made_by(),
        unreadable=tuple(lost),
    )


def made_by() -> dict[str, str]:
    """Return what every page says about itself: version and time."""
    written = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    return {"autoseg": __version__, "written": written}


def _read(
    chapter: str, path: Path, read: Callable[[Path], Found], lost: list[Unreadable]
) -> Found | None:
    """Return what `read` finds in a file; None where there is none, or a damaged one.

    That is added to `lost`: one spoilt file must not take the rest of the page with it.
    """
    if not path.is_file():
        return None
    try:
        return read(path)
    except AutosegError as error:
        lost.append(Unreadable(chapter, error.as_problem(str(path))))
    except OSError as error:
        lost.append(Unreadable(chapter, Problem(str(path), error.strerror or "cannot be read")))
    return None


def _record(kind: type[Found], path: Path) -> Found:
    return from_json(kind, read_json(path), str(path))


def _fingerprint(path: Path) -> Fingerprint:
    return load_fingerprint(path)[0]


def _object(path: Path) -> dict[str, Any]:
    found = read_json(path)
    if not isinstance(found, dict):
        raise CorruptError("is no record", place=str(path), expected="an object in braces")
    return found


def _checked(path: Path) -> Checked:
    record = _object(path)
    kept = {field: record[field] for field in ("cases", "problems", "warnings") if field in record}
    # `check` draws each target that seems to lie beside its organ.
    drawn = sorted((path.parent / "check").glob("*.png"))[:DRAWN]
    pictures = {unquote(picture.stem): data_uri(picture.read_bytes()) for picture in drawn}
    return from_json(Checked, {**kept, "pictures": pictures}, str(path))


def _models(folder: Path, plan: Plan | None, lost: list[Unreadable]) -> tuple[Model, ...]:
    found = [path for path in sorted(folder.glob("*")) if (path / "run").is_dir()]
    return tuple(_model(path, plan, lost) for path in found)


def _model(folder: Path, plan: Plan | None, lost: list[Unreadable]) -> Model:
    runs = {
        path.name.removeprefix("fold_"): _run(path, lost)
        for path in sorted((folder / "run").glob("fold_*"))
        if is_member(path.name.removeprefix("fold_"))
    }
    files, _ = fold_summaries(folder)
    scored = {fold: _read("Results", path, read_summary, lost) for fold, path in files.items()}
    folds = {fold: summary for fold, summary in scored.items() if summary is not None}
    fold_of = {case.case: fold for fold, summary in folds.items() for case in summary.cases}
    summary = _pooled(folder, folds, plan, lost) if folds else None
    return Model(folder.name, runs, summary, fold_of, _bundle_facts(folder / "bundle", lost))


def _pooled(
    folder: Path, folds: Mapping[str, Summary], plan: Plan | None, lost: list[Unreadable]
) -> Summary | None:
    """Return the summary that autoseg_evaluate wrote where it is of just these folds, else pool."""
    path = folder / "run" / "crossvalidation" / SUMMARY
    sources = [folder / "run" / f"fold_{fold}" / "validation" / SUMMARY for fold in folds]
    if path.is_file() and all(s.stat().st_mtime_ns <= path.stat().st_mtime_ns for s in sources):
        there = _read("Results", path, read_summary, lost)
        if there is not None and list(there.header.get("folds", ())) == list(folds):
            return there
    if plan is not None:
        try:
            return pool_folds(folds, plan.labels, folder.name)
        except AutosegError as error:  # folds that were scored in different ways
            lost.append(Unreadable("Results", error.as_problem(str(folder))))
            return None
    told = Problem(str(folder), "its folds are scored, but without a plan they are not pooled")
    lost.append(Unreadable("Results", told))
    return None


def _chosen(models: Path, choice: Choice, lost: list[Unreadable]) -> Summary | None:
    """Return the scores of what was chosen, where they are not those of a model as it is."""
    pair = models / "ensembles" / "+".join(choice.models) / SUMMARY
    path = models / "best" / SUMMARY if choice.rules else pair
    return _read("Choice", path, read_summary, lost)


def _run(folder: Path, lost: list[Unreadable]) -> Run:
    record = _read("Training", folder / "result.json", _object, lost) or {}
    shown = ("seed", "steps", "precision")
    facts: dict[str, str] = {name: str(record[name]) for name in shown if name in record}
    seconds, reasons = record.get("seconds"), record.get("reasons")
    if isinstance(seconds, int | float) and 0 <= seconds <= LONGEST:
        facts["minutes"] = f"{seconds / 60:.1f}"
    history = _read("Training", folder / "history.csv", read_history, lost) or ()
    return Run(history, facts, tuple(map(str, reasons)) if isinstance(reasons, list) else ())


def _bundle_facts(folder: Path, lost: list[Unreadable]) -> dict[str, str]:
    card, config = (
        _read("Manifest", folder / file, _object, lost) or {}
        for file in ("card.json", "train.json")
    )
    named = {"model id": card.get("model_id"), "made by autoseg": card.get("version")}
    named |= {name: config.get(name) for name in ("recipe", "optimizer", "loss", "augmentation")}
    return {name: str(value) for name, value in named.items() if value}
