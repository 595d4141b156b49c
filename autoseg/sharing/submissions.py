"""What a course or a challenge wants handed in: files at fixed places, packed into one.

The same files give the same bytes: sorted, without dates, owners or names of this computer.
"""

from __future__ import annotations

import gzip
import importlib
import re
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from autoseg.errors import Problem, ResourceError, UsageError
from autoseg.files import write_atomically

TARGZ, ZST, ZIP = (".tar.gz", ".tgz"), (".tar.zst",), (".zip",)
PACKED = (*TARGZ, *ZST, *ZIP)
GIT_BUNDLE = re.compile(rb"# v\d+ git bundle\n")
CHUNK = 1 << 20


@dataclass(frozen=True)
class Piece:
    """One file: where it lies now, and its place in what is handed in."""

    place: str  # "val/pred/Patient_01.nii.gz"
    source: Path


def ending_of_package(path: Path) -> str:
    """Return how `path` is packed as one of PACKED; "" means a folder."""
    return next((ending for ending in PACKED if path.name.lower().endswith(ending)), "")


def check_package(path: Path) -> None:
    """Raise ResourceError for a package that needs a library which is not there."""
    if ending_of_package(path) in ZST:
        _zstandard()


def pack(pieces: Sequence[Piece], target: Path, top: str = "") -> None:
    """Write all pieces to `target`, below a folder `top`: a .tar.gz, .tar.zst, .zip or a folder."""
    ordered = sorted(pieces, key=lambda piece: piece.place)
    named = [(f"{top}/{piece.place}" if top else piece.place, piece.source) for piece in ordered]
    ending = ending_of_package(target)
    if not ending:
        for name, source in named:
            place = target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, place)
        return
    write = _write_zip if ending in ZIP else _write_zst if ending in ZST else _write_targz
    write_atomically(target, lambda stream: write(stream, named))


def _write_targz(stream: BinaryIO, named: Sequence[tuple[str, Path]]) -> None:
    # Label maps are compressed already; neither a name nor a date goes into the header.
    with gzip.GzipFile("", "wb", 1, stream, mtime=0) as packed:
        _write_tar(cast(IO[bytes], packed), named)


def _write_zst(stream: BinaryIO, named: Sequence[tuple[str, Path]]) -> None:
    with _zstandard().ZstdCompressor(level=3).stream_writer(stream, closefd=False) as packed:
        _write_tar(packed, named)


def _write_tar(stream: IO[bytes], named: Sequence[tuple[str, Path]]) -> None:
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for name, source in named:
            member = tarfile.TarInfo(name)
            member.size, member.mode = source.stat().st_size, 0o644
            with source.open("rb") as file:
                archive.addfile(member, file)


def _write_zip(stream: BinaryIO, named: Sequence[tuple[str, Path]]) -> None:
    with zipfile.ZipFile(stream, "w") as archive:
        for name, source in named:
            member = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            member.create_system = 3
            member.external_attr = (stat.S_IFREG | 0o644) << 16
            member.file_size = source.stat().st_size
            with source.open("rb") as file, archive.open(member, "w") as place:
                shutil.copyfileobj(file, place, CHUNK)


def _zstandard() -> Any:
    try:
        return importlib.import_module("zstandard")
    except ImportError as error:
        fact, remedy = "zstandard is not installed", "pip install zstandard, or name a .tar.gz"
        raise ResourceError(fact, remedy=remedy) from error


# --- what is handed in ---------------------------------------------------------------------------


def own_file(folder: Path, name: str, remedy: str, problems: list[Problem]) -> list[Piece]:
    """Return the file `name` that only its author has; what is not there goes to `problems`."""
    path = folder / name
    if not path.is_file():
        problems.append(Problem(name, "is missing", f"the file {path}", remedy))
        return []
    if name.endswith(".bundle"):
        with path.open("rb") as stream:
            if not GIT_BUNDLE.match(stream.read(32)):
                problems.append(Problem(str(path), "is not what git bundle writes", "", remedy))
    return [Piece(name, path)]


def kits_name(case: str) -> str:
    """Return the name of a prediction as KiTS wants it: case_00160 -> prediction_00160.nii.gz."""
    number = re.fullmatch(r"(?:case_|prediction_)?(\d{5})", case)
    if number is None:
        raise UsageError(f"'{case}' is no case of KiTS", expected="case_ and five digits")
    return f"prediction_{number[1]}.nii.gz"
