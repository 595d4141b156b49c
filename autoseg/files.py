"""The only writer of files that others read: whole or not at all; JSON in and out.

A file is written under a temporary name in its own folder, flushed, and renamed: a reader sees the
old file or the new one, never half of one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from autoseg.errors import DataError, ResourceError
from autoseg.records import to_json


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
        raise resource_error(error, path) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems refuse to sync a directory; the rename is done anyway
    finally:
        os.close(handle)


def resource_error(error: OSError, path: Path) -> ResourceError:
    """Return why `path` could not be written, in words, with what helps."""
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


def check_writable(folder: Path) -> None:
    """Raise ResourceError when no file can be made in `folder`, which is created if need be."""
    probe = folder / f".autoseg.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise resource_error(error, folder) from error


def append_line(path: Path, line: str) -> None:
    """Append `line` to a UTF-8 text; not atomically, so readers drop a last line that is torn."""
    try:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")
    except OSError as error:
        raise resource_error(error, path) from error


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


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
