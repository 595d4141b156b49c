"""The only writer of files that others read: atomic, locked, listed in manifests; JSON in and out.

A file is written under a temporary name in its own folder, flushed, and renamed: a reader sees the
old file or the new one, never half of one. Records (frozen dataclasses) go to and from JSON here
too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import functools
import hashlib
import json
import os
import secrets
import shutil
import socket
import time
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from autoseg.errors import CorruptError, DataError, LockedError, ResourceError, suggest

Record = TypeVar("Record")
STALE_TEMPORARY_S = 24 * 3600
TAKEN = (errno.EWOULDBLOCK, errno.EACCES)  # what a lock that another holds answers
LOCK_POLL_S = 0.05
OPTIONAL = {"optional": True}  # metadata of fields that are written only where they hold something
PRIMITIVES = (str, int, float, bool, type(None))


def write_atomically(path: Path, write: Callable[[BinaryIO], object], durable: bool = True) -> None:
    """Create or replace `path` with what `write(stream)` writes, all or nothing.

    `durable=False` skips the fsync (4 ms): for files guarded by a manifest that is written last.
    Raises ResourceError when the disk is full or the folder cannot be written.
    """
    temporary = path.parent / f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            write(stream)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        temporary.replace(path)
        if durable:
            _sync_folder(path.parent)
    except OSError as error:
        raise _as_resource_error(error, path) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def check_writable(folder: Path) -> None:
    """Raise ResourceError when no file can be made in `folder`, which is created if need be."""
    probe = folder / f".autoseg.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _as_resource_error(error, folder) from error


def append_line(path: Path, line: str) -> None:
    """Append `line` to a UTF-8 text; not atomically, so readers drop a last line that is torn."""
    try:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")
    except OSError as error:
        raise _as_resource_error(error, path) from error


def write_text(path: Path, text: str, durable: bool = True) -> None:
    """Write UTF-8 `text` atomically."""
    write_atomically(path, lambda stream: stream.write(text.encode("utf-8")), durable)


def write_json(path: Path, value: Any, durable: bool = True) -> None:
    """Write a record, or JSON primitives, atomically; NaN is refused, tuples become lists."""
    write_text(path, json_text(to_json(value)), durable)


def json_text(value: Any) -> str:
    """Return JSON with two-space indent, but lists of plain numbers and strings on one line."""
    return _json_lines(value, "") + "\n"


def _json_lines(value: Any, indent: str) -> str:
    inner = indent + "  "
    if isinstance(value, dict) and value:
        items = (f"{inner}{json.dumps(str(k))}: {_json_lines(v, inner)}" for k, v in value.items())
        return "{\n" + ",\n".join(items) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(item, dict | str) for item in value):
        return "[\n" + ",\n".join(inner + _json_lines(v, inner) for v in value) + f"\n{indent}]"
    return json.dumps(value, allow_nan=False, ensure_ascii=False)


def read_json(path: Path) -> Any:
    """Return what a JSON file holds; a byte-order mark is accepted, duplicate keys are not.

    Raises DataError naming line and column, or that the file is missing.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError("file not found", place=str(path)) from error
    except UnicodeDecodeError as error:
        raise DataError("is not UTF-8 text", place=str(path), expected="a JSON file") from error
    try:
        return json.loads(text, object_pairs_hook=_refuse_duplicates)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise DataError(f"is not JSON: {error.msg} at {where}", place=str(path)) from error
    except ValueError as error:
        raise DataError(str(error), place=str(path)) from error
    except RecursionError as error:
        raise DataError("is nested too deeply", place=str(path)) from error


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for key, value in pairs:
        if key in table:
            raise ValueError(f"the key '{key}' stands there twice")
        table[key] = value
    return table


# --- records -----------------------------------------------------------------------------------


def to_json(value: Any) -> Any:
    """Return `value` (records, mappings, sequences, numbers, paths) as JSON primitives."""
    if type(value) in PRIMITIVES:  # most are, and asking for everything else takes ten times longer
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = [(f, getattr(value, f.name)) for f in dataclasses.fields(value)]
        return {f.name: to_json(item) for f, item in pairs if item or not f.metadata}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item") and not isinstance(value, str | bytes):
        return value.item() if getattr(value, "ndim", 0) == 0 else value.tolist()
    return value


def from_json(record: type[Record], value: Any, place: str = "") -> Record:
    """Return a `record` (frozen dataclass of JSON primitives) built from what `to_json` gave.

    Raises CorruptError naming the field at `place` that is unknown, missing or of a wrong type.
    """
    return typing.cast(Record, _build(record, value, place or record.__name__))


def _build(kind: Any, value: Any, place: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        options = [option for option in arguments if option is not type(None)]
        return _build(options[0], value, place) if len(options) == 1 else value
    if origin is tuple:
        return _build_tuple(arguments, value, place)
    if _is_mapping(origin):
        if not isinstance(value, dict):
            raise _wrong(place, value, "an object")
        return {key: _build(arguments[1], item, f"{place}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(kind):
        return _build_record(kind, value, place)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, type) and (
        not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)
    ):
        raise _wrong(place, value, kind.__name__)
    return value


def _is_mapping(origin: Any) -> bool:
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _build_tuple(arguments: tuple[Any, ...], value: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong(place, value, "a list")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = (arguments[0],) * len(value)
    if len(arguments) != len(value):
        raise _wrong(place, value, f"{len(arguments)} entries")
    pairs = zip(arguments, value, strict=True)
    return tuple(_build(kind, item, f"{place}[{i}]") for i, (kind, item) in enumerate(pairs))


# Evaluating annotations takes 0.5 ms a record, which hundreds of small files would feel.
_type_hints = functools.lru_cache(maxsize=256)(typing.get_type_hints)


def _build_record(kind: Any, value: Any, place: str) -> Any:
    if not isinstance(value, dict):
        raise _wrong(place, value, f"an object with the fields of {kind.__name__}")
    hints = _type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for name in value:
        if name not in fields:
            raise CorruptError(f"unknown field '{name}'", place=place, remedy=suggest(name, fields))
    missing = [
        name
        for name, f in fields.items()
        if name not in value
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise CorruptError(f"misses {', '.join(missing)}", place=place)
    return kind(**{k: _build(hints[k], v, f"{place}.{k}") for k, v in value.items()})


def _wrong(place: str, value: Any, expected: str) -> CorruptError:
    return CorruptError(
        f"found {json.dumps(value, default=str)[:60]}", place=place, expected=expected
    )


# --- manifests, hashes, locks --------------------------------------------------------------------


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def fingerprint_of(value: Any) -> str:
    """Return a short stable hash of a record or of JSON primitives."""
    text = json.dumps(to_json(value), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextlib.contextmanager
def locked(
    folder: Path, command: str = "", wait_s: float = 0.0, shared: bool = False
) -> Iterator[None]:
    """Hold `<folder>/.autoseg.lock` while the block runs; raise LockedError when another holds it.

    The other may have `wait_s` seconds to end. Any number may hold it at once when all of them
    want it `shared`.
    The kernel releases the lock when the holder dies, so no lock is ever stale on one machine.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / ".autoseg.lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise _as_resource_error(error, folder) from error
    try:
        try:
            _take(handle, time.monotonic() + wait_s, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in TAKEN:
                raise _as_resource_error(error, folder) from error
            holder = os.pread(handle, 500, 0).decode("utf-8", "replace").strip() or "unknown"
            raise LockedError(
                f"in use by another process ({holder})",
                place=str(folder),
                remedy="wait for it to end, or stop it, then run the same command again",
            ) from error
        if not shared:  # then temporary files may belong to somebody, on another machine even
            _note_holder(handle, command)
            _remove_stale_temporaries(folder)
        yield
    finally:
        os.close(handle)


def _note_holder(handle: int, command: str) -> None:
    note = f"pid {os.getpid()} on {socket.gethostname()} since {time.strftime('%F %T')} {command}"
    os.ftruncate(handle, 0)
    os.pwrite(handle, note.encode(), 0)


@contextlib.contextmanager
def building(place: Path) -> Iterator[Path]:
    """Give an empty folder on the disk where `place` will be, gone when the block ends.

    What is built in it is renamed into place: whole, or not at all. Folders that killed processes
    of this computer left there are removed.
    """
    parent = place.parent
    while not parent.is_dir():
        parent = parent.parent
    host = fingerprint_of(socket.gethostname())
    for leftover in parent.glob(f".autoseg-building.{host}.*"):
        pid = leftover.name.split(".")[3]
        if pid.isdigit() and not _is_alive(int(pid)):
            shutil.rmtree(leftover, ignore_errors=True)
    room = parent / f".autoseg-building.{host}.{os.getpid()}.{secrets.token_hex(4)}"
    try:
        room.mkdir()
    except OSError as error:
        raise _as_resource_error(error, parent) from error
    try:
        yield room
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _take(handle: int, until: float, kind: int) -> None:
    while True:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in TAKEN or time.monotonic() >= until:
                raise
        time.sleep(LOCK_POLL_S)


def _remove_stale_temporaries(folder: Path) -> None:
    for leftover in folder.glob(".*.tmp"):
        parts = leftover.name.split(".")
        pid = int(parts[-3]) if len(parts) > 3 and parts[-3].isdigit() else 0
        with contextlib.suppress(OSError):
            old = time.time() - leftover.stat().st_mtime > STALE_TEMPORARY_S
            if old or (pid and not _is_alive(pid)):
                leftover.unlink()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems refuse to sync a directory; the rename is done anyway
    finally:
        os.close(handle)


def _as_resource_error(error: OSError, path: Path) -> ResourceError:
    reasons = {
        errno.ENOSPC: ("the disk is full", "free some space and run the same command again"),
        errno.EDQUOT: (
            "the disk quota is used up",
            "free some space and run the same command again",
        ),
        errno.EACCES: ("permission denied", "choose a folder that you may write"),
        errno.EROFS: ("the file system is read-only", "choose a folder that you may write"),
    }
    fact, remedy = reasons.get(error.errno or 0, (f"cannot write: {error.strerror or error}", ""))
    return ResourceError(fact, place=str(path), remedy=remedy)
