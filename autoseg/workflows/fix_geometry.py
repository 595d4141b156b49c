"""Give label maps the header of their image where nothing else is wrong: a grid of the same shape.

Programs that write label maps lose headers: voxels of 1 mm at the origin, an axis turned round. The
voxels are kept as they are stored, the former file and the former numbers too.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from autoseg.dataset import Case, find_dataset
from autoseg.errors import DataError
from autoseg.files import read_json, sha256, write_atomically, write_json
from autoseg.image import grid_differences
from autoseg.io import read_header, read_labels, read_names, write_labels
from autoseg.locks import locked
from autoseg.records import from_json
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)

RECORD = "fix_geometry.json"
KEPT = "labels_before"  # folder for the files as they were


@dataclass(frozen=True)
class Fixed:
    """One label file that got another header; paths are relative to `raw/<NAME>`."""

    case: str
    file: str
    kept: str  # as it was
    sha256: str  # of that
    image: str  # whose header it has now
    before: Mapping[str, str]  # spacing, origin, direction, as far as they differed
    after: Mapping[str, str]


@dataclass(frozen=True)
class Record:
    """What `fix_geometry.json` holds."""

    files: tuple[Fixed, ...] = ()


def fix_geometry(workspace: Workspace, name: str | None = None) -> tuple[Fixed, ...]:
    """Return what was rewritten in `raw/<NAME>`: label maps of their image's shape, not its place.

    The former files go to `labels_before`, and `fix_geometry.json` tells what was done, runs before
    this one included. Files that cannot be read, and other shapes, are left to the check.
    """
    name = workspace.find_raw(name)
    folder = workspace.raw(name)
    dataset = find_dataset(folder).dataset
    if dataset is None:
        return ()
    with locked(folder, f"autoseg check -d {name} --fix-geometry"):
        path = folder / RECORD
        earlier = from_json(Record, read_json(path), RECORD).files if path.exists() else ()
        fixed: list[Fixed] = []
        for case in dataset.cases:
            one = _wrong(case, folder)
            if one is not None:
                fixed.append(one)
                # Before the file itself: what an interruption leaves is told too, and done again.
                known = [entry for entry in earlier if entry not in fixed]
                write_json(path, Record((*known, *fixed)))
                _fix(case, folder, one)
                log.info("%s: %s, was %s", one.file, _words(one.after), _words(one.before))
    return tuple(fixed)


def _wrong(case: Case, folder: Path) -> Fixed | None:
    """Return what is to be done about the labels of a case, if they differ in the header alone."""
    path, image = case.labels, case.images[0]
    assert path is not None  # a case of a dataset has labels
    try:
        grid = read_header(image).geometry
        differences = grid_differences(read_header(path).geometry, grid)
        if not differences or differences[0][0] == "shape":
            return None
        read_labels(path)
    except (DataError, OSError):
        return None
    digest = sha256(path)
    kept = folder / KEPT / path.name
    if kept.exists() and sha256(kept) != digest:  # another file of this name was fixed before
        kept = kept.with_name(f"{digest[:8]}_{path.name}")
    return Fixed(
        case.id, _inside(path, folder), _inside(kept, folder), digest, _inside(image, folder),
        {what: here for what, here, _ in differences},
        {what: there for what, _, there in differences},
    )  # fmt: skip


def _fix(case: Case, folder: Path, one: Fixed) -> None:
    path, image = folder / one.file, case.images[0]
    former, label_map = path.read_bytes(), read_labels(path).array[0]
    write_atomically(folder / one.kept, lambda stream: stream.write(former))
    write_labels(path, label_map, read_header(image).geometry, image, read_names(path))


def _inside(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def _words(numbers: Mapping[str, str]) -> str:
    return ", ".join(f"{what} {text}" for what, text in numbers.items())
