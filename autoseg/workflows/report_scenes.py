"""Viewers of a few cases inside a report: scan, label and prediction, around what is labelled."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from autoseg.case_files import PICTURES, ending_of, some
from autoseg.errors import AutosegError
from autoseg.image import canonical_orientation, reorient
from autoseg.progress import Count, counted
from autoseg.report.excerpt import excerpt
from autoseg.report.material import Material
from autoseg.report.scene import Scene, make_scene
from autoseg.workflows.overlay import read_on
from autoseg.workflows.report_pictures import prediction_of
from autoseg.workflows.view import in_hounsfield, view_of_case
from autoseg.workflows.view_case import labels_of
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)

VOXELS = 1_500_000  # at most: about 1 MB in the page


def make_scenes(workspace: Workspace, material: Material, cases: Sequence[str]) -> dict[str, Scene]:
    """Return a scene of each case whose scan is in `raw/`; one that cannot be read is left out."""
    if not (workspace.raw(material.dataset) / "dataset.json").is_file():
        return {}
    scenes: dict[str, Scene] = {}
    lost: dict[str, list[str]] = {}  # why -> cases: what ails the dataset, ails all of them
    for case in counted(cases, Count("scans", len(cases))):
        try:
            scenes[case] = _scene(workspace, material, case)
        except AutosegError as error:
            lost.setdefault(str(error.as_problem(case)), []).append(case)
    for why, cases_lost in lost.items():
        log.warning("no viewer of %s: %s", some(cases_lost), why)
    return scenes


def _scene(workspace: Workspace, material: Material, case: str) -> Scene:
    view = view_of_case(workspace, material.dataset, case)
    prediction = prediction_of(workspace.models(material.dataset), material, case)
    maps = {**view.maps, **({"prediction": prediction} if prediction else {})}
    grid = view.image.geometry
    orientation = canonical_orientation(grid.direction_matrix)
    layers = {name: orientation.apply(read_on(grid, path)) for name, path in maps.items()}
    image, layers, left = excerpt(
        orientation.apply(view.image.array[0]), layers, reorient(grid, orientation)
    )
    return make_scene(
        case,
        {"": image},
        left,
        layers,
        labels_of(view, maps, layers),
        hounsfield=[""] if in_hounsfield(view) else (),
        patient=ending_of(view.source) not in PICTURES,
        voxels=VOXELS,
    )
