"""Volumes as flat pictures, one for each slice, as the ai4mi course slices them (SegTHOR).

`<case>_<slice>.png`, eight bits: greys between the least and the most intensity of a scan, label
values times the largest whole number that keeps them below 256 (63 where there are four). The
pictures of the course have x along their rows, because they are cut out of NIfTI arrays as nibabel
gives them; so have these, unless `rows` is "y", as programs for pictures have it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import zoom

from autoseg.errors import DataError, UsageError
from autoseg.files import write_atomically
from autoseg.image import Geometry, Image
from autoseg.io import read_labels
from autoseg.labels import Labels
from autoseg.pictures import png_bytes

IMAGES, LABELS = "img", "gt"
GRIDS, RECORD = "spacing.json", "slices.json"
MOST_SLICES = 9999
ROWS = ("x", "y")


@dataclass(frozen=True)
class Cut:
    """How volumes become pictures."""

    shape: tuple[int, int] | None = None  # pixels (down, across); None: as many as the scan has
    window: tuple[float, float] | None = None  # black and white; None: least and most of each scan
    rows: str = "x"  # the axis of the scan that runs down a picture


def factor_of(labels: Labels) -> int:
    """Return what label values are multiplied by, so that eyes tell them apart.

    Raises UsageError when they do not fit in eight bits.
    """
    top = max(*labels.values, labels.ignore or 0)
    if top > 255:
        fact = f"label value {top} does not fit into a picture of eight bits"
        raise UsageError(fact, expected="values up to 255")
    return 255 // top


def greys_of(volume: np.ndarray, window: tuple[float, float] | None) -> np.ndarray:
    """Return a scan (Z, Y, X) as greys: `window`, or its least and most value, as 0 and 255.

    Fractions are cut off, as the course does; a constant scan is black.
    """
    values = volume.astype(np.float32)
    black, white = window or (values.min(), values.max())
    if window is not None:
        values = values.clip(black, white)
    values -= np.float32(black)
    span = np.float32(white) - np.float32(black)
    if span > 0:
        values /= span
    return (255 * values).astype(np.uint8)


def write_slices(
    folder: Path, case: str, greys: np.ndarray, label_map: np.ndarray | None, cut: Cut, factor: int
) -> None:
    """Write the slices (first axis) of a scan to `folder`/img, of its labels to `folder`/gt.

    `greys` and `label_map` are (Z, Y, X), integers of eight bits.
    """
    if len(greys) > MOST_SLICES:
        fact = f"{len(greys)} slices"
        raise UsageError(fact, place=case, expected=f"at most {MOST_SLICES}")
    for index, plane in enumerate(greys):
        _write(folder / IMAGES / f"{case}_{index:04d}.png", _picture(plane, cut, order=1))
    for index, plane in enumerate(() if label_map is None else label_map):
        picture = _picture(plane.astype(np.uint8), cut, order=0) * np.uint8(factor)
        _write(folder / LABELS / f"{case}_{index:04d}.png", picture)


def _picture(plane: np.ndarray, cut: Cut, order: int) -> np.ndarray:
    """Return a slice (Y, X) as it is drawn: turned, and with as many pixels as wanted."""
    turned = plane.T if cut.rows == "x" else plane
    if cut.shape is None or cut.shape == turned.shape:
        return turned
    scale = np.divide(cut.shape, turned.shape)
    values = turned.astype(np.float64) if order else turned
    # Corners on corners, as scikit-image does; fractions are cut off.
    return zoom(values, scale, order=order, mode="nearest", grid_mode=True).astype(np.uint8)


def _write(path: Path, picture: np.ndarray) -> None:
    data = png_bytes(picture)
    write_atomically(path, lambda stream: stream.write(data), durable=False)


def grid_of(geometry: Geometry, cut: Cut) -> dict[str, Any]:
    """Return what `spacing.json` says of a case: the grid of its scan, and how its slices lie."""
    return {
        "shape": list(geometry.shape),
        "spacing": list(geometry.spacing),
        "origin": list(geometry.origin),
        "direction": list(geometry.direction),
        "rows": cut.rows,
    }


# --- back ----------------------------------------------------------------------------------------


def read_volume(paths: Sequence[Path], grid: Geometry, rows: str, labels: Labels) -> np.ndarray:
    """Return the label map (Z, Y, X) on `grid` of which `paths` are the slices, first to last.

    Pictures of another size are enlarged or shrunk to the nearest pixel. Their values are those of
    `write_slices`, or label values as they are where that cannot be mistaken. Raises DataError for
    other values, and for a number of slices that is not the grid's.
    """
    if len(paths) != grid.shape[0]:
        fact, place = f"{len(paths)} slices", str(paths[0])
        raise DataError(fact, place=place, expected=f"{grid.shape[0]} as in its scan")
    planes = [_back(read_labels(path), path, grid.shape[1:], rows) for path in paths]
    return _values_of(np.stack(planes), labels, str(paths[0].parent))


def _back(picture: Image, path: Path, shape: tuple[int, int], rows: str) -> np.ndarray:
    plane = picture.array[0]
    if len(plane) != 1:
        raise DataError(f"{len(plane)} slices in one file", place=str(path), expected="one")
    turned = plane[0].T if rows == "x" else plane[0]
    scale = np.divide(shape, turned.shape)
    return zoom(turned, scale, order=0, mode="nearest", grid_mode=True)


def _values_of(drawn: np.ndarray, labels: Labels, place: str) -> np.ndarray:
    """Return label values for what was drawn."""
    known = {0, *labels.values, *([] if labels.ignore is None else [labels.ignore])}
    factor, top = factor_of(labels), max(known)
    values = {int(value) for value in np.unique(drawn)}
    plain = factor > top >= max(values)
    wrong = sorted(values - (known if plain else {value * factor for value in known}))
    if wrong:
        expected = ", ".join(str(value * factor) for value in sorted(known)[:10])
        raise DataError(f"holds the value {wrong[0]}", place=place, expected=expected)
    return (drawn if plain else drawn // factor).astype(labels.dtype)


def label_map_words(labels: Labels, factor: int) -> list[str]:
    """Return what `autoseg import --label-map` must be told: "63:1", "126:2", ..."""
    values = sorted({*labels.values, *([] if labels.ignore is None else [labels.ignore])})
    return [] if factor == 1 else [f"{value * factor}:{value}" for value in values]


def class_words(labels: Labels) -> list[str]:
    """Return what `autoseg import --classes` must be told: "kidney=1,2", ..., "ignore=9"."""
    words = [f"{name}={','.join(map(str, values))}" for name, values in labels.targets.items()]
    return words + ([] if labels.ignore is None else [f"ignore={labels.ignore}"])


def record_of(
    dataset: str, labels: Labels, cut: Cut, factor: int, split: Mapping[str, str]
) -> dict[str, Any]:
    """Return what `slices.json` holds: where the pictures come from and what their greys mean."""
    return {
        "format": "autoseg-slices-1",
        "dataset": dataset,
        "shape": cut.shape,
        "window": cut.window,
        "rows": cut.rows,
        "label_factor": factor,
        "labels": {name: list(values) for name, values in labels.targets.items()},
        "ignore": labels.ignore,
        "split": dict(split),
    }
