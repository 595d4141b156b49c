"""Image files in and out: arrays (C, Z, Y, X) on a `Geometry`.

NIfTI is read by `nifti.py`, everything else by SimpleITK (`itk.py`); a folder is a DICOM
series (`dicom.py`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from autoseg import itk
from autoseg.case_files import ENDINGS, PICTURES, ending_of, stem_of
from autoseg.dataset import Case
from autoseg.dicom import read_series, read_voxels
from autoseg.errors import DataError, number_of
from autoseg.files import write_atomically
from autoseg.image import Geometry, Image, grid_differences
from autoseg.label_table import caret_names, caret_xml, segment_fields, segment_names
from autoseg.nifti import geometry_of, nifti_bytes, read_caret, read_nifti, read_nifti_header
from autoseg.nifti_header import new_header, with_type
from autoseg.palette import has_palette, palette_indices
from autoseg.pictures import one_grey
from autoseg.sniff import check_file

__all__ = [
    "ENDINGS", "Header", "ending_of", "read_case", "read_header", "read_image", "read_labels",
    "read_names", "stack_channels", "write_image", "write_labels",
]  # fmt: skip

log = logging.getLogger(__name__)

NIFTI, NRRD = (".nii.gz", ".nii"), ".nrrd"
NO_NAMES: Mapping[int, str] = MappingProxyType({})
WHOLE_NUMBER_TOLERANCE = 1e-3  # float label maps within this are whole numbers
LARGEST_EXACT_FLOAT32 = 2**24


@dataclass(frozen=True)
class Header:
    """What a file says before its voxels are read."""

    geometry: Geometry
    channels: int
    pixel_type: str  # a NumPy name: "int16"
    dimension: int  # 2 for flat files, 3 for volumes, 4 for volumes with channels


def read_header(path: Path) -> Header:
    """Return grid, channels and type of an image file without reading its voxels.

    Colour pictures count their stored channels; `read_image` makes one of equal greys.
    """
    if path.is_dir():
        return Header(read_series(path).geometry, 1, "int16", 3)
    check_file(path)
    if ending_of(path) in NIFTI:
        header = read_nifti_header(path)
        channels = header.shape[3]
        dimension = 4 if channels > 1 else 2 if header.shape[2] == 1 else 3
        return Header(geometry_of(header, str(path)), channels, header.dtype.name, dimension)
    return Header(*itk.describe(path))


def read_image(path: Path, tell: bool = True) -> Image:
    """Return an image (C, Z, Y, X) in the file's own number type; flat files have depth one.

    Colour pictures whose channels are equal become one channel, an opaque alpha channel is dropped.
    `tell` False is for one of many files of a scan: a crooked header was told of with the first.
    Raises DataError for everything that keeps a file from being read, with what to do about it.
    """
    if path.is_dir():
        return read_voxels(read_series(path))
    check_file(path)
    if ending_of(path) in NIFTI:
        header, array = read_nifti(path)
        return Image(array, geometry_of(header, str(path), tell))
    array, geometry = itk.read(path)
    return Image(one_grey(array, path) if ending_of(path) in PICTURES else array, geometry)


def read_labels(path: Path) -> Image:
    """Return a label map (1, Z, Y, X) of integers; floats within 1e-3 of integers are rounded.

    A PNG with a palette of colours gives the indices, one of greys the greys.
    """
    image = read_image(path)
    array = image.array
    if len(array) != 1 and has_palette(path):  # drawn in colours
        array = palette_indices(path)[None, None]
    if len(array) != 1:
        fact = f"a label map with {len(array)} channels"
        remedy = "probabilities? save the label of the largest" if array.dtype.kind == "f" else ""
        raise DataError(fact, place=str(path), expected="one channel", remedy=remedy)
    if array.dtype.kind == "f":
        array = _whole_numbers(array, path)
    return Image(array, image.geometry)


def read_case(case: Case, channels: int) -> Image:
    """Return the channels of a case as one image (C, Z, Y, X); see `stack_channels`.

    Raises DataError when their number is not `channels` or their grids differ.
    """
    return stack_channels([read_image(path) for path in case.images], case.images, channels)


def stack_channels(images: Sequence[Image], paths: Sequence[Path], channels: int) -> Image:
    """Return images (1, Z, Y, X), or one (C, Z, Y, X), as one; see `read_case`.

    Integers of up to 16 bits stay what they are, half the memory; everything else is float32.
    """
    images = list(images)
    grey = len(images) == 1 and len(images[0].array) == 1 and ending_of(paths[0]) in PICTURES
    if channels == 3 and grey:
        images *= 3  # a grey picture among coloured ones
    found = sum(len(image.array) for image in images)
    if found != channels:
        raise DataError(
            f"holds {number_of(found, 'channel')}",
            place=str(paths[0]),
            expected=f"{channels}",
            remedy="one file per channel, <case>_0000, <case>_0001, ..., or correct channel_names"
            + (" (opaque alpha is no channel)" if (found, channels) == (3, 4) else ""),
        )
    for path, image in zip(paths, images, strict=False):
        differences = grid_differences(image.geometry, images[0].geometry)
        if differences:
            what, here, there = differences[0]
            expected = f"{there} as in {paths[0].name}"
            raise DataError(f"{what} {here}", place=str(path), expected=expected)
        _warn_inexact(image.array, path)
    types = {image.array.dtype for image in images}
    small = len(types) == 1 and all(t.kind in "ui" and t.itemsize <= 2 for t in types)
    with np.errstate(over="ignore"):  # beyond float32: infinite, which the check reports
        arrays = [i.array if small else i.array.astype(np.float32, copy=False) for i in images]
    array = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    return Image(array, images[0].geometry)


def read_names(path: Path) -> dict[int, str]:
    """Return what a label map calls its values, as `write_labels` noted it; NIfTI and NRRD."""
    if ending_of(path) in NIFTI:
        return caret_names(read_caret(path))
    return segment_names(itk.fields(path)) if ending_of(path) == NRRD else {}


def write_labels(
    path: Path,
    label_map: np.ndarray,
    geometry: Geometry,
    like: Path | None = None,
    names: Mapping[int, str] | None = None,
) -> None:
    """Write a label map (Z, Y, X), atomically, in the file type that the suffix of `path` names.

    `like` is the image it belongs to: when both are NIfTI its header is kept (affine, codes and
    units, however crooked); other types are written with `geometry`, in
    as many dimensions as it has. `names` of label values go into the headers of NIfTI and NRRD
    files, see `label_table`.
    """
    array = np.asarray(label_map)
    if array.shape != geometry.shape:
        raise ValueError(f"label map {array.shape} on a grid of {geometry.shape}")
    if array.dtype.kind not in "ui":
        raise ValueError(f"a label map holds integers, not {array.dtype}")
    if array.dtype.itemsize > 2:
        array = array.astype(_smallest_type(array))
    _write(path, array[None], geometry, like, names or {})


def write_image(path: Path, image: Image, like: Path | None = None) -> None:
    """Write an image (C, Z, Y, X), atomically, in the file type that the suffix of `path` names.

    `like` is the file it was read from, see `write_labels`.
    """
    _write(path, image.array, image.geometry, like)


def _write(
    path: Path,
    array: np.ndarray,
    geometry: Geometry,
    like: Path | None,
    names: Mapping[int, str] = NO_NAMES,
) -> None:
    ending = ending_of(path)
    if not ending:
        expected = ", ".join(ENDINGS)
        raise DataError(f"unknown file type '{path.suffix}'", place=str(path), expected=expected)
    if ending in NIFTI:
        caret = caret_xml(names) if names else ""
        data = _nifti_data(array, geometry, like, caret, compress=ending == ".nii.gz")
    else:
        one_slice = like is not None and geometry.shape[0] == 1 and ending_of(like) not in NIFTI
        planar = like is not None and one_slice and itk.is_planar(like)
        fields = segment_fields(names, geometry.shape) if names and ending == NRRD else {}
        data = itk.encode(array, geometry, ending, str(path), planar, fields)
    write_atomically(path, lambda stream: stream.write(data))
    if ending in PICTURES and geometry.spacing != (1.0, 1.0, 1.0):
        sidecar = json.dumps({"spacing": list(geometry.spacing)}).encode()
        write_atomically(
            path.with_name(stem_of(path) + ".json"), lambda stream: stream.write(sidecar)
        )


def _nifti_data(
    array: np.ndarray, geometry: Geometry, like: Path | None, caret: str, compress: bool
) -> bytes:
    if array.dtype == bool or array.dtype == np.float16:
        array = array.astype(np.uint8 if array.dtype == bool else np.float32)
    if like is not None and ending_of(like) in NIFTI:
        header = read_nifti_header(like)
        if header.shape[2::-1] == geometry.shape:
            raw = with_type(header.raw, header.order, array.dtype, len(array))
            return nifti_bytes(raw, header.order, array, compress, caret)
        raise DataError(
            f"a result of shape {geometry.shape} for an image of {header.shape[2::-1]}",
            place=str(like),
        )
    raw = new_header(geometry, len(array), array.dtype)
    return nifti_bytes(raw, "<", array, compress, caret)


def _whole_numbers(array: np.ndarray, path: Path) -> np.ndarray:
    rounded = np.rint(array)
    with np.errstate(invalid="ignore"):
        wrong = ~(np.abs(array - rounded) <= WHOLE_NUMBER_TOLERANCE)  # NaN and Inf too
    if wrong.any():
        values = np.unique(array[wrong])
        shown = ", ".join(f"{value:.4g}" for value in values[:5])
        more = f" and {len(values) - 5} more values" if len(values) > 5 else ""
        remedy = "an interpolated or smoothed label map? resample labels with nearest neighbour"
        if array.min() >= 0 and array.max() <= 1:
            remedy = "these look like probabilities: save labels, the largest or those above 0.5"
        elif np.isnan(values).all():
            remedy = "the file is damaged, or was computed: write 0 where there is nothing"
        raise DataError(
            f"{int(wrong.sum()):,} voxels are not whole numbers: {shown}{more}",
            place=str(path),
            expected="integer label values",
            remedy=remedy,
        )
    return rounded.astype(np.int32)


def _warn_inexact(array: np.ndarray, path: Path) -> None:
    if array.dtype.kind not in "ui" or array.dtype.itemsize <= 2:
        return
    if max(abs(int(array.min())), abs(int(array.max()))) > LARGEST_EXACT_FLOAT32:
        log.warning("%s: integers above 2^24 are rounded to float32", path)


def _smallest_type(array: np.ndarray) -> np.dtype:
    if not array.size or array.min() >= 0:
        return np.min_scalar_type(int(array.max(initial=0)))
    return np.dtype(np.int16) if array.min() >= -(2**15) and array.max() < 2**15 else array.dtype
