"""The verb `export --slices`: a dataset as flat pictures, for programs in two dimensions."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from autoseg.case_files import ending_of
from autoseg.dataset import Case, Dataset, find_cases, load_dataset
from autoseg.errors import DataError, UsageError, suggest
from autoseg.files import write_json
from autoseg.image import grid_differences
from autoseg.io import read_case, read_labels
from autoseg.labels import Labels
from autoseg.locks import building
from autoseg.parallel import map_cases
from autoseg.planning.folds import choose_folds, load_folds
from autoseg.sharing.slices import (
    GRIDS,
    RECORD,
    ROWS,
    Cut,
    factor_of,
    greys_of,
    grid_of,
    record_of,
    write_slices,
)
from autoseg.workflows.export_places import all_made, put_in_place, refuse_existing
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)

TRAIN, VALIDATION, TEST = "train", "val", "test"


@dataclass(frozen=True)
class _Task:
    """What every case needs to be cut."""

    room: Path
    split: Mapping[str, str]
    channel: int
    channels: int
    labels: Labels
    factor: int
    cut: Cut


def export_slices(
    workspace: Workspace,
    output: Path,
    *,
    dataset: str | None = None,
    cut: Cut | None = None,
    fold: str | None = None,
    channel: str | None = None,
    overwrite: bool = False,
    workers: int = 0,
) -> Dataset:
    """Write `train|val|test/{img,gt}/<case>_<slice>.png` to a new folder; return the dataset.

    The validation cases of `fold` go to `val`, those in `imagesTs` to `test`, without labels; with
    `fold` None all others go to `train`. `spacing.json` has the grid of every scan, so that
    `autoseg import` stacks the slices again, and `slices.json` what the greys mean. It is built
    beside its place and renamed: all of it or nothing. Raises UsageError when `output` is there
    already and not `overwrite`, DataError listing every case that cannot be read.
    """
    cut = cut or Cut()
    if cut.rows not in ROWS:
        raise UsageError(f"rows along '{cut.rows}'", expected=" or ".join(ROWS))
    if cut.window is not None and not cut.window[0] < cut.window[1]:
        fact = f"a window from {cut.window[0]:g} to {cut.window[1]:g}"
        raise UsageError(fact, expected="the smaller number first")
    if cut.shape is not None and min(cut.shape) < 1:
        raise UsageError(f"pictures of {cut.shape[0]} x {cut.shape[1]}", expected="pixels")
    refuse_existing(output, overwrite, is_ours)
    name = workspace.find_raw(dataset)
    data = load_dataset(workspace.raw(name))
    cases, split = _split(workspace, name, data, fold)
    factor = factor_of(data.labels)
    index = _index_of(data.channels, channel)
    with building(output) as room:
        target = room / "slices"
        task = _Task(target, split, index, len(data.channels), data.labels, factor, cut)
        outcomes = map_cases(partial(_cut, task=task), cases, workers=workers, title="slices")
        made = all_made(outcomes, "cases cannot be cut", data.name)
        grids = {case.id: grid for case, grid in made}
        write_json(target / GRIDS, grids)
        write_json(target / RECORD, record_of(name, data.labels, cut, factor, split))
        put_in_place(target, output, room)
    counts = [f"{list(split.values()).count(part)} {part}" for part in (TRAIN, VALIDATION, TEST)]
    log.info("%s: %s", output, ", ".join(counts))
    return data


def is_ours(place: Path) -> bool:
    """Tell whether a folder holds slices that autoseg wrote."""
    return (place / RECORD).is_file()


def _split(
    workspace: Workspace, name: str, data: Dataset, fold: str | None
) -> tuple[list[Case], dict[str, str]]:
    """Return the cases and the part each belongs to."""
    cases, split = list(data.cases), {case.id: TRAIN for case in data.cases}
    if fold is not None:
        path = workspace.folds(name)
        if not path.is_file():
            remedy = f"run autoseg_plan -d {name} first, or leave --fold out"
            raise UsageError(f"fold {fold}, but there are no folds", place=str(path), remedy=remedy)
        chosen = choose_folds(fold, load_folds(path), str(path))
        if len(chosen) != 1:
            raise UsageError(f"--fold {fold}", expected="one fold, such as 0")
        split |= {case: VALIDATION for case in chosen[fold].validation if case in split}
    tests = workspace.raw(name) / "imagesTs"
    if tests.is_dir() and any(ending_of(path) for path in tests.iterdir()):
        unseen = find_cases(tests, len(data.channels), data.file_ending)
        twice = sorted({case.id for case in unseen} & set(split))
        if twice:
            fact = f"{twice[0]} is in imagesTr too"
            raise DataError(fact, place=str(tests), remedy="rename or remove one of them")
        cases += unseen
        split |= {case.id: TEST for case in unseen}
    return cases, split


def _index_of(channels: tuple[str, ...], name: str | None) -> int:
    if name is None and len(channels) > 1:
        fact = f"the scans have the channels {', '.join(channels)}"
        raise UsageError(fact, expected="one", remedy="name one with --channel")
    if name is not None and name not in channels:
        raise UsageError(f"unknown channel '{name}'", remedy=suggest(name, channels))
    return 0 if name is None else channels.index(name)


def _cut(case: Case, task: _Task) -> dict[str, Any]:
    """Write the slices of a case and return its grid as `spacing.json` has it."""
    image = read_case(case, task.channels)
    label_map = None
    if case.labels is not None:
        labels = read_labels(case.labels)
        for what, found, expected in grid_differences(labels.geometry, image.geometry):
            place, wanted = str(case.labels), f"{expected} as in its scan"
            raise DataError(f"{what} {found}", place=place, expected=wanted)
        label_map = labels.array[0]
        _check_values(label_map, task.labels, case.labels)
    greys = greys_of(image.array[task.channel], task.cut.window)
    folder = task.room / task.split[case.id]
    write_slices(folder, case.id, greys, label_map, task.cut, task.factor)
    return grid_of(image.geometry, task.cut)


def _check_values(label_map: Any, labels: Labels, path: Path) -> None:
    try:
        labels.encode(label_map)
    except ValueError as error:
        remedy = "run autoseg check"
        raise DataError(str(error), place=str(path), remedy=remedy) from error
