"""What the previous stage of a cascade predicted, as value indices on the prepared grid.

<folder>/<case>.npz    indices (z, y, x), value indices
<folder>/<case>.json   `PreviousMap`: which weights it came from; written after the `.npz`
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.errors import CorruptError, DataError
from autoseg.files import read_json, write_atomically, write_json
from autoseg.labels import Labels
from autoseg.preprocessing.npz import write_npz
from autoseg.preprocessing.prepare import Frame, prepare_labels
from autoseg.preprocessing.store import PREVIOUS, paths_of
from autoseg.records import from_json

FORMAT = "autoseg-previous-1"


@dataclass(frozen=True)
class Origin:
    """What decides a map: change any of it, and the map is made again."""

    model: str  # "3d_lowres-S"
    fold: str  # the one that has not seen the case
    weights_sha256: str
    label_map: tuple[str, int, int]  # name, bytes and time (ns) of the fold's prediction
    recipe: str  # of the prepared arrays it lies on


@dataclass(frozen=True)
class PreviousMap:
    """What is known about a stored map."""

    origin: Origin
    bytes: int  # of the .npz
    format: str = FORMAT


def previous_indices(label_map: np.ndarray, frame: Frame, labels: Labels) -> np.ndarray:
    """Return value indices (z, y, x) on the prepared grid of a predicted label map (Z, Y, X).

    Predictions ignore nothing: where a file says so all the same, it is background.
    Raises ValueError on an undeclared value or another shape.
    """
    if label_map.shape != frame.source.shape:
        raise ValueError(f"a label map of shape {label_map.shape} for a scan {frame.source.shape}")
    if labels.ignore is not None:
        label_map = np.where(label_map == labels.ignore, 0, label_map)
    return prepare_labels(label_map, frame, labels)


def with_previous(array: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Return a prepared array (C, z, y, x) float32 with `indices` as one more channel, the last.

    This is what predictors of a cascade take; they make masks of it tile by tile.
    """
    return np.concatenate([array, indices[None].astype(np.float32)])


def write_previous(folder: Path, case_id: str, indices: np.ndarray, origin: Origin) -> None:
    """Write a map and, then, where it came from."""
    path, sidecar = paths_of(folder, case_id)
    sidecar.unlink(missing_ok=True)
    write_atomically(path, lambda stream: write_npz(stream, {PREVIOUS: indices}), durable=False)
    write_json(sidecar, PreviousMap(origin, path.stat().st_size), durable=False)


def is_current(folder: Path, case_id: str, origin: Origin) -> bool:
    """Tell whether the map of a case lies there whole, and came from there."""
    path, sidecar = paths_of(folder, case_id)
    try:
        found = from_json(PreviousMap, read_json(sidecar), str(sidecar))
    except (DataError, CorruptError):
        return False
    whole = path.is_file() and path.stat().st_size == found.bytes
    return whole and found.origin == origin and found.format == FORMAT
