"""`--previous FOLDER`: label maps that a cascade's previous stage has predicted already."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from autoseg.bundle import BundleInfo
from autoseg.case_files import PICTURES, ending_of, stem_of
from autoseg.dataset import Case
from autoseg.errors import AutosegError, DataError, Problem, UsageError, number_of
from autoseg.image import grid_differences
from autoseg.io import read_header, read_labels
from autoseg.labels import Labels
from autoseg.parallel import map_cases


def give_previous(
    cases: Sequence[Case], place: Path | None, models: Sequence[BundleInfo]
) -> list[Case]:
    """Return `cases`, each with its label map in the folder `place`; one case may name the file.

    Raises UsageError when no model continues another's prediction, DataError listing every case
    whose label map is missing, on another grid than its image, or holds values of no target.
    """
    if place is None:
        return list(cases)
    if not any(info.previous for info in models):
        fact = "none of the models continues the prediction of another"
        raise UsageError(fact, place="--previous", remedy="leave it away")
    if not place.exists():
        raise UsageError("not found", place=str(place), expected="a folder with label maps")
    labels = models[0].plan.labels
    found = _files_of(cases, place)
    problems = [
        Problem(case.id, "no label map of the previous stage", f"a file of that name in {place}")
        for case in cases
        if case.id not in found
    ]
    given = [dataclasses.replace(c, previous=found[c.id]) for c in cases if c.id in found]
    for outcome in map_cases(lambda case: _problems_of(case, labels), given, title="previous"):
        problems += outcome.result()
    if problems:
        fact = f"{number_of(len(problems), 'problem')} with the previous stage"
        raise DataError(fact, place=str(place), problems=problems)
    return given


def _files_of(cases: Sequence[Case], place: Path) -> dict[str, Path]:
    if place.is_file():
        if len(cases) > 1:
            expected = f"a folder with {len(cases)} label maps"
            raise UsageError("is one file", place=str(place), expected=expected)
        return {cases[0].id: place}
    return {stem_of(path): path for path in sorted(place.iterdir()) if ending_of(path)}


def _problems_of(case: Case, labels: Labels) -> list[Problem]:
    assert case.previous is not None
    path = case.previous
    try:
        image, ours = read_header(case.images[0]).geometry, read_header(path).geometry
        picture = any(ending_of(file) in PICTURES for file in (path, case.images[0]))
        differences = [d for d in grid_differences(ours, image) if d[0] == "shape" or not picture]
        if differences:
            what, here, there = differences[0]
            expected = f"{there} as in {case.images[0].name}"
            return [Problem(str(path), f"{what} {here}", expected)]
        values = set(np.unique(read_labels(path).array).tolist())
    except AutosegError as error:
        return [error.as_problem(str(path))]
    known = {0, *labels.values} | ({labels.ignore} if labels.ignore is not None else set())
    strange = sorted(values - known)
    if strange:
        shown = ", ".join(map(str, strange[:5]))
        expected = f"values of the targets: {', '.join(map(str, sorted(known)[:20]))}"
        return [Problem(str(path), f"holds {shown}", expected)]
    return []
