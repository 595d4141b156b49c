"""Put the files of one case into a dataset's folder: copied, linked, or label values exchanged.

Voxels are never resampled, turned or scaled; a label file is written anew only to change its
values. DICOM series and the structures drawn on them become NIfTI files on the series' own grid.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.case_files import PICTURES, ending_of
from autoseg.dicom import read_series
from autoseg.errors import DataError, Problem, ResourceError
from autoseg.files import write_atomically
from autoseg.importing.check import count_values
from autoseg.importing.gather import Source
from autoseg.importing.structures import Wanted, is_structures, read_structures
from autoseg.io import (
    read_header,
    read_image,
    read_labels,
    write_image,
    write_labels,
)
from autoseg.pictures import sidecar_of

LOSSY = (".jpg", ".jpeg", ".bmp")  # label maps beside such images are written as PNG


@dataclass(frozen=True)
class Manner:
    """How files are brought in."""

    link: str = ""  # "": copy; "symlink", "hard"
    changes: tuple[tuple[int, int], ...] = ()  # label value in the file -> declared value
    declared: tuple[int, ...] = ()  # label values besides 0
    channels: int = 1
    structures: tuple[Wanted, ...] = ()  # targets by the names they have in DICOM label files


@dataclass(frozen=True)
class Placed:
    """What is wrong with the labels of a case, and which targets they have (None: all)."""

    problems: tuple[Problem, ...] = ()
    annotated: tuple[str, ...] | None = None


def place_case(source: Source, folder: Path, manner: Manner) -> Placed:
    """Put images and labels of `source` under `folder`; return what is wrong with its labels.

    Images without labels go to `imagesTs`; a control gets an empty label file on its own grid.
    """
    images = folder / ("imagesTr" if source.labels or source.control else "imagesTs")
    for index, path in enumerate(source.images):
        # nnU-Net's name; one file that holds several channels keeps the plain one.
        number = f"_{index:04d}" if len(source.images) == manner.channels else ""
        target = images / f"{source.case}{number}{stored_ending(path)}"
        if path.is_dir():
            write_image(target, read_image(path))
        else:
            bring(path, target, manner.link)
    if source.control:
        _write_empty(source, folder / "labelsTr")
    if source.labels is None:
        return Placed()
    if is_structures(source.labels):
        return _place_structures(source, folder / "labelsTr", manner)
    target = folder / "labelsTr" / f"{source.case}{ending_of(source.labels)}"
    if manner.changes:
        declared = {0, *manner.declared}
        return Placed(tuple(_convert(source.labels, target, dict(manner.changes), declared)))
    bring(source.labels, target, manner.link)
    return Placed()


def stored_ending(path: Path) -> str:
    """Return the file type in which an image is kept: its own, NIfTI for a DICOM series."""
    return ".nii.gz" if path.is_dir() else ending_of(path)


def _place_structures(source: Source, folder: Path, manner: Manner) -> Placed:
    """Write the structures of an RTSTRUCT or DICOM-SEG as a label map on the series' grid."""
    assert source.labels is not None
    image = source.images[0]
    if not image.is_dir():
        fact = f"structures in DICOM, but the image is {image.name}"
        expected = "the DICOM series that they were drawn on"
        raise DataError(fact, place=str(source.labels), expected=expected)
    series = read_series(image)
    label_map, present = read_structures(source.labels, series, manner.structures)
    write_labels(folder / f"{source.case}.nii.gz", label_map, series.geometry)
    return Placed((), None if len(present) == len(manner.structures) else present)


def bring(path: Path, target: Path, link: str = "") -> None:
    """Copy or link one file, and the JSON file with its voxel size if it is a picture with one.

    Raises DataError when its voxels are in another file, ResourceError when the disk refuses.
    """
    _refuse_detached(path)
    _bring_one(path, target, link)
    sidecar = sidecar_of(path) if ending_of(path) in PICTURES else None
    if sidecar is not None:
        stem = target.name[: -len(ending_of(target))]
        _bring_one(sidecar, target.with_name(f"{stem}.json"), link)


def _bring_one(path: Path, target: Path, link: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if not link:
            with path.open("rb") as stream:
                # Not flushed to the disk one by one: dataset.json, written last, vouches for all.
                write_atomically(target, lambda out: shutil.copyfileobj(stream, out), False)
        else:
            target.unlink(missing_ok=True)
            (os.link if link == "hard" else os.symlink)(path.resolve(), target)
    except FileNotFoundError as error:
        raise DataError("file not found", place=str(path)) from error
    except OSError as error:
        remedy = "hard links stay on one disk; use symlink" if error.errno == errno.EXDEV else ""
        fact = f"cannot be brought in: {error.strerror or error}"
        raise ResourceError(fact, place=str(path), remedy=remedy) from error


def _refuse_detached(path: Path) -> None:
    if ending_of(path) not in (".mha", ".mhd", ".nrrd"):
        return
    with path.open("rb") as stream:
        start = stream.read(4096)
    header = start.partition(b"\n\n")[0].lower() if start.startswith(b"NRRD") else start
    detached = b"data file:" in header or b"datafile:" in header
    if ending_of(path) != ".nrrd":
        detached = b"LOCAL" not in start.partition(b"ElementDataFile")[2][:20]
    if detached:
        remedy = "save it as one file, .mha or .nrrd"
        raise DataError("its voxels are in another file", place=str(path), remedy=remedy)


def _write_empty(source: Source, folder: Path) -> None:
    image = source.images[0]
    ending = ".png" if ending_of(image) in LOSSY else stored_ending(image)
    grid = read_header(image).geometry
    write_labels(folder / f"{source.case}{ending}", np.zeros(grid.shape, np.uint8), grid, image)


def _convert(
    path: Path, target: Path, changes: Mapping[int, int], declared: Collection[int]
) -> list[Problem]:
    """Write the label file with its values changed, on its own grid and under its own header."""
    image = read_labels(path)
    found = count_values(image.array)
    expected = f"{', '.join(map(str, changes))} as in the label map, or a declared value"
    problems = [
        Problem(str(path), f"label value {value} in {count:,} voxels", expected)
        for value, count in found.items()
        if changes.get(value, value) not in declared
    ]
    if problems:
        return problems
    changed = np.zeros(image.array.shape[1:], np.min_scalar_type(max(declared)))
    for value in found:
        changed[image.array[0] == value] = changes.get(value, value)
    write_labels(target, changed, image.geometry, like=path)
    return []
