"""Labels of one case, on the grid of its image: a label map, slices, masks, or drawn in DICOM."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.case_files import PICTURES, ending_of
from autoseg.dicom import read_series
from autoseg.errors import DataError, Problem
from autoseg.image import Geometry
from autoseg.importing.arguments import written
from autoseg.importing.bring import bring
from autoseg.importing.facts import other_spacing
from autoseg.importing.gather import Source, paths_of
from autoseg.importing.grids import check_grid
from autoseg.importing.label_values import count_values, spread_to_greys
from autoseg.importing.masks import Masks, combine_masks
from autoseg.importing.place import Manner, Placed, checksums, place_empty, place_images
from autoseg.importing.stacks import Stack, read_stack
from autoseg.importing.structures import is_structures, read_structures
from autoseg.io import read_header, read_labels, write_labels
from autoseg.pictures import sidecar_of


def place_case(source: Source, folder: Path, manner: Manner) -> Placed:
    """Put images and labels of `source` under `folder`; return what is wrong with its labels.

    Images without labels go to `imagesTs`, and so do test cases, whose labels go to `labelsTs`; a
    control gets an empty label file on its own grid.
    """
    grid = place_images(source, folder, manner)
    labels = folder / ("labelsTs" if source.test else "labelsTr")
    if source.control:
        place_empty(source, labels, grid, manner.names)
    placed = _place_labels(source, labels, grid, manner)
    record = {**checksums(source), **placed.record}
    said = other_spacing(source.about.get("meta", {}), manner.record_spacing, grid.spacing)
    record |= {"spacing_mm": sorted(grid.spacing), "spacing_said_mm": list(said)} if said else {}
    return Placed(placed.problems, placed.annotated, record)


def _place_labels(source: Source, folder: Path, grid: Geometry, manner: Manner) -> Placed:
    labels = source.labels
    if labels is None:
        return Placed()
    if isinstance(labels, Masks):
        return _place_masks(source, labels, folder, grid, manner)
    if isinstance(labels, Path) and is_structures(labels):
        return _place_structures(source, labels, folder, manner)
    return _place_map(source, labels, folder, grid, manner)


def _place_structures(source: Source, labels: Path, folder: Path, manner: Manner) -> Placed:
    """Write the structures of an RTSTRUCT or DICOM-SEG as a label map on the series' grid."""
    image = source.images[0]
    if isinstance(image, Stack) or not image.is_dir():
        fact = f"structures in DICOM, but the image is {_name(source)}"
        expected = "the DICOM series that they were drawn on"
        raise DataError(fact, place=str(labels), expected=expected)
    series = read_series(image)
    label_map, present = read_structures(labels, series, manner.structures)
    target = folder / f"{source.case}.nii.gz"
    write_labels(target, label_map, series.geometry, names=manner.names)
    return Placed((), None if len(present) == len(manner.structures) else present)


def _place_masks(
    source: Source, masks: Masks, folder: Path, grid: Geometry, manner: Manner
) -> Placed:
    """Write masks as one label map; a class without a file is not annotated in this case."""
    values = {name: written(value) for name, value in manner.values.items()}
    combined = combine_masks(masks, values, grid, _name(source), manner.trusted)
    like = _file_of(source)
    ending = ending_of(like) if like else ".nii.gz"
    target = folder / f"{source.case}{ending}"
    write_labels(target, combined.label_map, grid, like, manner.names)
    missing = [name for name in values if name not in masks.files]
    unknown = [name for name in combined.empty if name in manner.absent] + missing
    record: dict[str, Any] = {"empty": list(combined.empty), "missing": missing}
    record["overlaps"] = {f"{a}, {b}": count for (a, b), count in combined.overlaps.items()}
    record |= {"snapped_mm": combined.gap_mm} if combined.gap_mm else {}
    return Placed((), _all_but(unknown, manner), {k: v for k, v in record.items() if v})


def _place_map(
    source: Source, labels: Path | Stack, folder: Path, grid: Geometry, manner: Manner
) -> Placed:
    """Copy or link a label map, or write it anew where its values or its grid change."""
    stacked = isinstance(labels, Stack)
    path = labels.slices[0] if isinstance(labels, Stack) else labels
    image = None
    if isinstance(labels, Stack):
        image = read_stack(labels, manner.grids.get(source.case), read_labels)
    # A picture without a file beside it says no voxel size, so it cannot contradict the image's.
    silent = ending_of(path) in PICTURES and sidecar_of(path) is None
    geometry = image.geometry if image else read_header(path).geometry
    gap = check_grid(geometry, grid, str(path), _name(source), manner.trusted or silent)
    target = folder / f"{source.case}{'.nii.gz' if stacked else ending_of(path)}"
    anew = bool(stacked or gap or manner.changes)
    if not anew:
        bring(path, target, manner.link)
    if not (anew or manner.absent):
        return Placed()
    array = (image or read_labels(path)).array
    values = count_values(array)
    problems = _undeclared(values, path, manner)
    if problems:
        return Placed(problems)
    if anew:
        like = None if stacked else _file_of(source) if gap else path
        write_labels(target, _changed(array[0], values, manner), grid, like, manner.names)
    changes = dict(manner.changes)
    there = {changes.get(value, value) for value in values}
    absent = [name for name in manner.absent if not there & set(_numbers(manner.values[name]))]
    record = {"snapped_mm": gap} if gap and not silent else {}
    return Placed((), _all_but(absent, manner), record)


def _undeclared(values: Mapping[int, int], path: Path, manner: Manner) -> tuple[Problem, ...]:
    changes = dict(manner.changes)
    expected, remedy = "a declared value", ""
    if changes:
        expected = f"{', '.join(map(str, changes))} as in the label map, or {expected}"
    elif greys := spread_to_greys(values, manner.declared):
        remedy = f"--label-map {greys}"
    return tuple(
        Problem(str(path), f"label value {value} in {count:,} voxels", expected, remedy)
        for value, count in values.items()
        if changes.get(value, value) not in (0, *manner.declared)
    )


def _changed(array: np.ndarray, values: Iterable[int], manner: Manner) -> np.ndarray:
    changes = dict(manner.changes)
    changed = np.zeros(array.shape, np.min_scalar_type(max(manner.declared)))
    for value in values:
        changed[array == value] = changes.get(value, value)
    return changed


def _all_but(unknown: Iterable[str], manner: Manner) -> tuple[str, ...] | None:
    """Return the annotated classes, None for all of them."""
    left_out = set(unknown)
    known = tuple(name for name in manner.values if name not in left_out and name != "ignore")
    return known if left_out else None


def _numbers(value: int | list[int]) -> list[int]:
    return value if isinstance(value, list) else [value]


def _name(source: Source) -> str:
    return paths_of(source.images[0])[0].name


def _file_of(source: Source) -> Path | None:
    """Return the file whose header says where the image lies; None for a series or slices."""
    image = source.images[0]
    return image if isinstance(image, Path) and image.is_file() else None
