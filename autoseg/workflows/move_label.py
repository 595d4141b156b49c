"""Move one label of many files by a matrix, each to a file beside it, and back."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from autoseg.case_files import ending_of, some, stem_of
from autoseg.dataset import load_dataset
from autoseg.errors import CorruptError, DataError, UsageError
from autoseg.files import read_json, sha256, write_json
from autoseg.importing.move_label import (
    Moved,
    find_runs,
    move_back,
    move_label,
    read_matrix,
    undo_runs,
)
from autoseg.importing.named import find_named
from autoseg.importing.patterns import find_matches
from autoseg.io import read_labels, read_names, write_labels
from autoseg.parallel import map_cases
from autoseg.records import from_json
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)

MOSTLY = 0.9  # of a label that is still in the image; less is told


@dataclass(frozen=True)
class Work:
    """One file to read and one to write, with its record beside it."""

    source: Path
    path: Path

    @property
    def id(self) -> str:
        """Its name in messages."""
        return str(self.source)

    @property
    def record(self) -> Path:
        """`GT_fixed.json` for `GT_fixed.nii.gz`."""
        return record_of(self.path)


def record_of(path: Path) -> Path:
    """Return the record of a label map that was moved."""
    return path.with_name(f"{stem_of(path)}.json")


def move_labels(
    workspace: Workspace,
    matrix: Path,
    value: int,
    output: str,
    *,
    inverse: bool = False,
    inputs: str | None = None,
    dataset: str | None = None,
    workers: int = 0,
    overwrite: bool = False,
) -> tuple[Moved, ...]:
    """Return what became of label `value` in every file of `inputs`, moved by a matrix, or back.

    `inputs` is a file, a pattern with {case}, or the name that files below the workspace's folder
    have ("GT"); without it the labels of a dataset in `raw/`. `output` is a name, for a file beside
    each, or a folder. Headers are kept. What was done already is not done again.
    Raises UsageError when nothing fits, or files are there already; DataError listing every file
    that cannot be read, after all others.
    """
    if value < 1:
        raise UsageError(f"--class {value}", expected="a label value, 1 or more")
    rows = tuple(tuple(float(number) for number in row) for row in read_matrix(matrix))
    sources = _find(workspace, inputs, dataset)
    works = [Work(source, _path_for(source, output)) for source in sources]
    _check_apart(works, output)
    move = partial(_move, rows=rows, value=value, inverse=inverse, overwrite=overwrite)
    outcomes = list(map_cases(move, works, workers=workers, title="move"))
    problems = []
    for outcome in outcomes:
        if isinstance(outcome.error, DataError):
            problems.append(outcome.error.as_problem())
    if problems:
        raise DataError(f"{len(problems)} of {len(works)} not moved", problems=problems)
    return tuple(outcome.result() for outcome in outcomes)


def undo_move(record: Path, output: str) -> Path:
    """Write the label map that a move began with, as its record tells; return where.

    Raises CorruptError when the moved file is not as the record says.
    """
    if not record.is_file():
        expected = "the JSON beside a label map that was moved"
        raise UsageError("file not found", place=str(record), expected=expected)
    moved = from_json(Moved, read_json(record), str(record))
    source = record.with_name(moved.output)
    if not source.is_file() or sha256(source) != moved.output_sha256:
        remedy = f"the map it began with was {moved.input}"
        raise CorruptError("was changed since, or is gone", place=str(source), remedy=remedy)
    path = _path_for(source, output)
    if path.exists():
        raise UsageError("is there already", place=str(path), remedy="choose another name")
    read = read_labels(source)
    write_labels(
        path, undo_runs(read.array[0], moved.runs), read.geometry, source, read_names(source)
    )
    return path


def _find(workspace: Workspace, inputs: str | None, dataset: str | None) -> list[Path]:
    if inputs is None:
        cases = load_dataset(workspace.raw(workspace.find_raw(dataset))).cases
        return [case.labels for case in cases if case.labels is not None]
    if "{" in inputs:
        return [match.path for match in find_matches(inputs)]
    if Path(inputs).is_file():
        return [Path(inputs)]
    if Path(inputs).name == inputs and not Path(inputs).is_dir():
        found = find_named(workspace.root, inputs)
        if found:
            return found
    expected = "a file, a pattern with {case}, or the name of files below this folder"
    raise UsageError("no label map found", place=inputs, expected=expected)


def _path_for(source: Path, output: str) -> Path:
    if Path(output).name == output and not Path(output).is_dir():
        return source.with_name(output.removesuffix(ending_of(source)) + ending_of(source))
    return Path(output) / source.name


def _check_apart(works: list[Work], output: str) -> None:
    """Raise UsageError when two results would be one file, or a result one of the inputs."""
    count = Counter(work.path.resolve() for work in works)
    twice = [work.path for work in works if count[work.path.resolve()] > 1]
    if twice:
        remedy = "name a folder, as in --out moved/"
        if Path(output).name != output:
            remedy = "name what stands beside each file, as in --out GT_fixed"
        fact = f"{count[twice[0].resolve()]} results would be {twice[0]}"
        raise UsageError(f"--out {output}: {fact}", remedy=remedy)
    sources = {work.source.resolve() for work in works}
    same = [str(work.path) for work in works if work.path.resolve() in sources]
    if same:
        raise UsageError(f"--out {output} would replace {some(same)}", remedy="choose another name")


def _move(
    work: Work,
    rows: tuple[tuple[float, ...], ...],
    value: int,
    inverse: bool,
    overwrite: bool,
) -> Moved:
    digest = sha256(work.source)
    kept = work.path.exists() and not overwrite
    if kept and work.record.exists():
        return _done_before(work, (digest, rows, inverse, value))
    read = read_labels(work.source)
    before = read.array[0]
    after = (move_back if inverse else move_label)(before, value, np.array(rows))
    # Without a record it may be what an interrupted run left: then it is the same.
    if kept and not np.array_equal(read_labels(work.path).array[0], after):
        raise _taken(work.path)
    gained = before[(after == value) & (before != value)]
    over = Counter(gained[gained > 0].tolist())
    write_labels(work.path, after, read.geometry, work.source, read_names(work.source))
    moved = Moved(
        work.source.name, digest, work.path.name, sha256(work.path), rows, inverse, value,
        int((before == value).sum()), int((after == value).sum()),
        int(((before == value) & (after != value)).sum()), int(gained.size),
        {str(label): count for label, count in sorted(over.items())}, find_runs(before, after),
    )  # fmt: skip
    write_json(work.record, moved)
    _tell(work, moved)
    return moved


def _done_before(work: Work, wanted: tuple[object, ...]) -> Moved:
    moved = from_json(Moved, read_json(work.record), str(work.record))
    same = (moved.input_sha256, moved.matrix, moved.inverse, moved.value) == wanted
    if same and moved.output_sha256 == sha256(work.path):
        return moved
    raise _taken(work.path)


def _taken(path: Path) -> UsageError:
    remedy = "choose another name, or give --overwrite"
    return UsageError("is there already", place=str(path), remedy=remedy)


def _tell(work: Work, moved: Moved) -> None:
    over = ", ".join(f"{count:,} of {label}" for label, count in moved.overwritten.items())
    log.info(
        "%s: label %d had %s voxels and has %s, %s lost, %s gained, overwritten %s",
        work.path, moved.value, f"{moved.voxels_before:,}", f"{moved.voxels_after:,}",
        f"{moved.lost:,}", f"{moved.gained:,}", over or "none",
    )  # fmt: skip
    if moved.voxels_after < MOSTLY * moved.voxels_before:
        share = moved.voxels_after / moved.voxels_before
        log.warning(
            "%s: %.0f %% of label %d left in the image", work.path, 100 * share, moved.value
        )
