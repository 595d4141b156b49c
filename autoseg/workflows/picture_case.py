"""The verbs `report --mesh`, `--gif` and `--sheet`: surfaces and slices of one case as files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from autoseg.errors import UsageError
from autoseg.image import Geometry, canonical_orientation, reorient
from autoseg.report.figures import WINDOW_PERCENTILES
from autoseg.report.mesh import write_meshes
from autoseg.report.scene import CT_WINDOWS
from autoseg.report.slices import PLANES, Scan, write_gif, write_sheet
from autoseg.workflows.report_place import refuse_foreign
from autoseg.workflows.view import View, find_dataset, in_hounsfield
from autoseg.workflows.view_case import labels_of, layers_of, maps_of
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)

MOST_OUTLINED = 2  # label maps whose outlines can be told apart
MOST_PICTURES = 400  # on a sheet


def first_case(workspace: Workspace, dataset: str | None) -> str:
    """Return the case that is drawn when none is named: the first with labels, or of all."""
    data = find_dataset(workspace, dataset)
    labelled = [case for case in data.cases if case.labels is not None]
    case = (labelled or data.cases)[0]
    log.info("%s: drawn is %s, the first case; --case names another", data.folder.name, case.id)
    return case.id


def mesh_case(
    view: View,
    predictions: Sequence[Path] = (),
    output: Path | None = None,
    anonymous: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write a page that turns the surfaces of a case, by default `<case>-mesh.html`; see `maps_of`.

    Raises UsageError for an `output` that is no page of ours or a flat picture, DataError when no
    label map has a target or one lies on another grid, ResourceError without scikit-image or
    Plotly.
    """
    title = _title(view, anonymous)
    path = output or Path(f"{title}-mesh.html")
    if not overwrite:
        refuse_foreign(path)
    maps = maps_of(view, predictions, anonymous)
    if not maps:
        raise UsageError("no label map to show", remedy="--pred FILE, or a case with labels")
    grid = view.image.geometry
    if 1 in grid.shape:
        fact, remedy = "a flat picture has no surfaces", "--sheet 1x1 draws outlines on its scan"
        raise UsageError(fact, place=str(view.source), remedy=remedy)
    layers = layers_of(grid, maps)
    write_meshes(path, title, layers, grid, labels_of(view, maps, layers))
    return path


def gif_case(
    view: View,
    plane: str,
    predictions: Sequence[Path] = (),
    output: Path | None = None,
    anonymous: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write an animation through `plane`, by default `<case>-<plane>.gif`; see `_draw`."""
    path = output or Path(f"{_title(view, anonymous)}-{plane}.gif")
    maps = maps_of(view, predictions, anonymous)

    def write(scan: Scan) -> None:
        if scan.image.shape[PLANES[plane]] == 1:
            remedy = f"--sheet 1x1 --plane {plane} draws it"
            raise UsageError("an animation of one slice", place=str(view.source), remedy=remedy)
        write_gif(path, scan, plane)

    return _draw(view, maps, path, ".gif", plane, overwrite, write)


def sheet_case(
    view: View,
    plane: str | None,
    form: str,
    predictions: Sequence[Path] = (),
    output: Path | None = None,
    anonymous: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write a sheet of `form` ("4x4": rows, columns) slices, by default `<case>-<plane>.png`.

    `plane` None: the axial one, or that in which a flat picture lies; see `_draw`.
    """
    rows, columns = _parse_form(form)
    shape = _shape(view.image.geometry)
    plane = plane or next((name for name, axis in PLANES.items() if shape[axis] == 1), "axial")
    path = output or Path(f"{_title(view, anonymous)}-{plane}.png")
    maps = maps_of(view, predictions, anonymous)

    def write(scan: Scan) -> None:
        write_sheet(path, scan, plane, rows, columns)

    return _draw(view, maps, path, ".png", plane, overwrite, write)


def _title(view: View, anonymous: bool) -> str:
    return "case" if anonymous else view.name


def _draw(
    view: View,
    maps: Mapping[str, Path],
    path: Path,
    ending: str,
    plane: str,
    overwrite: bool,
    write: Callable[[Scan], None],
) -> Path:
    """Hand the scan in canonical orientation, with one or two label maps, to `write`.

    Raises UsageError for a file that is there, of another type, a third label map, or a flat
    picture that would be seen on edge.
    """
    if path.suffix.lower() != ending:
        raise UsageError(
            f"'{path.suffix}'", place=str(path), expected=f"a name that ends in {ending}"
        )
    if path.exists() and not overwrite:
        remedy = "choose another place with -o, or give --overwrite"
        raise UsageError("is there already", place=str(path), remedy=remedy)
    if len(maps) > MOST_OUTLINED:
        fact, expected = f"outlines of {len(maps)} label maps", f"at most {MOST_OUTLINED}"
        raise UsageError(fact, expected=expected, remedy="one picture for each prediction")
    grid, channel = view.image.geometry, view.image.array[0]
    turn = canonical_orientation(grid.direction_matrix)
    _refuse_edge(_shape(grid), plane, view.source)
    layers = {name: turn.apply(each) for name, each in layers_of(grid, maps).items()}
    window = CT_WINDOWS["soft tissue"]
    if not in_hounsfield(view):
        low, high = np.percentile(channel, WINDOW_PERCENTILES)
        window = float(low), float(high)
    spacing = reorient(grid, turn).spacing
    write(Scan(turn.apply(channel), spacing, layers, labels_of(view, maps, layers), window))
    return path


def _shape(grid: Geometry) -> tuple[int, int, int]:
    """Return the shape in canonical orientation."""
    return reorient(grid, canonical_orientation(grid.direction_matrix)).shape


def _refuse_edge(shape: tuple[int, ...], plane: str, source: Path) -> None:
    flat = [name for name, axis in PLANES.items() if shape[axis] == 1]
    if flat and plane not in flat:
        fact = f"a flat picture has no {plane} slices"
        raise UsageError(fact, place=str(source), expected=" or ".join(flat))


def _parse_form(form: str) -> tuple[int, int]:
    rows, _, columns = form.lower().partition("x")
    if not (rows.isdecimal() and columns.isdecimal()):
        raise UsageError(f"--sheet {form}", expected='rows and columns, such as "4x4"')
    if not 1 <= int(rows) * int(columns) <= MOST_PICTURES:
        raise UsageError(f"--sheet {form}", expected=f"1 to {MOST_PICTURES} slices")
    return int(rows), int(columns)
