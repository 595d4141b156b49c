"""DICOM series: the headers of all slices read and judged, then their voxels, scaled to HU.

Every slice is read by itself, so that its own scaling
holds for it and a slice that cannot be decoded is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.dicom_files import SOP_CLASS, SOP_INSTANCE, TRANSFER_SYNTAX, file_meta, series_files
from autoseg.dicom_slices import Series, Slice, arrange
from autoseg.errors import DataError, ResourceError, number_of
from autoseg.image import Image
from autoseg.itk import library
from autoseg.sniff import check_file

SYNTAXES = {
    "1.2.840.10008.1.2.4.100": "MPEG-2",
    "1.2.840.10008.1.2.4.102": "MPEG-4",
    "1.2.840.10008.1.2.4.201": "HTJ2K lossless",
    "1.2.840.10008.1.2.4.202": "HTJ2K lossless RPCL",
    "1.2.840.10008.1.2.4.203": "HTJ2K",
    "1.2.840.10008.1.2.4.110": "JPEG XL lossless",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
}


def need_packages(*packages: str) -> None:
    """Raise ResourceError with the pip install unless these packages of [dicom] are there."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        fact = f"needs {' and '.join(missing)}, not installed"
        raise ResourceError(f"DICOM labels: {fact}", remedy="pip install 'autoseg[dicom]'")


def read_series(folder: Path) -> Series:
    """Return the series in `folder` from the headers of its slices; see `arrange` for what fails.

    One slice of each compression is decoded too: what cannot be read shows before the work begins.
    """
    series = arrange(_read_headers(series_files(folder)), folder)
    for one in {one.syntax: one for one in reversed(series.slices)}.values():
        _read_pixels(one)
    return series


def read_voxels(series: Series) -> Image:
    """Return the image (1, Z, Y, X) of a series, each slice scaled by its own slope and intercept.

    int16 where the scaling keeps whole numbers, as for CT; else float32.
    """
    array = np.stack([_read_pixels(one) for one in series.slices])
    if array.dtype.kind == "f":
        array = array.astype(np.float32)
    return Image(array[None], series.geometry)


def _read_headers(paths: Sequence[Path]) -> list[Slice]:
    slices, broken = [], []
    for path in paths:
        try:
            slices.append(_read_header(path))
        except DataError as error:
            broken.append(error)
    if broken:
        first = broken[0]
        more = f" (and {len(broken) - 1} more files)" if len(broken) > 1 else ""
        where = f", in {slices[0].series_name}" if slices and "series" not in first.fact else ""
        raise DataError(
            f"{first.fact}{more}{where}",
            place=first.place,
            expected=first.expected,
            remedy=first.remedy,
        )
    return slices


def _read_header(path: Path) -> Slice:
    reader = _reader(path)
    meta = file_meta(path) or {}

    def text(tag: str) -> str:
        value = reader.GetMetaData(tag) if reader.HasMetaDataKey(tag) else ""
        return str(value).strip("\0 ")

    def numbers(tag: str, name: str, count: int) -> tuple[float, ...]:
        try:
            found = tuple(float(word) for word in text(tag).split("\\"))
        except ValueError:
            found = ()
        if len(found) != count or not np.isfinite(found).all():
            said = f"{name} is '{text(tag)}'" if text(tag) else f"{name} is missing"
            expected = number_of(count, "number")
            fact = f"{said}, in series {text('0020|000e') or 'without UID'}"
            raise DataError(fact, place=str(path), expected=expected)
        return found

    frames, samples = text("0028|0008") or "1", text("0028|0002") or "1"
    if frames != "1" or samples != "1":
        what = f"{frames} frames" if frames != "1" else f"{samples} colours"
        remedy = "convert it to NIfTI, or to one grey image per slice"
        fact = f"holds {what}, in series {text('0020|000e') or 'without UID'}"
        raise DataError(fact, place=str(path), expected="one grey image a file", remedy=remedy)
    cosines = numbers("0020|0037", "ImageOrientationPatient", 6)
    x, y, z = numbers("0020|0032", "ImagePositionPatient", 3)
    rows, columns = numbers("0028|0030", "PixelSpacing", 2)
    slope = numbers("0028|1053", "RescaleSlope", 1)[0] if text("0028|1053") else 1.0
    intercept = numbers("0028|1052", "RescaleIntercept", 1)[0] if text("0028|1052") else 0.0
    thickness = numbers("0018|0050", "SliceThickness", 1)[0] if text("0018|0050") else None
    tilt = numbers("0018|1120", "GantryDetectorTilt", 1)[0] if text("0018|1120") else 0.0
    width, height = reader.GetSize()[:2]
    return Slice(
        path=path,
        # Anonymisers empty these in the data and leave them in the file's own group.
        instance=text("0008|0018") or meta.get(SOP_INSTANCE, ""),
        sop_class=text("0008|0016") or meta.get(SOP_CLASS, ""),
        series=text("0020|000e"),
        frame=text("0020|0052"),
        number=text("0020|0011"),
        description=text("0008|103e"),
        modality=text("0008|0060"),
        shape=(height, width),
        spacing=(rows, columns),
        position=(z, y, x),
        along_x=(cosines[2], cosines[1], cosines[0]),
        along_y=(cosines[5], cosines[4], cosines[3]),
        rescale=(slope, intercept),
        thickness=thickness,
        tilt=tilt,
        syntax=meta.get(TRANSFER_SYNTAX, ""),
    )


def _reader(path: Path) -> Any:
    check_file(path)
    reader = library().ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(path, "") from error
    return reader


def _read_pixels(one: Slice) -> np.ndarray:
    """Return the voxels (Y, X) of a slice, rescaled."""
    reader = _reader(one.path)
    try:
        array = library().GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        raise _unreadable(one.path, one.series_name) from error
    return array.reshape(array.shape[-2:])


def _unreadable(path: Path, series: str) -> DataError:
    meta = file_meta(path)
    where = f", in {series}" if series else ""
    if meta is None:
        remedy = "remove it from the folder, or copy it again"
        return DataError("is not a DICOM file", place=str(path), remedy=remedy)
    syntax = meta.get(TRANSFER_SYNTAX, "unknown")
    if syntax in SYNTAXES:
        fact = f"its compression, {SYNTAXES[syntax]}, cannot be read{where}"
        remedy = "decompress the series first (transfer syntax Explicit VR Little Endian)"
        return DataError(fact, place=str(path), remedy=remedy)
    fact = f"cannot be decoded{where} (transfer syntax {syntax})"
    return DataError(fact, place=str(path), remedy="copy or export it again")
