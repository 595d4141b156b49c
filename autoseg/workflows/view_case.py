"""The verb `report --case`: one scan with its label maps, to look through in a browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.case_files import PICTURES, ending_of, some, stem_of
from autoseg.dataset import Dataset, load_dataset
from autoseg.errors import DataError, UsageError, suggest
from autoseg.files import write_text
from autoseg.image import Geometry, Image, canonical_orientation, reorient
from autoseg.io import read_case, read_image, read_names
from autoseg.labels import Labels
from autoseg.preprocessing.units import look_at
from autoseg.report.viewer import Scene, make_scene, viewer_page
from autoseg.workflows.overlay import choose_channel, read_on
from autoseg.workflows.report_place import refuse_foreign
from autoseg.workspace import Workspace

REFERENCE = "reference"
LARGEST_LABEL = 65535


@dataclass(frozen=True)
class View:
    """What is looked at: one channel (1, Z, Y, X) of a scan, and label maps by name.

    `labels` None: targets are called by their values. `called_ct`: somebody says it is a CT.
    """

    name: str
    image: Image
    source: Path
    maps: Mapping[str, Path]
    labels: Labels | None
    called_ct: bool = False


def view_of_case(
    workspace: Workspace, dataset: str | None, case_id: str, channel: str | None = None
) -> View:
    """Return a case of a dataset in `raw/` (default: the one planned last) with its labels.

    Raises UsageError when there is no such dataset, case or channel.
    """
    data = find_dataset(workspace, dataset)
    case = {case.id: case for case in data.cases}.get(case_id)
    if case is None:
        known = [case.id for case in data.cases]
        remedy = suggest(case_id, known) if len(known) < 20 else f"there are {some(known)}"
        raise UsageError(f"no case '{case_id}'", place=str(data.folder), remedy=remedy)
    shown = choose_channel(data.channels, channel)
    image = read_case(case, len(data.channels))
    return View(
        case_id,
        Image(image.array[[shown]], image.geometry),
        case.images[0],
        {} if case.labels is None else {REFERENCE: case.labels},
        data.labels,
        data.channels[shown].casefold() == "ct",
    )


def view_of_files(image: Path, reference: Path | None = None, labels: Labels | None = None) -> View:
    """Return any scan, its first channel, with a label map; UsageError when one is not there."""
    if not image.exists():
        raise UsageError("not found", place=str(image), expected="an image")
    maps = {} if reference is None else {REFERENCE: _existing(reference)}
    read = read_image(image)
    first = Image(read.array[:1], read.geometry)
    return View(stem_of(image), first, image, maps, labels)


def find_dataset(workspace: Workspace, name: str | None) -> Dataset:
    """Return the dataset in `raw/` that is called `name`; None: the one planned last, or alone."""
    planned = workspace.planned_datasets()
    known = workspace.find_planned(name) if name is None and planned else name
    return load_dataset(workspace.raw(workspace.find_raw(known)))


def view_case(
    view: View,
    predictions: Sequence[Path] = (),
    output: Path | None = None,
    anonymous: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write a page with a scan and its label maps and return its path, by default `<case>.html`.

    `predictions` are label maps, or folders that hold one named like the case; they are called by
    the names of these, or, `anonymous`, by numbers. An earlier page is replaced. Raises UsageError
    for a prediction that does not exist or an `output` that is no page of ours, DataError for files
    that cannot be read or lie on another grid than the scan.
    """
    title = "case" if anonymous else view.name
    path = output or Path(f"{title}.html")
    if not overwrite:
        refuse_foreign(path)
    maps = maps_of(view, predictions, anonymous)
    write_text(path, viewer_page(scene_of(view, maps, title)))
    return path


def maps_of(view: View, predictions: Sequence[Path], anonymous: bool = False) -> dict[str, Path]:
    """Return the label maps of a view and, by their names, those of `predictions`; see `view_case`.

    Raises UsageError for one that does not exist.
    """
    maps = dict(view.maps)
    for number, place in enumerate(predictions, start=1):
        label_map = _label_map_in(place, view.name)
        name = f"prediction {number}" if anonymous else stem_of(Path(place.resolve().name))
        maps[f"{name} ({number})" if name in maps else name] = label_map
    return maps


def _label_map_in(place: Path, case_id: str) -> Path:
    if not place.is_dir():
        return _existing(place)
    found = {stem_of(path): path for path in sorted(place.iterdir()) if ending_of(path)}
    if case_id not in found:
        fact = f"holds no label map of {case_id}"
        raise UsageError(fact, place=str(place), expected=f"one of its name, not {some(found)}")
    return found[case_id]


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise UsageError("not found", place=str(path), expected="a label map")
    return path


def scene_of(view: View, maps: Mapping[str, Path], title: str) -> Scene:
    """Return what a viewer shows; DataError for a label map that is none, or on another grid."""
    grid, channel = view.image.geometry, view.image.array[0]
    orientation = canonical_orientation(grid.direction_matrix)
    layers = {name: orientation.apply(_label_map(grid, path)) for name, path in maps.items()}
    return make_scene(
        title,
        orientation.apply(channel),
        reorient(grid, orientation),
        layers,
        labels_of(view, maps, layers),
        hounsfield=in_hounsfield(view),
        patient=ending_of(view.source) not in PICTURES,
    )


def _label_map(grid: Geometry, path: Path) -> np.ndarray:
    array = read_on(grid, path)
    if array.min() < 0 or array.max() > LARGEST_LABEL:
        fact = f"values from {array.min()} to {array.max()}"
        raise DataError(fact, place=str(path), expected=f"a label map, 0 to {LARGEST_LABEL}")
    return array


def in_hounsfield(view: View) -> bool:
    """Tell whether the scan looks like a CT, or is called one and does not look like another."""
    units = look_at(view.image.array[0])
    return units.hounsfield or (view.called_ct and not units.contradicts)


def labels_of(view: View, maps: Mapping[str, Path], layers: Mapping[str, np.ndarray]) -> Labels:
    """Return what the label maps hold: as the dataset, or the files, call it, or values."""
    if view.labels is not None:
        return view.labels
    values = {int(value) for label_map in layers.values() for value in np.unique(label_map)}
    called = {value: name for path in maps.values() for value, name in read_names(path).items()}
    names = {value: called.get(value, str(value)) for value in sorted(values - {0})}
    if len(set(names.values())) < len(names):  # somebody's two values of one name
        names = {value: str(value) for value in names}
    return Labels({name: (value,) for value, name in names.items()})
