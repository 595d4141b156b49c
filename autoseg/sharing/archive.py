"""Models in zip files: written so that nothing private is in them, read as if everybody lied.

Out: exactly the files that a bundle consists of, under neutral names and dates; the same model
gives the same bytes. In: names, kinds and sizes of all members are looked at before one is written;
bytes are counted while they come, whatever the archive says of itself.
"""

from __future__ import annotations

import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from autoseg.errors import CorruptError, UsageError
from autoseg.files import write_atomically

FOLD = r"fold_[A-Za-z0-9][A-Za-z0-9_-]{0,40}"
MEMBER = re.compile(
    r"(?:previous/)?(?:card\.json|plan\.json|train\.json|MODEL_CARD\.md|"
    rf"{FOLD}/(?:card\.json|test\.json|weights\.safetensors))"
)
IGNORED = re.compile(r"(?:.*/)?(?:__MACOSX/.*|\.DS_Store)")  # added by a Mac; never unpacked
PICKLES = (".pkl", ".pickle", ".pth", ".pt", ".bin", ".ckpt", ".joblib")

MOST_MEMBERS = 10_000
MOST_BYTES = 64 << 30  # five folds of the largest network are a tenth of it
MOST_TEXT = 64 << 20  # of one JSON or Markdown file, which is read into memory
MOST_RATIO = 200  # unpacked / packed; weights hardly shrink at all
MOST_DIRECTORY = 4 << 20  # bytes of the table of contents
CHUNK = 1 << 20
END = struct.Struct("<4s4H2LH")  # the record that ends every zip file
UNREADABLE = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError,
    KeyError, struct.error,
)  # fmt: skip


def bundle_files(folder: Path) -> list[str]:
    """Return the files of the bundle in `folder` by name (`fold_0/card.json`), sorted."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in names if MEMBER.fullmatch(name))


def write_archive(folder: Path, target: Path, top: str) -> None:
    """Write the bundle in `folder` as a zip file, in a folder `top`; the same bytes every time."""

    def write(stream: BinaryIO) -> None:
        with zipfile.ZipFile(stream, "w") as archive:
            for name in bundle_files(folder):
                # Stored: weights do not shrink, and compressors differ between computers.
                member = zipfile.ZipInfo(f"{top}/{name}", (1980, 1, 1, 0, 0, 0))
                member.create_system = 3
                member.external_attr = (stat.S_IFREG | 0o644) << 16
                member.file_size = (folder / name).stat().st_size
                with (folder / name).open("rb") as source, archive.open(member, "w") as place:
                    shutil.copyfileobj(source, place, CHUNK)

    write_atomically(target, write)


def list_archive(path: Path) -> list[str]:
    """Return the names of the files in a zip; CorruptError when one is not to be trusted.

    Refused are names that lead elsewhere, links and devices, names that occur twice, encrypted
    members, and archives that would unpack to too much or to too many.
    """
    _refuse_crowd(path)
    with _opened(path) as archive:
        members = archive.infolist()
        _check_sizes(members, path)
        seen: set[str] = set()
        for member in members:
            _check_member(member, path)
            key = member.filename.rstrip("/").casefold()
            if key in seen:
                raise CorruptError(f"holds '{member.filename}' twice", place=str(path))
            seen.add(key)
        return [member.filename for member in members if not member.is_dir()]


def members_of_bundle(names: Sequence[str], path: Path) -> dict[str, str]:
    """Return member -> file of the bundle for the names in a zip of ours.

    Raises CorruptError when anything else is in it: a model holds no code and no pickles.
    """
    cards = [name for name in names if PurePosixPath(name).name == "card.json"]
    top = min(cards, key=lambda name: name.count("/"), default="").removesuffix("card.json")
    files, strange = {}, []
    for name in names:
        inside = name.removeprefix(top)
        if name.startswith(top) and MEMBER.fullmatch(inside):
            files[name] = inside
        elif not IGNORED.fullmatch(name):
            strange.append(name)
    if strange:
        pickles = [name for name in strange if name.lower().endswith(PICKLES)]
        fact = f"holds '{(pickles or strange)[0]}', which is no part of a model"
        why = "a pickle could run code when it is read" if pickles else "nothing was unpacked"
        raise CorruptError(fact, place=str(path), remedy=f"{why}; ask its author for another")
    return files


def extract(path: Path, files: Mapping[str, str], into: Path) -> None:
    """Write members of a zip to the folder `into`: `files` maps each to a relative path there.

    Raises CorruptError, with parts written, when the archive is damaged or unpacks to too much.
    """
    left = min(MOST_BYTES, MOST_RATIO * path.stat().st_size)
    with _opened(path) as archive:
        for name, place in files.items():
            most = min(left, MOST_TEXT) if place.endswith((".json", ".md")) else left
            with archive.open(name) as source:
                left -= _copy(source, into / place, most, f"{path}: {name}")


def _copy(source: IO[bytes], place: Path, most: int, label: str) -> int:
    """Copy at most `most` bytes, or raise; return how many there were."""
    size = 0

    def write(stream: BinaryIO) -> None:
        nonlocal size
        while chunk := source.read(CHUNK):
            size += len(chunk)
            if size > most:
                raise CorruptError(f"unpacks to more than {most:,} bytes", place=label)
            stream.write(chunk)

    write_atomically(place, write, durable=False)
    return size


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError as error:
        raise UsageError("no such file", place=str(path)) from error
    except UNREADABLE as error:
        raise CorruptError(
            f"cannot be unpacked: {error}", place=str(path), remedy="copy or download it again"
        ) from error


def _refuse_crowd(path: Path) -> None:
    """Look at the end of the file, before a table of a million names is read into memory."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - (1 << 16) - END.size))
            tail = stream.read()
    except FileNotFoundError as error:
        raise UsageError("no such file", place=str(path)) from error
    start = tail.rfind(b"PK\5\6")
    if start < 0 or len(tail) < start + END.size:
        raise CorruptError("is not a zip file, or not the whole of it", place=str(path))
    _, _, _, _, members, directory, offset, _ = END.unpack_from(tail, start)
    huge = offset == 0xFFFFFFFF  # of a file beyond 4 GB the other numbers are elsewhere, too
    if members > MOST_MEMBERS or (directory > MOST_DIRECTORY and not huge):
        fact = f"holds {members:,} members or more"
        raise CorruptError(fact, place=str(path), expected=f"at most {MOST_MEMBERS:,}")


def _check_sizes(members: Sequence[zipfile.ZipInfo], path: Path) -> None:
    packed, size = sum(m.compress_size for m in members), path.stat().st_size
    unpacked = sum(m.file_size for m in members)
    if len(members) > MOST_MEMBERS:
        fact = f"holds {len(members):,} members"
        raise CorruptError(fact, place=str(path), expected=f"at most {MOST_MEMBERS:,}")
    if packed > size:
        raise CorruptError("its members lie on top of each other", place=str(path))
    if unpacked > min(MOST_BYTES, MOST_RATIO * size):
        fact = f"would unpack {size:,} bytes to {unpacked:,}"
        raise CorruptError(fact, place=str(path), expected=f"at most {MOST_RATIO} times as many")


def _check_member(member: zipfile.ZipInfo, path: Path) -> None:
    name = member.orig_filename  # as it stands there; Python's own is cleaned up
    parts = name.rstrip("/").split("/")
    leads_away = (
        name.startswith("/")
        or "\\" in name
        or re.match(r"[A-Za-z]:", name) is not None
        or any(part in ("", ".", "..") for part in parts)
        or any(ord(letter) < 32 for letter in name)
    )
    if leads_away:
        raise CorruptError(f"holds the name {name!r}, which leads elsewhere", place=str(path))
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise CorruptError(f"'{name}' is a link or a device", place=str(path))
    if member.flag_bits & 0x1:
        raise CorruptError(f"'{name}' is encrypted", place=str(path))
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        fact = f"'{name}' is compressed by method {member.compress_type}"
        raise CorruptError(fact, place=str(path), expected="deflate, or none")
