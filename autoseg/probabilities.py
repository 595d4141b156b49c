"""Probabilities of a scan in one `.npz`: float16, cut to the box where background is not certain.

    probabilities (channels, z, y, x) float16   in the box
    box (3, 2)                                  half-open, in voxels of the scan's own grid
    outside (channels,) float16                 what stands everywhere else
    channels (channels,) text                   "background", where there is one, and the targets
    values (channels,)                          what a label map writes for each
    shape, spacing, origin (3,), direction (9,) the scan's grid, as in `Geometry`

`numpy.load` opens it. All channels of a large scan never stand in memory at once: they are
collected in a file.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np

from autoseg.errors import CorruptError, DataError
from autoseg.files import write_atomically
from autoseg.image import Geometry
from autoseg.labels import Labels

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

BACKGROUND = "background"
TYPE = np.dtype("<f2")
CHUNK_BYTES = 1 << 24
LARGE = 1 << 30  # bytes; members from here on need 64-bit sizes


@dataclass(frozen=True)
class Probabilities:
    """What the file of a scan holds."""

    inside: np.ndarray  # (channels, z, y, x) float16
    box: Box
    geometry: Geometry
    channels: tuple[str, ...]
    values: tuple[int, ...]

    def whole(self) -> np.ndarray:
        """Return the probabilities (channels, Z, Y, X) float16 on the scan's whole grid."""
        array = np.empty((len(self.channels), *self.geometry.shape), TYPE)
        array[...] = _certain_background(self.channels).reshape(-1, 1, 1, 1)
        z, y, x = (slice(start, stop) for start, stop in self.box)
        array[:, z, y, x] = self.inside
        return array


def channel_names(labels: Labels) -> tuple[str, ...]:
    """Return the names of the channels: background first where targets exclude each other."""
    return (BACKGROUND, *labels.names) if labels.exclusive else labels.names


def write_probabilities(
    path: Path,
    geometry: Geometry,
    box: Box,
    labels: Labels,
    fill: Callable[[np.ndarray], object],
) -> None:
    """Write the `.npz` of a scan; `fill` is called with the array (channels, z, y, x) of the box.

    Same probabilities, same bytes. Raises ResourceError when the disk is full.
    """
    shape = (labels.channels, *(stop - start for start, stop in box))

    def write(stream: BinaryIO) -> None:
        with tempfile.TemporaryFile(dir=path.parent) as scratch:
            array = _array_in(scratch, shape)
            if array.size:
                fill(array)
            members = {"probabilities": array, **_small_members(geometry, box, labels)}
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                for name, member in members.items():
                    _write_member(archive, f"{name}.npy", member)

    write_atomically(path, write)


def _array_in(scratch: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array that lives in an open file, whose place on the disk is taken now."""
    size = int(np.prod(shape, dtype=np.int64)) * TYPE.itemsize
    if size == 0:
        return np.zeros(shape, TYPE)
    if hasattr(os, "posix_fallocate"):  # else a full disk would end the process in `fill`
        os.posix_fallocate(scratch.fileno(), 0, size)
    return np.memmap(scratch, TYPE, "r+", shape=shape)


def _small_members(geometry: Geometry, box: Box, labels: Labels) -> dict[str, np.ndarray]:
    channels = channel_names(labels)
    return {
        "box": np.asarray(box, np.int64),
        "outside": _certain_background(channels),
        "channels": np.asarray(channels, str),
        "values": np.asarray(labels.written, np.int64),
        "shape": np.asarray(geometry.shape, np.int64),
        "spacing": np.asarray(geometry.spacing, np.float64),
        "origin": np.asarray(geometry.origin, np.float64),
        "direction": np.asarray(geometry.direction, np.float64),
    }


def _certain_background(channels: Sequence[str]) -> np.ndarray:
    return np.asarray([name == BACKGROUND for name in channels], TYPE)


def _write_member(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    header = BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    entry = zipfile.ZipInfo(name)  # dated 1980: the bytes depend on the arrays only
    entry.compress_type = archive.compression
    with archive.open(entry, "w", force_zip64=array.nbytes >= LARGE) as member:
        member.write(header.getvalue())
        for chunk in _chunks(array):
            member.write(chunk)


def _chunks(array: np.ndarray) -> Iterator[memoryview]:
    flat = array.reshape(-1)
    step = max(1, CHUNK_BYTES // array.itemsize)
    for start in range(0, flat.size, step):
        yield flat[start : start + step].view(np.uint8).data


def read_probabilities(path: Path) -> Probabilities:
    """Return what `write_probabilities` wrote; raise DataError when it is something else."""
    with _opened(path) as archive:
        about = _read_about(archive, path)
        return replace(about, inside=np.stack(list(_channels(archive))))


def read_about(path: Path) -> Probabilities:
    """Return what stands beside the probabilities in a file, with no voxels `inside`."""
    with _opened(path) as archive:
        return _read_about(archive, path)


def read_channels(path: Path) -> Iterator[np.ndarray]:
    """Yield channel after channel (z, y, x) float16 of the box, one in memory at a time."""
    with _opened(path) as archive:
        yield from _channels(archive)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError as error:
        raise DataError("file not found", place=str(path)) from error
    except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError) as error:
        raise CorruptError(f"is damaged: {error}", place=str(path)) from error


def _read_about(archive: zipfile.ZipFile, path: Path) -> Probabilities:
    names = [name.removesuffix(".npy") for name in archive.namelist()]
    if not {"box", "probabilities"} <= set(names):
        raise DataError(
            f"holds {', '.join(names) or 'nothing'}",
            place=str(path),
            expected="the probabilities and box that autoseg_predict saves",
        )

    def numbers(name: str) -> tuple[Any, ...]:
        with archive.open(f"{name}.npy") as stream:
            return tuple(np.lib.format.read_array(stream, allow_pickle=False).tolist())

    grid = {name: numbers(name) for name in ("shape", "spacing", "origin", "direction")}
    z, y, x = ((int(start), int(stop)) for start, stop in numbers("box"))
    about = Probabilities(
        inside=np.zeros((0, 0, 0, 0), TYPE),
        box=(z, y, x),
        geometry=Geometry(**grid),
        channels=numbers("channels"),
        values=numbers("values"),
    )
    _check_sizes(about, _shape(archive))
    return about


def _check_sizes(about: Probabilities, shape: Sequence[int]) -> None:
    """Raise ValueError for a box outside of its scan, or probabilities of another size.

    A box of a thousand scans would take the memory of a thousand scans.
    """
    sides = zip(about.box, about.geometry.shape, strict=True)
    if not all(0 <= start <= stop <= size for (start, stop), size in sides):
        raise ValueError(f"the box {about.box} in a scan of {about.geometry.shape}")
    wanted = (len(about.values), *(stop - start for start, stop in about.box))
    if len(about.channels) != len(about.values) or tuple(shape) != wanted:
        raise ValueError(f"probabilities of shape {tuple(shape)}, expected {wanted}")


def _shape(archive: zipfile.ZipFile) -> tuple[int, ...]:
    with archive.open("probabilities.npy") as stream:
        return _header(stream)


def _header(stream: IO[bytes]) -> tuple[int, ...]:
    """Return the shape of the probabilities; the stream stands at the first of them then."""
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("an array of another version")
    shape, _, kind = np.lib.format.read_array_header_1_0(stream)
    if kind != TYPE or len(shape) != 4:
        raise ValueError(f"an array of {kind} in {len(shape)} dimensions")
    return shape


def _channels(archive: zipfile.ZipFile) -> Iterator[np.ndarray]:
    with archive.open("probabilities.npy") as stream:
        shape = _header(stream)
        size = int(np.prod(shape[1:], dtype=np.int64)) * TYPE.itemsize
        for _ in range(shape[0]):
            data = stream.read(size)
            if len(data) < size:
                raise EOFError("it ends too soon")
            yield np.frombuffer(data, TYPE).reshape(shape[1:])
