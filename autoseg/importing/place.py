"""Put the files of one case into a dataset's folder: copied, linked, or written anew.

Voxels are never resampled, turned or scaled; files are written anew only to change label values, to
make one file of several or several of one. DICOM series, and slices, become NIfTI files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.case_files import PICTURES, ending_of
from autoseg.dicom_files import files_of
from autoseg.errors import DataError, Problem
from autoseg.files import sha256
from autoseg.image import Geometry, Image
from autoseg.importing.bring import bring
from autoseg.importing.gather import File, Source, paths_of
from autoseg.importing.stacks import SlicedGrid, Stack, read_stack
from autoseg.importing.structures import Wanted
from autoseg.io import read_header, read_image, write_image, write_labels

LOSSY = (".jpg", ".jpeg", ".bmp")  # label maps beside such images are written as PNG


@dataclass(frozen=True)
class Manner:
    """How files are brought in."""

    link: str = ""  # "": copy; "symlink", "hard"
    changes: tuple[tuple[int, int], ...] = ()  # label value in the file -> declared value
    channels: int = 1
    structures: tuple[Wanted, ...] = ()  # targets by the names they have in DICOM label files
    values: Mapping[str, int | list[int]] = field(default_factory=dict)  # of the classes
    names: Mapping[int, str] = field(default_factory=dict)  # of values, for headers written anew
    grids: Mapping[str, SlicedGrid] = field(default_factory=dict)  # case -> what was cut
    one_channel: bool = False  # colour pictures are stored with one channel, or refused
    split: bool = False  # images with several channels become one file per channel
    trusted: bool = False  # labels get the grid of their image whatever their own header says
    record_spacing: tuple[str, ...] = ()  # what a case's `meta` calls the lengths of a voxel
    absent: tuple[str, ...] = ()  # classes that are not annotated where they do not occur

    @property
    def declared(self) -> tuple[int, ...]:
        """The label values besides 0, in ascending order."""
        lists = (value if isinstance(value, list) else [value] for value in self.values.values())
        return tuple(sorted({number for numbers in lists for number in numbers}))


@dataclass(frozen=True)
class Placed:
    """What is wrong with a case, which targets it has (None: all), and what is to be recorded."""

    problems: tuple[Problem, ...] = ()
    annotated: tuple[str, ...] | None = None
    record: Mapping[str, Any] = field(default_factory=dict)


def place_images(source: Source, folder: Path, manner: Manner) -> Geometry:
    """Put the images of `source` into `imagesTr`, or into `imagesTs`; return their grid."""
    images = folder / ("imagesTr" if source.trains else "imagesTs")
    geometry = None
    for index, file in enumerate(source.images):
        # nnU-Net's name; one file that holds several channels keeps the plain one.
        number = f"_{index:04d}" if len(source.images) == manner.channels else ""
        target = images / f"{source.case}{number}{stored_ending(file)}"
        found = _place_image(file, target, source, manner)
        geometry = geometry or found
    assert geometry is not None  # a source has an image
    return geometry


def place_empty(source: Source, folder: Path, grid: Geometry, names: Mapping[int, str]) -> None:
    """Write a label map of zeros for a control."""
    image = source.images[0]
    ending = stored_ending(image)
    target = folder / f"{source.case}{'.png' if ending in LOSSY else ending}"
    like = image if isinstance(image, Path) and image.is_file() else None
    write_labels(target, np.zeros(grid.shape, np.uint8), grid, like, names)


def checksums(source: Source) -> dict[str, dict[str, str]]:
    """Return path -> SHA-256 of the images, and of the labels if there are any."""
    groups = {
        "images": [path for image in source.images for path in paths_of(image)],
        "labels": list(paths_of(source.labels)),
    }
    return {
        name: {str(file): sha256(file) for path in paths for file in files_of(path)}
        for name, paths in groups.items()
        if paths
    }


def stored_ending(file: File) -> str:
    """Return the file type in which an image is kept: its own, NIfTI for a series or slices."""
    return ".nii.gz" if isinstance(file, Stack) or file.is_dir() else ending_of(file)


def _place_image(file: File, target: Path, source: Source, manner: Manner) -> Geometry:
    if isinstance(file, Stack):
        image = read_stack(file, manner.grids.get(source.case))
        write_image(target, image)
        return image.geometry
    if file.is_dir():
        image = read_image(file)
        write_image(target, image)
        return image.geometry
    if manner.one_channel and ending_of(file) in PICTURES:
        image = read_image(file)
        if len(image.array) != 1:
            fact = "its colours differ"
            raise DataError(fact, place=str(file), expected="a grey picture (R = G = B)")
        write_image(target, image)
        return image.geometry
    if manner.split and len(source.images) == 1 and manner.channels > 1:
        return _split(file, target.parent, source.case, manner.channels)
    bring(file, target, manner.link)
    return read_header(file).geometry


def _split(path: Path, folder: Path, case: str, channels: int) -> Geometry:
    """Write every channel of an image as a file of its own."""
    image = read_image(path)
    if len(image.array) != channels:
        fact = f"holds {len(image.array)} channels"
        raise DataError(fact, place=str(path), expected=f"{channels} as declared")
    for index in range(channels):
        target = folder / f"{case}_{index:04d}{ending_of(path)}"
        write_image(target, Image(image.array[index : index + 1], image.geometry), like=path)
    return image.geometry
