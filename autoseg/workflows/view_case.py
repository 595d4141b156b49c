"""The verb `report --case`: one scan with its label maps, to look through in a browser."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from autoseg.case_files import CHANNEL_NAME, PICTURES, ending_of, some, stem_of
from autoseg.errors import DataError, UsageError
from autoseg.files import write_text
from autoseg.image import Geometry, canonical_orientation, reorient
from autoseg.io import read_names
from autoseg.labels import Labels
from autoseg.report.scene import Scene, make_scene
from autoseg.report.viewer import viewer_page
from autoseg.workflows.overlay import read_on
from autoseg.workflows.report_place import refuse_foreign
from autoseg.workflows.view import View, existing, in_hounsfield

log = logging.getLogger(__name__)

LARGEST_LABEL = 65535
MOST_UNKNOWN = 64  # values: more are no label map of the dataset


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
    that cannot be read, lie on another grid than the scan, or are no label maps.
    """
    title = "case" if anonymous else view.name
    path = output or Path(f"{title}.html")
    if not overwrite:
        refuse_foreign(path)
    scene = scene_of(view, maps_of(view, predictions, anonymous), title)
    if scene.shape != scene.whole:
        shown, whole = ("x".join(map(str, shape)) for shape in (scene.shape, scene.whole))
        log.info("shown are %s of %s voxels, so that a browser can open the page", shown, whole)
    write_text(path, viewer_page(scene))
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
    """Return a label map, or that of the case in a folder: of a scan's name without its channel."""
    if not place.is_dir():
        return existing(place)
    found = {stem_of(path): path for path in sorted(place.iterdir()) if ending_of(path)}
    channel = CHANNEL_NAME.fullmatch(case_id)
    for name in (case_id, *([channel[1]] if channel else [])):
        if name in found:
            return found[name]
    fact = f"holds no label map of {case_id}"
    expected = f"one of its name, not {some(found)}" if found else "a folder of label maps"
    raise UsageError(fact, place=str(place), expected=expected)


def scene_of(view: View, maps: Mapping[str, Path], title: str) -> Scene:
    """Return what a viewer shows; DataError for a label map that is none, or on another grid."""
    grid = view.image.geometry
    orientation = canonical_orientation(grid.direction_matrix)
    layers = {name: orientation.apply(each) for name, each in layers_of(grid, maps).items()}
    named = dict(zip(view.channels, view.image.array, strict=True))
    return make_scene(
        title,
        {name: orientation.apply(channel) for name, channel in named.items()},
        reorient(grid, orientation),
        layers,
        labels_of(view, maps, layers),
        hounsfield=[name for index, name in enumerate(named) if in_hounsfield(view, index)],
        patient=ending_of(view.source) not in PICTURES,
    )


def layers_of(grid: Geometry, maps: Mapping[str, Path]) -> dict[str, np.ndarray]:
    """Return label maps (Z, Y, X) by name; DataError for one that is none, or on another grid."""
    return {name: _label_map(grid, path) for name, path in maps.items()}


def _label_map(grid: Geometry, path: Path) -> np.ndarray:
    array = read_on(grid, path)
    if array.min() < 0 or array.max() > LARGEST_LABEL:
        fact = f"values from {array.min()} to {array.max()}"
        raise DataError(fact, place=str(path), expected=f"a label map, 0 to {LARGEST_LABEL}")
    return array


def labels_of(view: View, maps: Mapping[str, Path], layers: Mapping[str, np.ndarray]) -> Labels:
    """Return what the label maps hold: as the dataset, or the files, call it, or values.

    Values that the dataset does not know are told in the log and become targets, `value 7`. Raises
    DataError when they are so many that the file is no label map of it.
    """
    if view.labels is not None:
        return _with_unknown(view, view.labels, maps, layers)
    values = {value for label_map in layers.values() for value in _values(label_map)}
    called = {value: name for path in maps.values() for value, name in read_names(path).items()}
    names = {value: called.get(value, str(value)) for value in sorted(values - {0})}
    if len(set(names.values())) < len(names):  # somebody's two values of one name
        names = {value: str(value) for value in names}
    return Labels({name: (value,) for value, name in names.items()})


def _with_unknown(
    view: View, labels: Labels, maps: Mapping[str, Path], layers: Mapping[str, np.ndarray]
) -> Labels:
    known = {0, labels.ignore}.union(*labels.targets.values())
    targets = dict(labels.targets)
    for name, label_map in layers.items():
        unknown = sorted(_values(label_map) - known)
        if not unknown:
            continue
        whose = view.dataset or "the dataset"
        fact = f"holds {some(map(str, unknown))}, values that {whose} does not know"
        if len(unknown) > MOST_UNKNOWN:
            expected = f"a label map of {', '.join(labels.targets)}"
            raise DataError(fact, place=str(maps[name]), expected=expected)
        log.warning("%s %s: shown as targets of their own", maps[name], fact)
        targets |= {f"value {value}": (value,) for value in unknown}
    return replace(labels, targets=targets)


def _values(label_map: np.ndarray) -> set[int]:
    """Return the values of a label map (Z, Y, X) of integers from 0."""
    found = (np.flatnonzero(np.bincount(part.ravel())).tolist() for part in label_map)
    return set().union(*found)
