"""NIfTI files: voxels in, whole files out, and the grid of a header.

Why not ITK: it refuses directions that are slightly off orthonormal, allocates what a header claims
before it looks at the file's size, and cannot write a result under the input's own header. Reading
400 small volumes takes a third of its time.
"""

from __future__ import annotations

import logging
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.errors import DataError
from autoseg.image import Geometry
from autoseg.nifti_header import (
    FIELDS,
    LPS,
    MAX_VOXELS,
    NiftiHeader,
    Order,
    parse_header,
    with_offset,
)

log = logging.getLogger(__name__)

SHEAR_REPAIRED = 1e-2  # largest |cosine| between two axes that is taken for rounding
SHEAR_SILENT = 1e-4  # float32 headers and quaternions give this much
SPACING_RANGE_MM = (1e-3, 100.0)
DEFLATE_LIMIT = 1032  # no deflate stream grows by more than this factor
TRAILING_BYTES = 1 << 16  # some tools pad; more than this after the voxels is not an image
GZIP_WINDOW = 31  # zlib: gzip wrapper, check sum verified
# An extension of no registered program. Caret's XML has a code of its own, 30, but TotalSegmentator
# and those who read its files use 0, and nibabel 5.4 answers `get_content()` of a 30 with an error.
UNREGISTERED = 0
EXTENSIONS_LIMIT = 1 << 20  # bytes before the voxels that are looked through for extensions


def read_nifti_header(path: Path, most: int = MAX_VOXELS) -> NiftiHeader:
    """Return the checked header; only the first few kilobytes of the file are read.

    More than `most` voxels are TooManyVoxels, whether they are there or not.
    """
    with path.open("rb") as stream:
        start = stream.read(4096)
    size = path.stat().st_size
    if path.name.lower().endswith(".gz"):
        start = _inflate_start(start, path)
        size *= DEFLATE_LIMIT
    header = parse_header(start, str(path), most)
    if header.bytes_needed > size:
        raise _truncated(path, path.stat().st_size, header)
    return header


def read_nifti(path: Path) -> tuple[NiftiHeader, np.ndarray]:
    """Return header and voxels (C, Z, Y, X) in the file's type, or float32 where the header scales.

    Raises DataError for a file that is cut short, whose check sum is wrong, or that is longer than
    its header says.
    """
    header = read_nifti_header(path)
    count = math.prod(header.shape)
    if path.name.lower().endswith(".gz"):
        data = _inflate(path.read_bytes(), header, path)
        array = np.frombuffer(data, header.dtype, count, header.offset)
    else:
        array = np.fromfile(path, header.dtype, count, offset=header.offset)
    array = array.reshape(header.shape[::-1])
    if (header.slope, header.intercept) != (1.0, 0.0):
        return header, (array * np.float64(header.slope) + header.intercept).astype(np.float32)
    native = header.dtype.newbyteorder("=")
    return header, array.astype(native, copy=not array.flags.writeable)


def geometry_of(header: NiftiHeader, place: str, tell: bool = True) -> Geometry:
    """Return the grid; a direction off orthonormal by up to 1e-2 becomes the nearest rotation.

    That is logged, unless `tell` is False. Raises DataError naming the angle when the axes are
    sheared by more.
    """
    matrix = LPS @ header.affine[:3, :3]
    spacing = np.linalg.norm(matrix, axis=0)
    check_spacing(spacing[::-1], place)
    direction = matrix / spacing
    shear = np.abs(direction.T @ direction - np.eye(3)).max()
    if shear > SHEAR_REPAIRED:
        angle = math.degrees(math.asin(min(1.0, shear)))
        raise DataError(
            f"the axes are sheared by {angle:.2f} degrees",
            place=place,
            expected="axes at right angles (up to 0.57 degrees off is repaired)",
            remedy="resample the scan, and its labels, to an upright grid",
        )
    if shear > 1e-7:
        left, _, right = np.linalg.svd(direction)
        direction = left @ right
        if tell and shear > SHEAR_SILENT:
            log.info("%s: direction off orthonormal by %.1e, repaired", place, shear)
    origin = LPS @ header.affine[:3, 3]
    size = header.shape
    return Geometry(
        (size[2], size[1], size[0]),
        (float(spacing[2]), float(spacing[1]), float(spacing[0])),
        (float(origin[2]), float(origin[1]), float(origin[0])),
        tuple(float(cosine) + 0.0 for cosine in direction[::-1, ::-1].ravel()),
    )


def check_spacing(spacing: Any, place: str) -> None:
    """Raise DataError unless every voxel size is within 0.001 to 100 mm."""
    low, high = SPACING_RANGE_MM
    if not all(math.isfinite(size) and low <= size <= high for size in spacing):
        sizes = ", ".join(f"{size:.6g}" for size in spacing)
        raise DataError(
            f"the voxel size is ({sizes})",
            place=place,
            expected=f"{low:g} to {high:g} mm",
            remedy="correct the header (metres or micrometres taken for millimetres?)",
        )


def read_caret(path: Path) -> str:
    """Return the first extension of the header that is XML of Caret; empty without a whole one.

    It has the code 0 or 30, so it is known by what it says.
    """
    header = read_nifti_header(path)
    end = min(header.offset, EXTENSIONS_LIMIT)
    with path.open("rb") as stream:
        start = stream.read(end)
    if path.name.lower().endswith(".gz"):
        start = zlib.decompressobj(GZIP_WINDOW).decompress(start, end)
    at = len(header.raw) + 4
    while at + 8 <= len(start):
        size, _ = struct.unpack_from(f"{header.order}2i", start, at)
        if not 8 < size <= end - at:
            break
        content = start[at + 8 : at + size].rstrip(b"\0").decode(errors="replace")
        if "<CaretExtension" in content:
            return content
        at += size
    return ""


def nifti_bytes(
    raw: bytes, order: Order, array: np.ndarray, compress: bool, caret: str = ""
) -> bytes:
    """Return a whole file: header, voxels (C, Z, Y, X) or (Z, Y, X); between them XML of Caret."""
    voxels = np.ascontiguousarray(array, array.dtype.newbyteorder(order))
    extension = _extension(caret.encode(), order) if caret else b""
    raw = with_offset(raw, order, len(extension)) + bytes([bool(caret), 0, 0, 0]) + extension
    if not compress:
        return raw + voxels.tobytes()
    # zlib writes no time stamp, unlike the gzip module: the same result is the same bytes.
    # Level 2 takes half the time of level 6, and label maps shrink a hundredfold all the same.
    packer = zlib.compressobj(level=2, wbits=GZIP_WINDOW)
    head = packer.compress(raw)
    return head + packer.compress(voxels.reshape(-1).view(np.uint8).data) + packer.flush()


def _extension(content: bytes, order: Order) -> bytes:
    """Return an extension: its size, a multiple of 16, its code, and `content`."""
    size = (len(content) + 8 + 15) // 16 * 16
    return struct.pack(f"{order}2i", size, UNREGISTERED) + content.ljust(size - 8, b"\0")


def _inflate_start(start: bytes, path: Path) -> bytes:
    if start[:2] != b"\x1f\x8b":
        if len(start) >= 348 and struct.unpack_from("<i", start)[0] in FIELDS:
            raise DataError(
                "is plain NIfTI, not compressed", place=str(path), remedy="rename it to .nii"
            )
        raise DataError("is not a gzip file", place=str(path), expected="a compressed NIfTI file")
    try:
        return zlib.decompressobj(GZIP_WINDOW).decompress(start, 1024)
    except zlib.error as error:
        raise _damaged(path, error) from error


def _inflate(packed: bytes, header: NiftiHeader, path: Path) -> bytes:
    """Return the decompressed file, all gzip members, check sums verified, never much too long."""
    limit = header.bytes_needed + TRAILING_BYTES
    parts: list[bytes] = []
    done = 0
    rest: bytes = packed
    while rest.strip(b"\0"):
        unpacker = zlib.decompressobj(GZIP_WINDOW)
        try:
            part = unpacker.decompress(rest, limit - done + 1)
        except zlib.error as error:
            raise _damaged(path, error) from error
        parts.append(part)
        done += len(part)
        if done > limit:
            expected = f"{header.bytes_needed} bytes"
            raise DataError("goes on after its last voxel", place=str(path), expected=expected)
        if not unpacker.eof:
            break
        rest = unpacker.unused_data
    if done < header.bytes_needed or not unpacker.eof:
        raise _truncated(path, done, header)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _truncated(path: Path, found: int, header: NiftiHeader) -> DataError:
    return DataError(
        f"is cut short: {found:,} bytes",
        place=str(path),
        expected=f"{header.bytes_needed:,}",
        remedy="copy or download it again",
    )


def _damaged(path: Path, error: zlib.error) -> DataError:
    what = (
        "its check sum is wrong"
        if "data check" in str(error)
        else "its compressed data are damaged"
    )
    return DataError(what, place=str(path), remedy="copy or download it again")
