"""`.npz` files whose arrays are read in place.

An `.npz` is a zip of `.npy` files. Stored without compression, each member is a plain array at a
known offset, so a patch is read by mapping the file into memory, and `np.load` opens it anywhere.
"""

from __future__ import annotations

import errno
import mmap
import resource
import struct
import zipfile
import zlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np

from autoseg.errors import CorruptError, DataError, ResourceError

ALIGNMENT = 64  # bytes; arrays start there, so that mapped float32 are aligned
PADDING_FIELD = 0xD935  # the id that Android's zipalign gives its padding
LARGE = 1 << 30  # bytes; members from here on get 64-bit sizes in their header
ZIP64_FIELD = 20  # bytes that these take
ONE_FETCH = 1 << 20  # bytes; what spans more is fetched plane by plane
REMEDY = "run autoseg_plan again: it prepares what is missing"


def write_npz(
    stream: BinaryIO, members: Mapping[str, np.ndarray], compress: bool = False
) -> dict[str, int]:
    """Write arrays as an `.npz`; return the CRC-32 of every member. Same arrays, same bytes."""
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(stream, "w", method, compresslevel=1) as archive:
        for name, array in members.items():
            _write_member(archive, stream, f"{name}.npy", np.ascontiguousarray(array))
        return {entry.filename[:-4]: entry.CRC for entry in archive.infolist()}


def _write_member(archive: zipfile.ZipFile, stream: BinaryIO, name: str, array: np.ndarray) -> None:
    header = BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    entry = zipfile.ZipInfo(name)  # dated 1980: the bytes depend on the arrays only
    entry.compress_type = archive.compression
    entry.file_size = len(header.getvalue()) + array.nbytes
    large = entry.file_size >= LARGE
    start = stream.tell() + 30 + len(name) + (ZIP64_FIELD if large else 0) + 4
    entry.extra = struct.pack("<HH", PADDING_FIELD, -start % ALIGNMENT) + bytes(-start % ALIGNMENT)
    with archive.open(entry, "w", force_zip64=large) as member:
        member.write(header.getvalue())
        if array.size:
            member.write(array.reshape(-1).view(np.uint8).data)


def read_label_map(path: Path) -> np.ndarray:
    """Return the member `labels` of an `.npz`; raise DataError or CorruptError if it cannot be."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return archive["labels"]
    except FileNotFoundError as error:
        raise DataError("file not found", place=str(path)) from error
    except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError) as error:
        raise CorruptError(f"is damaged: {error}", place=str(path)) from error


def map_npz(path: Path, size: int) -> dict[str, np.ndarray]:
    """Return the members of a stored `.npz` of `size` bytes, mapped: read-only, read when used.

    Raises DataError when it is missing, CorruptError when it is damaged or of another size,
    ResourceError when this process may not hold so many files open.
    """
    try:
        return _map_members(path, size)
    except FileNotFoundError as error:
        raise DataError("file not found", place=str(path), remedy=REMEDY) from error
    except (zipfile.BadZipFile, ValueError, struct.error) as error:
        raise CorruptError(f"is damaged: {error}", place=str(path), remedy=REMEDY) from error
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
        _allow_more_files(path)  # mapped files stay open, and 1,024 of them is a common limit
        return map_npz(path, size)


def _allow_more_files(path: Path) -> None:
    """Let this process open as many files as it may allow itself."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if now == most:
        fact = f"more than {most} files would be open at once"
        remedy = "allow more (ulimit -n), or train on fewer cases"
        raise ResourceError(fact, place=str(path), remedy=remedy)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _map_members(path: Path, size: int) -> dict[str, np.ndarray]:
    with path.open("rb") as stream:
        found = stream.seek(0, 2)
        if found != size:
            fact, expected = f"{found} bytes", str(size)
            raise CorruptError(fact, place=str(path), expected=expected, remedy=REMEDY)
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        with zipfile.ZipFile(stream) as archive:
            entries = [(e.filename[:-4], e.header_offset) for e in archive.infolist()]
        return {name: _map_member(stream, mapped, offset) for name, offset in entries}


def _map_member(stream: BinaryIO, mapped: mmap.mmap, offset: int) -> np.ndarray:
    # Lengths of name and extra field stand at bytes 26 to 30 of a member's own header.
    name_length, extra_length = struct.unpack("<HH", mapped[offset + 26 : offset + 30])
    stream.seek(offset + 30 + name_length + extra_length)
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ValueError(f"array of version {version}")
    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    if dtype.hasobject:
        raise ValueError("array of objects")
    count = int(np.prod(shape, dtype=np.int64))
    if count == 0:
        return np.zeros(shape, dtype)
    return np.frombuffer(mapped, dtype, count, stream.tell()).reshape(shape)


def fetch(part: np.ndarray) -> None:
    """Ask the system to read what lies under `part` (..., Y, X), a view of a mapped array.

    It starts at once and with as many requests as there are; without, every first touch of a page
    would wait for that page, and for up to megabytes around it that nobody wants. Does nothing for
    other arrays.
    """
    owner: object = part
    while isinstance(owner, np.ndarray):
        owner = owner.base
    mapped = owner.obj if isinstance(owner, memoryview) else None
    if not isinstance(mapped, mmap.mmap) or not part.size:
        return
    first = part.ctypes.data - np.frombuffer(mapped, np.uint8, 1).ctypes.data
    reach = [step * (size - 1) for step, size in zip(part.strides, part.shape, strict=True)]
    if sum(reach) <= ONE_FETCH or part.ndim < 3:
        _fetch_bytes(mapped, first, sum(reach) + part.itemsize)
        return
    for plane in np.ndindex(part.shape[:-2]):
        begin = first + sum(i * step for i, step in zip(plane, part.strides[:-2], strict=True))
        _fetch_bytes(mapped, begin, sum(reach[-2:]) + part.itemsize)


def _fetch_bytes(mapped: mmap.mmap, first: int, length: int) -> None:
    more = first % mmap.PAGESIZE  # a request begins with a page
    mapped.madvise(mmap.MADV_WILLNEED, first - more, length + more)
