"""Image files in and out: arrays (C, Z, Y, X) on a `Geometry`; SimpleITK and its x, y, z end here.

NIfTI is read by `nifti.py`, everything else by SimpleITK, which is imported when first needed.
"""

from __future__ import annotations

import json
import logging
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.case_files import ENDINGS, ending_of, stem_of
from autoseg.dataset import Case
from autoseg.errors import DataError
from autoseg.files import write_atomically
from autoseg.image import Geometry, Image, grid_differences
from autoseg.nifti import check_spacing, geometry_of, nifti_bytes, read_nifti, read_nifti_header
from autoseg.nifti_header import new_header, with_type
from autoseg.pictures import PICTURES, TIFF, one_grey, spacing_beside
from autoseg.sniff import MAX_VOXELS, check_claims, check_file

__all__ = [
    "ENDINGS", "Header", "ending_of", "read_case", "read_header", "read_image", "read_labels",
    "stack_channels", "write_image", "write_labels",
]  # fmt: skip

log = logging.getLogger(__name__)

NIFTI = (".nii.gz", ".nii")
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
    check_file(path)
    if ending_of(path) in NIFTI:
        header = read_nifti_header(path)
        channels = header.shape[3]
        dimension = 4 if channels > 1 else 2 if header.shape[2] == 1 else 3
        return Header(geometry_of(header, str(path)), channels, header.dtype.name, dimension)
    reader = _open(path)
    names = {value: name for name, value in _pixel_types().items()}
    kind = names.get(reader.GetPixelID(), "unknown").strip()
    dimension = reader.GetDimension()
    channels = reader.GetNumberOfComponents() * (reader.GetSize()[3] if dimension == 4 else 1)
    return Header(_geometry(reader, path), channels, kind, dimension)


def read_image(path: Path) -> Image:
    """Return an image (C, Z, Y, X) in the file's own number type; flat files have depth one.

    Colour pictures whose channels are equal become one channel, an opaque alpha channel is dropped.
    Raises DataError for everything that keeps a file from being read, with what to do about it.
    """
    check_file(path)
    if ending_of(path) in NIFTI:
        header, array = read_nifti(path)
        return Image(array, geometry_of(header, str(path)))
    reader = _open(path)
    geometry = _geometry(reader, path)
    array = _voxels(reader, path)
    components = reader.GetNumberOfComponents()
    if components > 1:
        array = np.moveaxis(array, -1, 0)
    array = array.reshape(-1, *geometry.shape)
    return Image(one_grey(array, path) if ending_of(path) in PICTURES else array, geometry)


def read_labels(path: Path) -> Image:
    """Return a label map (1, Z, Y, X) of integers; floats within 1e-3 of integers are rounded."""
    image = read_image(path)
    array = image.array
    if len(array) != 1:
        fact = f"a label map with {len(array)} channels"
        remedy = "probabilities? save the label of the largest" if array.dtype.kind == "f" else ""
        raise DataError(fact, place=str(path), expected="one channel", remedy=remedy)
    if array.dtype.kind == "f":
        array = _whole_numbers(array, path)
    return Image(array, image.geometry)


def read_case(case: Case, channels: int) -> Image:
    """Return the channels of a case as one float32 image (C, Z, Y, X).

    Raises DataError when their number is not `channels` or their grids differ.
    """
    return stack_channels([read_image(path) for path in case.images], case.images, channels)


def stack_channels(images: Sequence[Image], paths: Sequence[Path], channels: int) -> Image:
    """Return images (1, Z, Y, X), or one (C, Z, Y, X), as one float32 image; see `read_case`."""
    images = list(images)
    grey = len(images) == 1 and len(images[0].array) == 1 and ending_of(paths[0]) in PICTURES
    if channels == 3 and grey:
        images *= 3  # a grey picture among coloured ones
    found = sum(len(image.array) for image in images)
    if found != channels:
        raise DataError(
            f"holds {found} channel{'s' * (found != 1)}",
            place=str(paths[0]),
            expected=f"{channels}",
            remedy="one file per channel, <case>_0000, <case>_0001, ..., or correct channel_names",
        )
    for path, image in zip(paths, images, strict=False):
        differences = grid_differences(image.geometry, images[0].geometry)
        if differences:
            what, here, there = differences[0]
            expected = f"{there} as in {paths[0].name}"
            raise DataError(f"{what} {here}", place=str(path), expected=expected)
        _warn_inexact(image.array, path)
    with np.errstate(over="ignore"):  # beyond float32: infinite, which the check reports
        arrays = [image.array.astype(np.float32, copy=False) for image in images]
    array = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    return Image(array, images[0].geometry)


def write_labels(
    path: Path, label_map: np.ndarray, geometry: Geometry, like: Path | None = None
) -> None:
    """Write a label map (Z, Y, X), atomically, in the file type that the suffix of `path` names.

    `like` is the image it belongs to: when both are NIfTI its header is kept (affine, codes and
    units, however crooked); other types are written with `geometry`, in
    as many dimensions as it has.
    """
    array = np.asarray(label_map)
    if array.shape != geometry.shape:
        raise ValueError(f"label map {array.shape} on a grid of {geometry.shape}")
    if array.dtype.kind not in "ui":
        raise ValueError(f"a label map holds integers, not {array.dtype}")
    if array.dtype.itemsize > 2:
        array = array.astype(_smallest_type(array))
    _write(path, array[None], geometry, like)


def write_image(path: Path, image: Image) -> None:
    """Write an image (C, Z, Y, X), atomically, in the file type that the suffix of `path` names."""
    _write(path, image.array, image.geometry, None)


def _write(path: Path, array: np.ndarray, geometry: Geometry, like: Path | None) -> None:
    ending = ending_of(path)
    if not ending:
        expected = ", ".join(ENDINGS)
        raise DataError(f"unknown file type '{path.suffix}'", place=str(path), expected=expected)
    if ending in NIFTI:
        data = _nifti_data(array, geometry, like, compress=ending == ".nii.gz")
    else:
        planar = like is not None and geometry.shape[0] == 1 and _is_planar(like)
        data = _itk_data(array, geometry, ending, str(path), planar)
    write_atomically(path, lambda stream: stream.write(data))
    if ending in PICTURES and geometry.spacing != (1.0, 1.0, 1.0):
        sidecar = json.dumps({"spacing": list(geometry.spacing)}).encode()
        write_atomically(
            path.with_name(stem_of(path) + ".json"), lambda stream: stream.write(sidecar)
        )


def _nifti_data(array: np.ndarray, geometry: Geometry, like: Path | None, compress: bool) -> bytes:
    if array.dtype == bool or array.dtype == np.float16:
        array = array.astype(np.uint8 if array.dtype == bool else np.float32)
    if like is not None and ending_of(like) in NIFTI:
        header = read_nifti_header(like)
        if header.shape[2::-1] == geometry.shape:
            raw = with_type(header.raw, header.order, array.dtype, len(array))
            return nifti_bytes(raw, header.order, array, compress)
        raise DataError(
            f"a result of shape {geometry.shape} for an image of {header.shape[2::-1]}",
            place=str(like),
        )
    return nifti_bytes(new_header(geometry, len(array), array.dtype), "<", array, compress)


def _is_planar(path: Path) -> bool:
    """Tell whether a file has two dimensions, not three with a single slice."""
    return ending_of(path) not in NIFTI and _open(path).GetDimension() == 2


def _itk_data(
    array: np.ndarray, geometry: Geometry, ending: str, place: str, planar: bool
) -> bytes:
    sitk = _sitk()
    picture = ending in PICTURES and geometry.shape[0] == 1
    flat = picture or planar
    if ending in PICTURES and not flat and ending not in TIFF:
        raise DataError(f"a {ending} file holds one slice", place=place, expected="depth one")
    if array.dtype == bool:
        array = array.astype(np.uint8)
    voxels = np.ascontiguousarray(np.moveaxis(array, 0, -1) if len(array) > 1 else array[0])
    image = sitk.GetImageFromArray(voxels[0] if flat else voxels, isVector=len(array) > 1)
    if not picture:
        axes = 2 if flat else 3
        image.SetSpacing(geometry.spacing[::-1][:axes])
        image.SetOrigin(geometry.origin[::-1][:axes])
        direction = geometry.direction_matrix[::-1, ::-1][:axes, :axes]
        image.SetDirection(direction.ravel().tolist())
    # ITK wants a file name with the right suffix, `write_atomically` gives a stream: via memory.
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / f"image{'.mha' if ending == '.mhd' else ending}"
        try:
            sitk.WriteImage(image, str(temporary), useCompression=ending not in (".jpg", ".jpeg"))
        except RuntimeError as error:
            raise DataError(f"cannot be written: {_last_line(error)}", place=place) from error
        return temporary.read_bytes()


@cache
def _sitk() -> Any:
    import SimpleITK as sitk

    # ITK's warnings go to the terminal without a file name; what matters is checked here.
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    return sitk


@cache
def _pixel_types() -> dict[str, int]:
    sitk = _sitk()
    kinds = {
        "uint8": "UInt8", "int8": "Int8", "uint16": "UInt16", "int16": "Int16", "uint32": "UInt32",
        "int32": "Int32", "uint64": "UInt64", "int64": "Int64",
        "float32": "Float32", "float64": "Float64",
    }  # fmt: skip
    scalars = {name: getattr(sitk, f"sitk{kind}") for name, kind in kinds.items()}
    vectors = {f"{name} ": getattr(sitk, f"sitkVector{kind}") for name, kind in kinds.items()}
    return scalars | vectors


def _open(path: Path) -> Any:
    ending = ending_of(path)
    if not ending:
        expected = ", ".join(ENDINGS)
        raise DataError(f"unknown file type '{path.suffix}'", place=str(path), expected=expected)
    check_claims(path, ending)
    reader = _sitk().ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(path, error) from error
    if reader.GetPixelID() not in _pixel_types().values():
        kind = _sitk().GetPixelIDValueAsString(reader.GetPixelID())
        raise DataError(f"the pixel type is {kind}", place=str(path), expected="real numbers")
    if np.prod(reader.GetSize(), dtype=float) > MAX_VOXELS:
        fact = f"claims {' x '.join(map(str, reader.GetSize()))} voxels"
        raise DataError(fact, place=str(path), expected=f"at most {MAX_VOXELS:,}")
    return reader


def _voxels(reader: Any, path: Path) -> np.ndarray:
    try:
        return _sitk().GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> DataError:
    remedy = "copy or download it again"
    return DataError(f"cannot be read: {_last_line(error)}", place=str(path), remedy=remedy)


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return re.sub(r"^.*?(?:Error|ERROR|ITK ERROR):\s*|\w+\(0x[0-9a-f]+\):\s*", "", lines[-1])


def _geometry(reader: Any, path: Path) -> Geometry:
    size, dimension = reader.GetSize(), reader.GetDimension()
    if dimension not in (2, 3, 4):
        raise DataError(f"has {dimension} dimensions", place=str(path), expected="2, 3 or 4")
    depth = 1 if dimension == 2 else size[2]
    shape = (depth, size[1], size[0])
    if ending_of(path) in PICTURES:
        return Geometry(shape, spacing_beside(path))
    n = min(dimension, 3)
    spacing, origin, direction = np.ones(3), np.zeros(3), np.eye(3)
    spacing[:n], origin[:n] = reader.GetSpacing()[:n], reader.GetOrigin()[:n]
    matrix = np.reshape(reader.GetDirection(), (dimension, dimension))
    direction[:n, :n] = matrix[:n, :n]
    check_spacing(spacing[::-1], str(path))
    if np.abs(direction.T @ direction - np.eye(3)).max() > 1e-2:
        raise DataError("the axes are not at right angles", place=str(path))
    z, y, x = (float(value) for value in spacing[::-1])
    oz, oy, ox = (float(value) for value in origin[::-1])
    cosines = tuple(float(cosine) for cosine in direction[::-1, ::-1].ravel())
    return Geometry(shape, (z, y, x), (oz, oy, ox), cosines)


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
