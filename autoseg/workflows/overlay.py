"""The verb `overlay`: one picture a case, of the slice that shows most of its labels."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from autoseg.case_files import ending_of, some, stem_of
from autoseg.dataset import Case, find_cases, load_dataset
from autoseg.errors import AutosegError, DataError, UsageError, suggest
from autoseg.image import Geometry, canonical_orientation, grid_differences, reorient
from autoseg.io import read_case, read_labels
from autoseg.labels import Labels
from autoseg.parallel import map_cases
from autoseg.report.figures import draw_overlay
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Picture:
    """What is drawn: a case, its prediction, and the file for it."""

    case: Case
    prediction: Path | None
    path: Path

    @property
    def id(self) -> str:
        """The case's name."""
        return self.case.id

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The files that are read."""
        return tuple(p for p in (*self.case.images, self.case.labels, self.prediction) if p)


def overlay(
    workspace: Workspace,
    output: Path,
    *,
    dataset: str | None = None,
    images: Path | None = None,
    predictions: Path | None = None,
    channel: str | None = None,
    workers: int = 0,
    overwrite: bool = False,
) -> tuple[Path, ...]:
    """Write `<case>.png` to `output` for every case and return the paths.

    Each shows one slice, seen from the feet: the scan, with its labels, with its prediction. Cases
    are those of the dataset in `raw/`, or the scans in `images`; with `predictions` those that have
    one. Raises UsageError when there is nothing to draw, pictures are there already, or `output`
    holds an input; DataError listing every case that cannot be drawn, after all others.
    """
    data = load_dataset(workspace.raw(workspace.find_raw(dataset)))
    shown = choose_channel(data.channels, channel)
    if images is None:
        cases = list(data.cases)
    elif predictions is None:
        raise UsageError("-i without -p", expected="label maps to draw over these scans")
    else:
        cases = find_cases(images, len(data.channels), data.file_ending)
    pictures = _pair(cases, predictions, output)
    _check_apart(pictures, output)
    there = [picture.path.name for picture in pictures if picture.path.exists()]
    if there and not overwrite:
        remedy = "choose another place with -o, or give --overwrite"
        raise UsageError(f"holds {some(there)}", place=str(output), remedy=remedy)
    draw = partial(draw_case, channels=len(data.channels), shown=shown, labels=data.labels)
    outcomes = list(map_cases(draw, pictures, workers=workers, title="overlay"))
    problems = []
    for outcome in outcomes:
        error = outcome.error
        if isinstance(error, AutosegError):
            problems.append(error.as_problem())
        else:
            outcome.result()
    if problems:
        raise DataError(f"{len(problems)} of {len(pictures)} not drawn", problems=problems)
    return tuple(picture.path for picture in pictures)


def choose_channel(channels: Sequence[str], name: str | None) -> int:
    """Return the index of a channel, the first of None; UsageError when there is none such."""
    if name is not None and name not in channels:
        raise UsageError(f"unknown channel '{name}'", remedy=suggest(name, channels))
    return 0 if name is None else list(channels).index(name)


def _pair(cases: Sequence[Case], predictions: Path | None, output: Path) -> list[Picture]:
    if predictions is None:
        return [Picture(case, None, output / f"{case.id}.png") for case in cases]
    if not predictions.is_dir():
        raise UsageError("not found", place=str(predictions), expected="a folder of label maps")
    found = {stem_of(path): path for path in predictions.iterdir() if ending_of(path)}
    pairs = [
        Picture(case, found[case.id], output / f"{case.id}.png")
        for case in cases
        if case.id in found
    ]
    if not pairs:
        expected = f"files named like the cases: {some(case.id for case in cases)}"
        raise UsageError("holds no label map of them", place=str(predictions), expected=expected)
    if len(pairs) < len(cases):
        log.info("%d of %d cases have a label map in %s", len(pairs), len(cases), predictions)
    return pairs


def _check_apart(pictures: Sequence[Picture], output: Path) -> None:
    """Raise UsageError when a picture would lie among, or in place of, the files it is made of."""
    target = output.resolve()
    for path in (path for picture in pictures for path in picture.inputs):
        if target in (path.parent.resolve(), path.resolve().parent):
            fact = f"{path.name}, an input, lies in the output"
            raise UsageError(fact, place=str(output), remedy="choose another folder with -o")


def draw_case(
    picture: Picture, channels: int, shown: int, labels: Labels, only: str | None = None
) -> None:
    """Write one picture: channel `shown` of the case with its labels, or with one target alone."""
    image = read_case(picture.case, channels)
    orientation = canonical_orientation(image.geometry.direction_matrix)
    reference, prediction = (
        None if path is None else orientation.apply(read_on(image.geometry, path))
        for path in (picture.case.labels, picture.prediction)
    )
    names = {values[0]: name for name, values in labels.targets.items()}
    if labels.ignore is not None:
        names[labels.ignore] = "ignore"
    if only is not None and reference is not None:
        value = labels.targets[only][0]
        reference = np.where(labels.mask(reference, only), value, 0)
        names = {value: only}
    picture.path.parent.mkdir(parents=True, exist_ok=True)
    draw_overlay(
        orientation.apply(image.array[shown]),
        reference,
        prediction,
        picture.path,
        spacing=reorient(image.geometry, orientation).spacing,
        names=names,
    )


def read_on(grid: Geometry, path: Path) -> np.ndarray:
    """Return a label map (Z, Y, X); DataError when it does not lie on the grid of its scan."""
    label_map = read_labels(path)
    for what, found, expected in grid_differences(label_map.geometry, grid):
        raise DataError(
            f"{what} {found}",
            place=str(path),
            expected=f"{expected} as in its scan",
            remedy="a label map of this very scan: is it another case's, or resampled?",
        )
    return label_map.array[0]
