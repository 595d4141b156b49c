"""Scans as they were read, kept from the check until they are prepared: each file is decoded once.

<folder>/<case>.npz    image (C, Z, Y, X) in its own number type, labels (1, Z, Y, X) file values
<folder>/<case>.json   `Spooled`: the grid, and the files it was read from as they were then
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autoseg.dataset import Case
from autoseg.errors import CorruptError, DataError
from autoseg.files import read_json, write_atomically, write_json
from autoseg.image import Geometry, Image
from autoseg.preprocessing.npz import map_npz, write_npz
from autoseg.preprocessing.store import Source, paths_of, sources_of
from autoseg.records import from_json


@dataclass(frozen=True)
class Spooled:
    """What is known about a spooled scan besides its arrays."""

    geometry: Geometry
    sources: tuple[Source, ...]
    bytes: int  # of the .npz


@contextlib.contextmanager
def spool(folder: Path, wanted: bool) -> Iterator[Path | None]:
    """Yield `folder`, or None if it is not `wanted`; it is removed with all that is in it."""
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    try:
        yield folder if wanted else None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def put(folder: Path, case: Case, image: Image, labels: Image) -> None:
    """Keep a scan and its label map, both on the grid of `image`."""
    path, about = paths_of(folder, case.id)
    members = {"image": image.array, "labels": labels.array}
    write_atomically(path, lambda stream: write_npz(stream, members), durable=False)
    spooled = Spooled(image.geometry, sources_of(case), path.stat().st_size)
    write_json(about, spooled, durable=False)


def take(folder: Path | None, case: Case) -> tuple[Image, Image] | None:
    """Return a scan and its label map, mapped; None where the files must be read (again)."""
    if folder is None:
        return None
    path, about = paths_of(folder, case.id)
    try:
        spooled = from_json(Spooled, read_json(about), str(about))
        if spooled.sources != sources_of(case):
            return None
        arrays = map_npz(path, spooled.bytes)
    except (DataError, CorruptError):
        return None
    return Image(arrays["image"], spooled.geometry), Image(arrays["labels"], spooled.geometry)


def drop(folder: Path | None, case: Case) -> None:
    """Give back the disk that a scan takes, once nobody needs it."""
    if folder is not None:
        for path in paths_of(folder, case.id):
            path.unlink(missing_ok=True)
