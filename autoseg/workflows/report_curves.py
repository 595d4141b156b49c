"""The verb `report --curves`: loss and Dice of one training on a page to print."""

from __future__ import annotations

import logging
from pathlib import Path

from autoseg.case_files import some
from autoseg.errors import DataError, UsageError
from autoseg.members import is_member
from autoseg.report.figures import draw_curves
from autoseg.workflows.report_history import read_history
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)

ENDINGS = (".pdf", ".png")


def report_curves(
    workspace: Workspace,
    dataset: str | None = None,
    *,
    fold: str | None = None,
    model: str | None = None,
    output: Path | None = None,
    anonymous: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write a page, PDF or PNG, with the curves of a run, and return its path.

    By default `models/<NAME>/curves.pdf`, of the run that was trained last; earlier curves there
    are replaced. `anonymous`: without the name of the dataset, `curves-anonymous.pdf`. Raises
    UsageError when there is no such run, or `output` is there already or of another type; DataError
    for a history that is empty.
    """
    planned = workspace.planned_datasets()
    name = workspace.find_planned(dataset) if planned else workspace.find_raw(dataset)
    history = _find(workspace.models(name), model, fold)
    path = output or workspace.models(name) / (
        "curves-anonymous.pdf" if anonymous else "curves.pdf"
    )
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"'{path.suffix}'", place=str(path), expected=" or ".join(ENDINGS))
    if output and path.exists() and not overwrite:
        remedy = "choose another place with -o, or give --overwrite"
        raise UsageError("is there already", place=str(path), remedy=remedy)
    rows = read_history(history)
    if not rows:
        raise DataError("no epoch is finished", place=str(history))
    of_model, of_fold = history.parents[2].name, history.parent.name.replace("_", " ")
    title = f"{of_model}, {of_fold}" if anonymous else f"{name}, {of_model}, {of_fold}"
    log.info("curves of %s, %d epochs", title, len(rows))
    draw_curves(rows, path, title)
    return path


def _find(models: Path, model: str | None, fold: str | None) -> Path:
    """Return the `history.csv` that was written last among those that are meant."""
    known = [
        path
        for path in models.glob("*/run/fold_*/history.csv")
        if is_member(path.parent.name.removeprefix("fold_"))
    ]
    meant = [
        path
        for path in known
        if model in (None, path.parents[2].name) and fold in (None, path.parent.name[5:])
    ]
    if meant:
        return max(meant, key=lambda path: path.stat().st_mtime_ns)
    runs = [
        f"{path.parents[2].name}, {path.parent.name.replace('_', ' ')}" for path in sorted(known)
    ]
    remedy = f"there are {some(runs)}" if runs else "run autoseg_train first"
    raise UsageError("no such training", place=str(models), remedy=remedy)
