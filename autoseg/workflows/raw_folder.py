"""A folder in `raw/` that an import fills: never anyone else's, and nothing until it is whole."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoseg.case_files import PICTURES
from autoseg.errors import UsageError
from autoseg.importing.record import LABEL_MAP, RECORD, RECORDS, read_record
from autoseg.label_table import TABLES, declared_names, write_tables
from autoseg.labels import Labels

FOLDERS = ("imagesTr", "labelsTr", "imagesTs", "labelsTs")


def check_name(name: str) -> None:
    """Raise UsageError for what cannot name a data set."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        expected = "letters, digits, and _ . - after the first"
        raise UsageError(f"'{name}' cannot name a dataset", expected=expected)


def refuse_foreign(folder: Path) -> None:
    """Raise UsageError when `folder` holds files that no import wrote."""
    if not folder.exists() or read_record(folder) is not None:
        return
    if any(not path.name.startswith(".") for path in folder.iterdir()):
        raise _taken(folder, "delete this folder")


def is_done(folder: Path, record: Mapping[str, Any], overwrite: bool) -> bool:
    """Tell whether the import of this `record` has filled `folder`, all of it.

    Raises UsageError when another one did, unless it may be overwritten.
    """
    if not (folder / "dataset.json").exists():
        return False
    before = read_record(folder) or {}
    if before.get("stamp") == record["stamp"]:
        return True
    if overwrite:
        return False
    raise _taken(folder, "replace it with --overwrite")


def write_names(room: Path, labels: Labels, ending: str) -> None:
    """Write names and colours of label values for other programs, but not beside pictures."""
    if ending not in PICTURES:
        write_tables(room, declared_names(labels))


def move_in(room: Path, folder: Path) -> None:
    """Put what was made in `room` in the place of what is in `folder`; dataset.json comes later."""
    _clear(folder)
    # The record first: with it, what an interruption leaves is known to be an import's.
    for name in (RECORD, LABEL_MAP, *TABLES, *FOLDERS):
        if (room / name).exists():
            (room / name).rename(folder / name)


def _taken(folder: Path, otherwise: str) -> UsageError:
    remedy = f"choose another name with -d, or {otherwise}"
    return UsageError("holds another dataset", place=str(folder), remedy=remedy)


def _clear(folder: Path) -> None:
    """Remove what an import left that did not end, or shall be replaced; dataset.json first."""
    (folder / "dataset.json").unlink(missing_ok=True)
    for leftover in FOLDERS:
        shutil.rmtree(folder / leftover, ignore_errors=True)
    for leftover in (*RECORDS, LABEL_MAP, *TABLES):
        (folder / leftover).unlink(missing_ok=True)
