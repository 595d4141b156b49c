"""Pictures of single cases for a report, from prepared arrays and validation label maps."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from autoseg.errors import AutosegError
from autoseg.evaluation.measured import read_prediction
from autoseg.plan import Plan
from autoseg.preprocessing.prepare import prepare_labels
from autoseg.preprocessing.store import open_prepared, paths_of
from autoseg.progress import Count, counted
from autoseg.report.material import Material
from autoseg.report.thumbnail import thumbnail
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)


def draw_cases(workspace: Workspace, material: Material, cases: Sequence[str]) -> dict[str, str]:
    """Return a picture (data URI) of each case that was prepared, with its prediction if any.

    A case that cannot be drawn is told in the log and left out: the rest of the report stands.
    """
    prepared = workspace.prepared(material.dataset)
    if material.plan is None:
        return {}
    folder = _prepared_for(prepared, material)
    if folder is None:
        return {}
    pictures = {}
    for case in counted(cases, Count("pictures", len(cases))):
        if not paths_of(folder, case)[1].is_file():
            continue
        try:
            prediction = prediction_of(workspace.models(material.dataset), material, case)
            pictures[case] = _draw(folder, case, prediction, material.plan)
        except AutosegError as error:
            log.warning("no picture of %s: %s", case, error)
    return pictures


def _prepared_for(prepared: Path, material: Material) -> Path | None:
    """Return the folder of the configuration that is shown, else any that was prepared."""
    assert material.plan is not None
    names = list(material.plan.configurations)
    model = material.shown
    if model is not None:
        shown = model.name
        names.sort(key=lambda name: not shown.startswith(f"{name}-"))
    return next((prepared / name for name in names if (prepared / name).is_dir()), None)


def prediction_of(models: Path, material: Material, case: str) -> Path | None:
    """Return the label map of the model that is shown, of a case it has not seen; None: none."""
    model = material.shown
    if model is None or case not in model.fold_of or model.summary is None:
        return None
    files = {scores.case: scores.prediction_file for scores in model.summary.cases}
    path = models / files[case]
    return path if files[case] and path.is_file() else None


def _draw(folder: Path, name: str, prediction: Path | None, plan: Plan) -> str:
    case = open_prepared(folder, name)
    found = None
    if prediction is not None:
        found = prepare_labels(read_prediction(prediction), case.frame, plan.labels)
    return thumbnail(
        case.image[0],
        case.labels,
        found,
        case.frame.prepared_spacing,
        upside_down=plan.axis_order[1] == 0,
    )
