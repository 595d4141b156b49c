"""NIfTI headers: 348 or 540 bytes to checked facts and back.

Facts are those of the NIfTI-1 and NIfTI-2 standards.
"""

from __future__ import annotations

import logging
import math
import struct
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from autoseg.errors import DataError
from autoseg.image import Geometry

Order = Literal["<", ">"]

log = logging.getLogger(__name__)

MAX_VOXELS = 2_000_000_000

_TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8",
    256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
_CODES = {np.dtype(name): code for code, name in _TYPES.items()}
_REFUSED = {
    32: "complex",
    128: "RGB",
    1536: "128-bit float",
    1792: "complex",
    2048: "complex",
    2304: "RGBA",
}
_UNIT_MM = {1: 1000.0, 2: 1.0, 3: 0.001}  # metre, millimetre, micrometre
LPS = np.diag([-1.0, -1.0, 1.0])  # NIfTI's world is right-anterior-superior

# Offsets of the fields used, for the 348-byte and the 540-byte header: (offset, struct code).
FIELDS = {
    348: {
        "dim": (40, "8h"), "datatype": (70, "h"), "bitpix": (72, "h"), "pixdim": (76, "8f"),
        "vox_offset": (108, "f"), "slope": (112, "f"), "intercept": (116, "f"), "units": (123, "B"),
        "cal": (124, "2f"), "qform_code": (252, "h"), "sform_code": (254, "h"),
        "quaternion": (256, "6f"), "srow": (280, "12f"), "magic": (344, "4s"), "intent": (68, "h"),
    },
    540: {
        "dim": (16, "8q"), "datatype": (12, "h"), "bitpix": (14, "h"), "pixdim": (104, "8d"),
        "vox_offset": (168, "q"), "slope": (176, "d"), "intercept": (184, "d"), "units": (500, "i"),
        "cal": (192, "2d"), "qform_code": (344, "i"), "sform_code": (348, "i"),
        "quaternion": (352, "6d"), "srow": (400, "12d"), "magic": (4, "8s"), "intent": (504, "i"),
    },
}  # fmt: skip


class TooManyVoxels(DataError):
    """A header claims more voxels than are read."""


@dataclass(frozen=True)
class NiftiHeader:
    """What the first 348 or 540 bytes say, checked: sizes in (X, Y, Z, C), `raw` as in the file."""

    raw: bytes
    order: Order
    shape: tuple[int, int, int, int]
    dtype: np.dtype
    offset: int  # of the first voxel in the (decompressed) file
    slope: float
    intercept: float
    affine: np.ndarray  # (4, 4) voxel (x, y, z) to RAS mm

    @property
    def bytes_needed(self) -> int:
        """Length of the decompressed file up to its last voxel."""
        return self.offset + math.prod(self.shape) * self.dtype.itemsize


def parse_header(start: bytes, place: str, most: int = MAX_VOXELS) -> NiftiHeader:
    """Return the header in the first bytes of a file; DataError for whatever cannot be true.

    More than `most` voxels are TooManyVoxels.
    """
    order, length = _byte_order(start, place)

    def get(name: str) -> tuple[Any, ...]:
        offset, code = FIELDS[length][name]
        return struct.unpack_from(order + code, start, offset)

    if not get("magic")[0].startswith((b"n+1", b"n+2")):
        raise DataError(
            "is half of a .hdr/.img pair or an Analyze file",
            place=place,
            remedy="save it as one NIfTI file",
        )
    shape = _shape(get("dim"), place, most)
    code, bits = get("datatype")[0], get("bitpix")[0]
    if code not in _TYPES:
        kind = _REFUSED.get(code, f"unknown (datatype {code})")
        raise DataError(f"the pixel type is {kind}", place=place, expected="one number per voxel")
    dtype = np.dtype(order + _TYPES[code])
    if bits not in (0, dtype.itemsize * 8):
        expected = f"{dtype.itemsize * 8} for datatype {code}"
        raise DataError(f"the header says {bits} bits per voxel", place=place, expected=expected)
    offset = get("vox_offset")[0]
    if not (math.isfinite(offset) and 0 <= offset < 2**40):
        raise DataError(f"voxels cannot start at byte {offset}", place=place)
    slope, intercept = get("slope")[0], get("intercept")[0]
    if slope == 0 or not (math.isfinite(slope) and math.isfinite(intercept)):
        slope, intercept = 1.0, 0.0  # the standard: a slope of zero means no scaling
    affine = _affine(get, shape, place)
    start_of_voxels = max(int(offset), length + 4)
    return NiftiHeader(
        start[:length], order, shape, dtype, start_of_voxels, slope, intercept, affine
    )


def new_header(geometry: Geometry, channels: int, dtype: np.dtype) -> bytes:
    """Return a little-endian NIfTI-1 header for `geometry`; the affine in sform and qform."""
    header = bytearray(348)
    struct.pack_into("<i", header, 0, 348)
    depth, height, width = geometry.shape
    count = 4 if channels > 1 else 3
    _put(header, "<", "dim", count, width, height, depth, channels, 1, 1, 1)
    direction = LPS @ geometry.direction_matrix[::-1, ::-1]
    spacing = np.asarray(geometry.spacing[::-1])
    origin = LPS @ np.asarray(geometry.origin[::-1])
    qfac, quaternion = _quaternion(direction)
    _put(header, "<", "pixdim", qfac, *spacing, 1, 1, 1, 1)
    _put(header, "<", "quaternion", *quaternion, *origin)
    _put(header, "<", "srow", *np.c_[direction * spacing, origin].ravel())
    _put(header, "<", "qform_code", 1)
    _put(header, "<", "sform_code", 1)
    _put(header, "<", "units", 2)
    _put(header, "<", "magic", b"n+1\0")
    return with_type(bytes(header), "<", dtype, channels)


def with_type(raw: bytes, order: Order, dtype: np.dtype, channels: int = 1) -> bytes:
    """Return header `raw` for voxels of another type and number of channels, grid unchanged."""
    header, length = bytearray(raw), len(raw)
    dim = list(struct.unpack_from(order + FIELDS[length]["dim"][1], raw, FIELDS[length]["dim"][0]))
    if channels == 1:
        dim[0], dim[4:] = min(dim[0], 3), [1, 1, 1, 1]
    _put(header, order, "dim", *dim)
    _put(header, order, "datatype", _CODES[np.dtype(dtype).newbyteorder("=")])
    _put(header, order, "bitpix", np.dtype(dtype).itemsize * 8)
    _put(header, order, "vox_offset", length + 4)
    _put(header, order, "slope", 1)
    _put(header, order, "intercept", 0)
    _put(header, order, "cal", 0, 0)
    _put(header, order, "intent", 0)
    return bytes(header)


def with_offset(raw: bytes, order: Order, extra: int) -> bytes:
    """Return header `raw` for voxels that start `extra` bytes later, behind extensions."""
    header = bytearray(raw)
    _put(header, order, "vox_offset", len(raw) + 4 + extra)
    return bytes(header)


def _put(header: bytearray, order: str, name: str, *values: Any) -> None:
    offset, code = FIELDS[len(header)][name]
    struct.pack_into(order + code, header, offset, *values)


def _byte_order(start: bytes, place: str) -> tuple[Order, int]:
    orders: tuple[Order, Order] = ("<", ">")
    for order in orders:
        if len(start) >= 4:
            length = struct.unpack_from(order + "i", start)[0]
            if length in FIELDS and len(start) >= length:
                return order, length
            if length in FIELDS:
                raise DataError(f"ends inside its header, after {len(start)} bytes", place=place)
    if start[:2] == b"\x1f\x8b":
        raise DataError("is compressed once too often or misnamed", place=place, remedy="gunzip it")
    raise DataError("is not a NIfTI file", place=place, expected="a header of 348 or 540 bytes")


def _shape(dim: tuple[int, ...], place: str, most: int) -> tuple[int, int, int, int]:
    if not 1 <= dim[0] <= 7 or any(size < 1 for size in dim[1 : dim[0] + 1]):
        raise DataError(f"impossible dimensions {list(dim)}", place=place)
    sizes = [*dim[1 : dim[0] + 1], 1, 1, 1, 1, 1, 1][:7]
    channels = [size for size in sizes[3:] if size > 1]
    text = " x ".join(str(size) for size in dim[1 : dim[0] + 1])
    if len(channels) > 1:
        raise DataError(
            f"has {dim[0]} dimensions ({text})", place=place, expected="x, y, z, channel"
        )
    if math.prod(sizes) > most:
        expected = f"at most {most:,} voxels"
        raise TooManyVoxels(f"claims {text} voxels", place=place, expected=expected)
    return sizes[0], sizes[1], sizes[2], channels[0] if channels else 1


def _affine(get: Any, shape: tuple[int, ...], place: str) -> np.ndarray:
    pixdim, quaternion = get("pixdim"), get("quaternion")
    affine = np.eye(4)
    has_sform, has_qform = get("sform_code")[0] > 0, get("qform_code")[0] > 0
    if has_qform:
        sizes = np.abs(pixdim[1:4]) * [1, 1, -1 if pixdim[0] < 0 else 1]
        affine[:3, :3] = _rotation(quaternion[:3]) * sizes
        affine[:3, 3] = quaternion[3:]
    if has_sform:
        sform = np.reshape(get("srow"), (3, 4))
        if has_qform and not np.allclose(sform, affine[:3], rtol=1e-3, atol=1e-3):
            log.info("%s: sform and qform differ, the sform is taken", place)
        affine[:3] = sform
    if not has_sform and not has_qform:
        log.info("%s: the header does not say how the scan lies; taken as upright", place)
        affine[:3, :3] = LPS * np.abs(pixdim[1:4])
    if shape[2] == 1 and not np.linalg.norm(affine[:3, 2]) > 0:
        normal = np.cross(affine[:3, 0], affine[:3, 1])  # a single slice without thickness
        affine[:3, 2] = normal / (np.linalg.norm(normal) or 1.0)
    affine[:3] *= _UNIT_MM.get(get("units")[0] & 7, 1.0)
    if not np.isfinite(affine).all():
        raise DataError("the orientation in the header is not finite", place=place)
    return affine


def _rotation(bcd: tuple[float, ...]) -> np.ndarray:
    b, c, d = bcd
    square = b * b + c * c + d * d
    if square > 1 - 1e-7:  # a half turn, up to what float32 can say
        b, c, d = (value / math.sqrt(square) for value in bcd)
        square = 1.0
    a = math.sqrt(1 - square)
    return np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )


def _quaternion(direction: np.ndarray) -> tuple[float, tuple[float, ...]]:
    """Return qfac (1 or -1 for a left-handed grid) and (b, c, d) of a (3, 3) rotation."""
    qfac = 1.0 if np.linalg.det(direction) > 0 else -1.0
    rotation = direction * [1, 1, qfac]
    # The eigenvector of the largest eigenvalue is the quaternion, also near half turns.
    m = rotation
    symmetric = np.array(
        [
            [m[0, 0] + m[1, 1] + m[2, 2], m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]],
            [m[2, 1] - m[1, 2], m[0, 0] - m[1, 1] - m[2, 2], m[0, 1] + m[1, 0], m[0, 2] + m[2, 0]],
            [m[0, 2] - m[2, 0], m[0, 1] + m[1, 0], m[1, 1] - m[0, 0] - m[2, 2], m[1, 2] + m[2, 1]],
            [m[1, 0] - m[0, 1], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], m[2, 2] - m[0, 0] - m[1, 1]],
        ]
    )
    a, b, c, d = np.linalg.eigh(symmetric)[1][:, -1]
    sign = -1.0 if a < 0 else 1.0
    return qfac, (sign * b, sign * c, sign * d)
