"""The verb `export --volumes`: slices that a program in two dimensions labelled, as volumes."""

from __future__ import annotations

import logging
import re
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

from autoseg.errors import DataError, UsageError
from autoseg.files import read_json
from autoseg.image import Geometry
from autoseg.io import write_labels
from autoseg.label_table import value_names, write_tables
from autoseg.labels import Labels
from autoseg.locks import building
from autoseg.parallel import map_cases
from autoseg.records import from_json
from autoseg.sharing.slices import GRIDS, RECORD, read_volume
from autoseg.workflows.export_places import all_made, put_in_place, refuse_existing
from autoseg.workflows.export_slices import is_ours

log = logging.getLogger(__name__)

NAME = re.compile(r"(.+)_(\d{4})\.png")
Sliced = dict[str, list[Path]]


def export_volumes(
    output: Path, *, slices: Path, tree: Path, overwrite: bool = False, workers: int = 0
) -> int:
    """Write `<case>.nii.gz` for every case with pictures in `slices`; return how many.

    `tree` is the folder that `export --slices` wrote; each volume has the shape and the place of
    the scan that was cut. It is built beside its place and renamed. Raises UsageError when `output`
    is there already, DataError listing every case that cannot be put together.
    """
    refuse_existing(output, overwrite, lambda place: place.is_dir() and not any(place.iterdir()))
    if not is_ours(tree):
        fact, expected = "holds no slices that autoseg cut", f"{RECORD} in it"
        raise UsageError(fact, place=str(tree), expected=expected, remedy="name it with --tree")
    record, grids = read_json(tree / RECORD), read_json(tree / GRIDS)
    targets = {name: tuple(values) for name, values in record["labels"].items()}
    labels = Labels(targets, record["ignore"])
    cases = _find(slices, grids)
    with building(output) as room:
        target = room / "volumes"
        write = partial(_write, grids=grids, labels=labels, folder=target)
        items = sorted(cases.items())
        name = itemgetter(0)
        outcomes = map_cases(write, items, workers=workers, title="volumes", name=name)
        all_made(outcomes, "cases cannot be put together")
        write_tables(target, value_names(labels))
        put_in_place(target, output, room)
    return len(cases)


def _find(folder: Path, grids: dict[str, Any]) -> Sliced:
    """Return the pictures of each case, in the order of their numbers."""
    if not folder.is_dir():
        raise UsageError("not found", place=str(folder), expected="a folder of pictures")
    cases: Sliced = {}
    for path in sorted(folder.iterdir()):
        match = NAME.fullmatch(path.name)
        if match and match[1] in grids:
            cases.setdefault(match[1], []).append(path)
    if not cases:
        known = ", ".join(sorted(grids)[:3])
        expected = f"<case>_<slice>.png of {known}"
        raise UsageError("holds no slices", place=str(folder), expected=expected)
    return cases


def _write(
    item: tuple[str, list[Path]], grids: dict[str, Any], labels: Labels, folder: Path
) -> None:
    case, paths = item
    known = {key: value for key, value in grids[case].items() if key != "rows"}
    grid = from_json(Geometry, known, case)
    numbers = [int(path.stem[-4:]) for path in paths]
    if numbers != list(range(grid.shape[0])):
        fact = f"{len(paths)} slices, from {numbers[0]} to {numbers[-1]}"
        expected = f"every one of 0 to {grid.shape[0] - 1}"
        raise DataError(fact, place=str(paths[0].parent / case), expected=expected)
    label_map = read_volume(paths, grid, grids[case]["rows"], labels)
    write_labels(folder / f"{case}.nii.gz", label_map, grid, names=value_names(labels))
