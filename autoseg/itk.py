"""What SimpleITK reads and writes: MetaImage, NRRD and pictures; its x, y, z end here.

It is imported when first needed.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.case_files import ENDINGS, PICTURES, ending_of
from autoseg.errors import DataError, spoken_of
from autoseg.grey_alpha import disguised, has_grey_alpha, revealed
from autoseg.image import Geometry
from autoseg.nifti import check_spacing
from autoseg.pictures import TIFF, spacing_beside
from autoseg.sniff import MAX_VOXELS, check_claims


def describe(path: Path) -> tuple[Geometry, int, str, int]:
    """Return grid, channels, NumPy name of the type and dimensions of a file, without voxels."""
    if has_grey_alpha(path):
        array, geometry = _read_grey_alpha(path)
        return geometry, len(array), array.dtype.name, 2
    reader = _open(path)
    names = {value: name for name, value in _pixel_types().items()}
    kind = names.get(reader.GetPixelID(), "unknown").strip()
    dimension = reader.GetDimension()
    channels = reader.GetNumberOfComponents() * (reader.GetSize()[3] if dimension == 4 else 1)
    return _geometry(reader, path), channels, kind, dimension


def read(path: Path) -> tuple[np.ndarray, Geometry]:
    """Return the voxels (C, Z, Y, X) of a file in its own number type, and their grid."""
    if has_grey_alpha(path):
        return _read_grey_alpha(path)
    reader = _open(path)
    geometry = _geometry(reader, path)
    array = _voxels(reader, path)
    if reader.GetNumberOfComponents() > 1:
        array = np.moveaxis(array, -1, 0)
    return array.reshape(-1, *geometry.shape), geometry


def _read_grey_alpha(path: Path) -> tuple[np.ndarray, Geometry]:
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "image.png"
        other.write_bytes(disguised(path.read_bytes()))
        with spoken_of(str(other), str(path)):
            array, geometry = read(other)
    return revealed(array), Geometry(geometry.shape, spacing_beside(path))


def is_planar(path: Path) -> bool:
    """Tell whether a file has two dimensions, not three with a single slice."""
    return has_grey_alpha(path) or bool(_open(path).GetDimension() == 2)


def fields(path: Path) -> dict[str, str]:
    """Return what the header of a file says beyond the image: keys and texts."""
    reader = _open(path)
    return {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}


def encode(
    array: np.ndarray,
    geometry: Geometry,
    ending: str,
    place: str,
    planar: bool,
    fields: Mapping[str, str],
) -> bytes:
    """Return an image (C, Z, Y, X) as the bytes of a file of type `ending`.

    `planar`: one slice is written with two dimensions. `place` names the file in errors. `fields`
    stand in the header, if this type has any.
    """
    sitk = library()
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
    for key, said in fields.items():
        image.SetMetaData(key, said)
    # ITK wants a file name with the right suffix, `write_atomically` gives a stream: via memory.
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / f"image{'.mha' if ending == '.mhd' else ending}"
        try:
            sitk.WriteImage(image, str(temporary), useCompression=ending not in (".jpg", ".jpeg"))
        except RuntimeError as error:
            raise DataError(f"cannot be written: {_last_line(error)}", place=place) from error
        return temporary.read_bytes()


@cache
def library() -> Any:
    """Return SimpleITK, imported now, without its warnings."""
    import SimpleITK as sitk

    # ITK's warnings go to the terminal without a file name; what matters is checked here.
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    return sitk


@cache
def _pixel_types() -> dict[str, int]:
    sitk = library()
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
    reader = library().ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(path, error) from error
    if reader.GetPixelID() not in _pixel_types().values():
        kind = library().GetPixelIDValueAsString(reader.GetPixelID())
        raise DataError(f"the pixel type is {kind}", place=str(path), expected="real numbers")
    if np.prod(reader.GetSize(), dtype=float) > MAX_VOXELS:
        fact = f"claims {' x '.join(map(str, reader.GetSize()))} voxels"
        raise DataError(fact, place=str(path), expected=f"at most {MAX_VOXELS:,}")
    return reader


def _voxels(reader: Any, path: Path) -> np.ndarray:
    try:
        return library().GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> DataError:
    if "Unknown PixelType" in str(error):  # a PNG file of greys, one of them transparent
        remedy = "save it without an alpha channel"
        return DataError("is partly transparent", place=str(path), remedy=remedy)
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
