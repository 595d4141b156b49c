"""What a file is before a reader touches it: missing, empty, a pointer, cut short, or too large.

ITK allocates what a header claims and reports a failure without saying which file or why; these
checks read a few hundred bytes and say both.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path

from autoseg.errors import DataError, number_of
from autoseg.tiff import count_pages

MAX_VOXELS = 2_000_000_000
MAX_PICTURE_PIXELS = 500_000_000
HEADER_BYTES = 1 << 16
COPY_AGAIN = "copy or download it again"

_PRETENDERS = {
    b"version https://git-lfs": ("is a Git-LFS pointer, not the image", "run git lfs pull"),
    b"<!doctype": ("is a web page, not an image", "download it again, logged in if need be"),
    b"<html": ("is a web page, not an image", "download it again, logged in if need be"),
    b"outs:": ("is a DVC stub, not the image", "run dvc pull"),
}
_META_BYTES = {
    "MET_CHAR": 1, "MET_UCHAR": 1, "MET_SHORT": 2, "MET_USHORT": 2, "MET_INT": 4, "MET_UINT": 4,
    "MET_LONG": 4, "MET_ULONG": 4, "MET_LONG_LONG": 8, "MET_ULONG_LONG": 8,
    "MET_FLOAT": 4, "MET_DOUBLE": 8,
}  # fmt: skip
_NRRD_BYTES = {"char": 1, "short": 2, "int": 4, "long long": 8, "float": 4, "double": 8}


def check_file(path: Path) -> None:
    """Raise DataError unless `path` is a file with something in it that may be an image."""
    try:
        with path.open("rb") as stream:
            start = stream.read(64)
    except FileNotFoundError as error:
        fact = "is a link to a file that is gone" if path.is_symlink() else "file not found"
        raise DataError(fact, place=str(path)) from error
    except IsADirectoryError as error:
        raise DataError("is a folder", place=str(path), expected="an image file") from error
    except OSError as error:
        raise DataError(f"cannot be opened: {error.strerror}", place=str(path)) from error
    if not start:
        raise DataError("is empty (0 bytes)", place=str(path), remedy=COPY_AGAIN)
    lowered = start.lower().lstrip()
    for beginning, (fact, remedy) in _PRETENDERS.items():
        if lowered.startswith(beginning):
            raise DataError(fact, place=str(path), remedy=remedy)


def check_claims(path: Path, ending: str) -> None:
    """Raise DataError when a MetaImage, NRRD, PNG or TIFF header claims more than is there."""
    with path.open("rb") as stream:
        start = stream.read(HEADER_BYTES)
    if ending in (".mha", ".mhd"):
        _check_metaimage(path, start)
    elif ending == ".nrrd":
        _check_nrrd(path, start)
    elif ending == ".png":
        _check_png(path, start)
    elif ending in (".tif", ".tiff"):
        _check_tiff(path)


def _check_metaimage(path: Path, start: bytes) -> None:
    fields, length = {}, 0
    for line in start.splitlines(keepends=True):
        length += len(line)
        key, separator, value = line.decode("latin-1").partition("=")
        if not separator:
            break
        fields[key.strip().lower()] = value.strip()
        if key.strip() == "ElementDataFile":
            break
    if fields and "elementdatafile" not in fields:
        raise DataError("ends inside its header", place=str(path), remedy=COPY_AGAIN)
    if "elementdatafile" not in fields or "dimsize" not in fields:
        raise DataError("is not a MetaImage file", place=str(path), expected="DimSize = ...")
    kind = fields.get("elementtype", "").upper()
    if kind not in _META_BYTES:
        raise DataError(f"the pixel type is {kind or 'missing'}", place=str(path))
    sizes = _whole_numbers(fields["dimsize"], path)
    channels = int(fields.get("elementnumberofchannels", "1") or 1)
    bytes_needed = math.prod(sizes) * channels * _META_BYTES[kind]
    data = _data_file(path, fields["elementdatafile"], "LOCAL")
    packed = fields.get("compresseddata", "false").lower() == "true"
    skip, squeezed = length if data == path else 0, fields.get("compresseddatasize", "")
    if packed and squeezed.isdigit() and data.stat().st_size - skip < int(squeezed):
        fact = f"is cut short: {data.stat().st_size - skip:,} bytes of compressed voxels"
        raise DataError(fact, place=str(path), expected=f"{int(squeezed):,}", remedy=COPY_AGAIN)
    _compare(path, sizes, bytes_needed, data, skip, packed)


def _check_nrrd(path: Path, start: bytes) -> None:
    if not start.startswith(b"NRRD"):
        raise DataError("is not an NRRD file", place=str(path), expected="a first line NRRD000x")
    end = min((i for i in (start.find(b"\n\n"), start.find(b"\r\n\r\n")) if i >= 0), default=-1)
    if end < 0:
        raise DataError("ends inside its header", place=str(path), remedy=COPY_AGAIN)
    fields = {}
    for line in start[:end].decode("latin-1").splitlines():
        key, separator, value = line.partition(":")
        if separator and not line.startswith("#"):
            fields[key.strip().lower()] = value.lstrip("=").strip()
    sizes = _whole_numbers(fields.get("sizes", ""), path)
    kind = fields.get("type", "").lower().removeprefix("unsigned ").removeprefix("signed ")
    kind = (
        kind.removeprefix("u").removesuffix("_t").replace("int8", "char").replace("int16", "short")
    )
    kind = kind.replace("int32", "int").replace("int64", "long long")
    bytes_needed = math.prod(sizes) * _NRRD_BYTES.get(kind, 1)
    detached = fields.get("data file", fields.get("datafile", ""))
    data = _data_file(path, detached, "") if detached else path
    packed = fields.get("encoding", "raw").lower() != "raw"
    _compare(path, sizes, bytes_needed, data, end + 2 if data == path else 0, packed)


def _check_png(path: Path, start: bytes) -> None:
    if start[:8] != b"\x89PNG\r\n\x1a\n" or len(start) < 33:
        raise DataError("is not a PNG file", place=str(path))
    width, height = struct.unpack(">II", start[16:24])
    if width * height > MAX_PICTURE_PIXELS:
        expected = f"at most {MAX_PICTURE_PIXELS:,} pixels"
        raise DataError(f"claims {width} x {height} pixels", place=str(path), expected=expected)
    with path.open("rb") as stream:
        stream.seek(-min(64, path.stat().st_size), 2)
        if b"IEND" not in stream.read():
            raise DataError("is cut short", place=str(path), remedy=COPY_AGAIN)


def _check_tiff(path: Path) -> None:
    # libtiff reads a file that lacks pages as one that has fewer.
    pages, whole = count_pages(path)
    if pages == 0 and whole:
        raise DataError("is not a TIFF file", place=str(path))
    if not whole:
        raise DataError(
            f"is cut short: {path.stat().st_size:,} bytes, {number_of(pages, 'whole page')}",
            place=str(path), expected="another page after that", remedy=COPY_AGAIN,
        )  # fmt: skip


def _whole_numbers(text: str, path: Path) -> list[int]:
    words = text.split()
    if not words or not all(word.isdigit() and int(word) > 0 for word in words):
        raise DataError(f"impossible dimensions '{text}'", place=str(path))
    return [int(word) for word in words]


def _data_file(path: Path, named: str, local: str) -> Path:
    """Return where the voxels are; a detached file must lie in the header's own folder."""
    if named == local:
        return path
    if Path(named).name != named or named.upper().startswith("LIST") or "%" in named:
        raise DataError(
            f"its voxels are in '{named}'", place=str(path), expected="a file in the same folder"
        )
    check_file(path.parent / named)
    return path.parent / named


def _compare(
    path: Path, sizes: list[int], bytes_needed: int, data: Path, skip: int, packed: bool
) -> None:
    text = " x ".join(map(str, sizes))
    if math.prod(sizes) > MAX_VOXELS:
        expected = f"at most {MAX_VOXELS:,}"
        raise DataError(f"claims {text} voxels", place=str(path), expected=expected)
    found = data.stat().st_size - skip
    if found < (bytes_needed / 1032 if packed else bytes_needed):
        raise DataError(
            f"is cut short: {found:,} bytes of voxels",
            place=str(path),
            expected=f"{bytes_needed:,} for {text}" + (" before compression" if packed else ""),
            remedy=COPY_AGAIN,
        )
