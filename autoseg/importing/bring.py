"""Copy or link files as they are."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from autoseg.case_files import PICTURES, ending_of
from autoseg.errors import DataError, ResourceError, UsageError, suggest
from autoseg.files import write_atomically
from autoseg.pictures import sidecar_of

LINKS = ("symlink", "hard")


def kind_of_link(link: bool | str) -> str:
    """Return the kind of link that is meant: "", "symlink" (True) or "hard"."""
    kind = link if isinstance(link, str) else "symlink" * link
    if kind and kind not in LINKS:
        raise UsageError(f"unknown kind of link '{kind}'", remedy=suggest(kind, LINKS))
    return kind


def bring(path: Path, target: Path, link: str = "") -> None:
    """Copy or link one file, and the JSON file with its voxel size if it is a picture with one.

    Raises DataError when its voxels are in another file, ResourceError when the disk refuses.
    """
    _refuse_detached(path)
    _bring_one(path, target, link)
    sidecar = sidecar_of(path) if ending_of(path) in PICTURES else None
    if sidecar is not None:
        stem = target.name[: -len(ending_of(target))]
        _bring_one(sidecar, target.with_name(f"{stem}.json"), link)


def _bring_one(path: Path, target: Path, link: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if not link:
            with path.open("rb") as stream:
                # Not flushed to the disk one by one: dataset.json, written last, vouches for all.
                write_atomically(target, lambda out: shutil.copyfileobj(stream, out), False)
        else:
            target.unlink(missing_ok=True)
            (os.link if link == "hard" else os.symlink)(path.resolve(), target)
    except FileNotFoundError as error:
        raise DataError("file not found", place=str(path)) from error
    except OSError as error:
        remedy = "hard links stay on one disk; use symlink" if error.errno == errno.EXDEV else ""
        fact = f"cannot be brought in: {error.strerror or error}"
        raise ResourceError(fact, place=str(path), remedy=remedy) from error


def _refuse_detached(path: Path) -> None:
    if ending_of(path) not in (".mha", ".mhd", ".nrrd"):
        return
    with path.open("rb") as stream:
        start = stream.read(4096)
    header = start.partition(b"\n\n")[0].lower() if start.startswith(b"NRRD") else start
    detached = b"data file:" in header or b"datafile:" in header
    if ending_of(path) != ".nrrd":
        detached = b"LOCAL" not in start.partition(b"ElementDataFile")[2][:20]
    if detached:
        remedy = "save it as one file, .mha or .nrrd"
        raise DataError("its voxels are in another file", place=str(path), remedy=remedy)
