"""Label maps from the probabilities that several runs of `autoseg_predict` saved.

Models that are on one machine are better averaged while they predict (`-m A B`), in float32 and
without files. This is for runs on several machines, or at different times.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autoseg import __version__
from autoseg.case_files import ENDINGS
from autoseg.dataset import Case
from autoseg.errors import AutosegError, DataError, Problem, UsageError, number_of
from autoseg.files import read_json, sha256
from autoseg.image import grid_differences
from autoseg.io import write_labels
from autoseg.label_table import TABLES, write_tables
from autoseg.locks import locked
from autoseg.parallel import map_cases
from autoseg.probabilities import BACKGROUND, Box, Probabilities, read_about, read_channels
from autoseg.workflows.predict_record import (
    FINAL,
    Entry,
    close_record,
    is_done,
    open_record,
    source_of,
)

log = logging.getLogger(__name__)

PRESENT = 0.5  # of overlapping targets


def ensemble(
    predictions: Sequence[Path], output: Path, *, overwrite: bool = False
) -> dict[str, Any]:
    """Write the label maps of the mean probabilities in folders; return `predictions.json`.

    Each folder holds `<case>.npz` of the same cases, as `save_probabilities` of `predict` leaves
    them. A label map beside the first one lends its file type and header; otherwise it is
    `.nii.gz`. The order of the folders does not matter. Raises DataError listing every case that
    does not fit.
    """
    folders = sorted({Path(folder).resolve() for folder in predictions})
    if len(folders) < 2:
        raise UsageError("an ensemble of one folder", expected="two or more after -i")
    if output.resolve() in folders:
        raise UsageError("is an input", place=str(output), remedy="choose another folder with -o")
    cases = _find_cases(folders)
    header = {"version": __version__, "ensemble": sorted(map(_models_of, folders), key=str)}
    with locked(output, "autoseg ensemble"):
        files = [_path_of(case, output).name for case in cases]
        record = open_record(output, header, overwrite, [*files, *TABLES])
        write_tables(output, _names(read_about(cases[0].images[0])))
        left = [case for case in cases if not is_done(record, case)]
        for outcome in map_cases(lambda case: _average(case, output), left, title="ensemble"):
            record.add(outcome.result())
        manifest = close_record(record, header, cases, {})
    log.info("%s, each from %d predictions", number_of(len(cases), "case"), len(folders))
    return manifest


def _find_cases(folders: Sequence[Path]) -> list[Case]:
    """Return the cases, with one `.npz` per folder; raise DataError for all that do not fit."""
    found = [{path.stem for path in folder.glob("[!.]*.npz")} for folder in folders]
    names = sorted(set().union(*found))
    if not names:
        remedy = "autoseg_predict --save-probabilities writes them"
        raise UsageError("no <case>.npz", place=str(folders[0]), remedy=remedy)
    problems = [
        Problem(str(folder), f"has no {name}.npz", "probabilities of the same cases in all folders")
        for folder, own in zip(folders, found, strict=True)
        for name in names
        if name not in own
    ]
    cases = [Case(name, tuple(folder / f"{name}.npz" for folder in folders)) for name in names]
    if not problems:
        problems = [problem for case in cases for problem in _differences(case)]
    if problems:
        count = number_of(len(problems), "problem")
        raise DataError(f"{count} with the files", problems=problems)
    return cases


def _differences(case: Case) -> Iterator[Problem]:
    first = read_about(case.images[0])
    for path in case.images[1:]:
        other = read_about(path)
        if (other.channels, other.values) != (first.channels, first.values):
            told = ", ".join(other.channels)
            yield Problem(str(path), f"is of {told}", f"{', '.join(first.channels)}")
        for what, here, there in grid_differences(other.geometry, first.geometry):
            yield Problem(str(path), f"{what} {here}", f"{there} as in {case.images[0]}")


def _models_of(folder: Path) -> Any:
    with contextlib.suppress(AutosegError, KeyError, TypeError):
        manifest = read_json(folder / FINAL)
        return {name: manifest[name] for name in ("models", "settings")}
    return "unknown"


def _average(case: Case, output: Path) -> Entry:
    about = [read_about(path) for path in case.images]
    label_map = mean_labels(case.images, about)
    path = _path_of(case, output)
    like, names = _label_map(case.images[0]), _names(about[0])
    write_labels(path, label_map, about[0].geometry, like, names)
    return Entry(case.id, path.name, sha256(path), source_of(case))


def _names(about: Probabilities) -> dict[int, str]:
    """Return the names of label values, ascending."""
    pairs = zip(about.values, about.channels, strict=True)
    return {value: name for value, name in sorted(pairs) if value}


def _path_of(case: Case, output: Path) -> Path:
    like = _label_map(case.images[0])
    return output / (like.name if like else f"{case.id}.nii.gz")


def _label_map(path: Path) -> Path | None:
    """Return the label map beside a file of probabilities, if there is one."""
    near = (path.with_name(f"{path.stem}{ending}") for ending in ENDINGS)
    return next((file for file in near if file.is_file()), None)


def mean_labels(paths: Sequence[Path], about: Sequence[Probabilities]) -> np.ndarray:
    """Return the label map (Z, Y, X) of the mean of files that fit together, channel by channel.

    Sums of a few float16 are exact in float64, so their order does not matter.
    """
    box = _union([one.box for one in about])
    size = tuple(stop - start for start, stop in box)
    first, exclusive = about[0], BACKGROUND in about[0].channels
    winner = np.zeros(size, np.min_scalar_type(max(first.values)))
    best = np.full(size, 0.0 if exclusive else PRESENT)
    streams = [read_channels(path) for path in paths]
    for name, value in zip(first.channels, first.values, strict=True):
        outside = float(name == BACKGROUND)
        mean = np.full(size, outside * len(about))
        for stream, one in zip(streams, about, strict=True):
            z, y, x = (
                slice(start - origin, stop - origin)
                for (start, stop), (origin, _) in zip(one.box, box, strict=True)
            )
            mean[z, y, x] += next(stream).astype(np.float64) - outside
        mean /= len(about)
        won = mean > best
        winner[won] = value
        if exclusive:
            best[won] = mean[won]
    label_map = np.zeros(first.geometry.shape, winner.dtype)
    z, y, x = (slice(start, stop) for start, stop in box)
    label_map[z, y, x] = winner
    return label_map


def _union(boxes: Sequence[Box]) -> Box:
    """Return the smallest box around all that are not empty."""
    filled = [box for box in boxes if all(stop > start for start, stop in box)]
    if not filled:
        return (0, 0), (0, 0), (0, 0)
    z, y, x = (
        (min(start for start, _ in sides), max(stop for _, stop in sides))
        for sides in zip(*filled, strict=True)
    )
    return z, y, x
