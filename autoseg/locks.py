"""Who may write in a folder: one owner at a time, and room to build what is renamed into place."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from autoseg.errors import LockedError
from autoseg.files import resource_error
from autoseg.records import fingerprint_of

STALE_TEMPORARY_S = 24 * 3600
TAKEN = (errno.EWOULDBLOCK, errno.EACCES)  # what a lock that another holds answers
POLL_S = 0.05


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
        raise resource_error(error, folder) from error
    try:
        try:
            _take(handle, time.monotonic() + wait_s, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in TAKEN:
                raise resource_error(error, folder) from error
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


def _take(handle: int, until: float, kind: int) -> None:
    while True:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in TAKEN or time.monotonic() >= until:
                raise
        time.sleep(POLL_S)


def _note_holder(handle: int, command: str) -> None:
    note = f"pid {os.getpid()} on {socket.gethostname()} since {time.strftime('%F %T')} {command}"
    os.ftruncate(handle, 0)
    os.pwrite(handle, note.encode(), 0)


def _remove_stale_temporaries(folder: Path) -> None:
    for leftover in folder.glob(".*.tmp"):
        parts = leftover.name.split(".")
        pid = int(parts[-3]) if len(parts) > 3 and parts[-3].isdigit() else 0
        with contextlib.suppress(OSError):
            old = time.time() - leftover.stat().st_mtime > STALE_TEMPORARY_S
            if old or (pid and not _is_alive(pid)):
                leftover.unlink()


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
        raise resource_error(error, parent) from error
    try:
        yield room
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
