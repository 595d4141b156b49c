"""The verb `report`: everything that exists so far of a dataset, on one page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from autoseg.errors import UsageError
from autoseg.files import write_text
from autoseg.report.anonymous import anonymise
from autoseg.report.cases import to_draw, to_look_through
from autoseg.report.document import build_page
from autoseg.workflows.report_material import collect
from autoseg.workflows.report_pictures import draw_cases
from autoseg.workflows.report_place import refuse_foreign
from autoseg.workflows.report_scenes import make_scenes
from autoseg.workspace import Workspace

PAGE, ANONYMOUS_PAGE = "report.html", "report-anonymous.html"


def report(
    workspace: Workspace,
    dataset: str | None = None,
    *,
    output: Path | None = None,
    anonymous: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write one self-contained page of what exists so far and return its path.

    By default `models/<NAME>/report.html`, before any training `prepared/<NAME>/report.html`; an
    earlier report there is replaced. `anonymous`: without names of cases and patients, and paths,
    by default beside the other as `report-anonymous.html`.
    Raises UsageError when there is no such dataset, or `output` is a file that is not a report.
    """
    name = _find(workspace, dataset)
    material = collect(workspace, name)
    material = replace(
        material,
        overlays=draw_cases(workspace, material, to_draw(material)),
        scenes=make_scenes(workspace, material, to_look_through(material)),
    )
    if anonymous:
        material = anonymise(material)
    trained = any(model.runs for model in material.models)
    folder = workspace.models(name) if trained else workspace.prepared(name)
    path = output or folder / (ANONYMOUS_PAGE if anonymous else PAGE)
    if not overwrite:
        refuse_foreign(path)
    write_text(path, build_page(material))
    return path


def _find(workspace: Workspace, dataset: str | None) -> str:
    """Return the planned dataset that is meant, else one that has been measured or checked."""
    try:
        return workspace.find_planned(dataset)
    except UsageError:
        if not workspace.raw_datasets():
            raise
        return workspace.find_raw(dataset)
