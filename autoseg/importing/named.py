"""Files that all have one name, each in a folder of its case: `train/Patient_27/GT2.nii.gz`."""

from __future__ import annotations

from collections.abc import Collection
from glob import escape
from pathlib import Path

from autoseg.case_files import ending_of, stem_of


def find_named(below: Path, name: str) -> list[Path]:
    """Return the images of this name (without ending, or with it) in all folders below one."""
    stem = stem_of(Path(name))
    paths = sorted(below.rglob(f"{escape(stem)}.*"))
    return [path for path in paths if ending_of(path) and name in (path.name, stem_of(path))]


def case_of(path: Path, cases: Collection[str]) -> str | None:
    """Return the case that one of the folders above a file is named after, the nearest first."""
    return next((folder.name for folder in path.parents if folder.name in cases), None)
