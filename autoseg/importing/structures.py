"""Structures of a DICOM label file, ROIs of an RTSTRUCT or segments of a SEG, as a label map."""

from __future__ import annotations

import fnmatch
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.dicom_files import kind_of
from autoseg.dicom_slices import Series
from autoseg.errors import DataError, UsageError
from autoseg.importing.dicom_labels import elements_of
from autoseg.importing.dicom_seg import read_seg
from autoseg.importing.rtstruct import read_rtstruct

log = logging.getLogger(__name__)

READERS = {"rtstruct": read_rtstruct, "seg": read_seg}


@dataclass(frozen=True)
class Wanted:
    """One target: the value it gets, and the names that structures of it have."""

    name: str
    value: int
    patterns: tuple[str, ...]


def is_structures(path: Path) -> bool:
    """Tell whether a label file is an RTSTRUCT or a DICOM-SEG."""
    return kind_of(path) in READERS


def parse_structures(
    entries: Sequence[str], values: Mapping[str, int | list[int]]
) -> tuple[Wanted, ...]:
    """Return the targets with the names of their structures, from `kidney=Niere*,kidney_l` entries.

    A target without an entry is the structure of its own name; case and spaces do not count.
    Raises UsageError for entries of unknown targets.
    """
    patterns: dict[str, tuple[str, ...]] = {}
    for entry in entries:
        name, _, names = entry.partition("=")
        if name not in values or not names:
            expected = f"one of {', '.join(values)}, =, and names in the files"
            raise UsageError(f"--structures {entry}", expected=expected)
        patterns[name] = tuple(names.split(","))
    return tuple(
        Wanted(name, value if isinstance(value, int) else value[0], patterns.get(name, (name,)))
        for name, value in values.items()
    )


def read_structures(
    path: Path, series: Series, wanted: Sequence[Wanted]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the label map (Z, Y, X) on the grid of `series`, and the targets the file has.

    Later targets overwrite earlier ones. Raises DataError when the file is damaged, belongs to
    another series or has none of the structures.
    """
    with elements_of(path):
        masks = READERS[kind_of(path)](path, series)
    top = max(target.value for target in wanted)
    label_map = np.zeros(series.geometry.shape, np.min_scalar_type(top))
    present = []
    for target in wanted:
        names = [name for name in masks if _fits(name, target.patterns)]
        if names:
            present.append(target.name)
        for name in names:
            with elements_of(path):
                mask = masks[name]()
            hidden = int(np.count_nonzero(label_map[mask]))
            if hidden:
                said = "%s: %s overwrites %d voxels of earlier targets"
                log.info(said, path.name, target.name, hidden)
            label_map[mask] = target.value
    if not present:
        there = ", ".join(masks) or "none"
        expected = ", ".join(pattern for target in wanted for pattern in target.patterns)
        remedy = "say which is which: --structures CLASS=NAME"
        fact = f"holds the structures {there}"
        raise DataError(fact, place=str(path), expected=expected, remedy=remedy)
    return label_map, tuple(present)


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(_plain(name), _plain(pattern)) for pattern in patterns)


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").split())
