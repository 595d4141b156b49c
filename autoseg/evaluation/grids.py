"""Are the two files of a pair on the same grid? If not: what differs, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

from autoseg.case_files import PICTURES
from autoseg.dataset import ending_of
from autoseg.errors import AutosegError, Problem
from autoseg.evaluation.pair import Pair
from autoseg.image import (
    Geometry,
    canonical_orientation,
    grid_differences,
    reorient,
    same_grid,
)
from autoseg.io import read_header


def grid_problems(pairs: Sequence[Pair], ignore_geometry: bool = False) -> list[Problem]:
    """Return every way in which the two files of a pair are not on the same grid.

    Pictures (PNG, ...) know no millimetres: their shape is all that is compared.
    """
    problems: list[Problem] = []
    for pair in pairs:
        if pair.prediction is None:
            continue
        try:
            ours, theirs = read_header(pair.reference), read_header(pair.prediction)
        except AutosegError as error:
            problems += problems_of(error, pair.id)
            continue
        files = (pair.reference, pair.prediction)
        shape_only = ignore_geometry or any(ending_of(f).lower() in PICTURES for f in files)
        problems += _pair_problems(pair, theirs.geometry, ours.geometry, shape_only)
    return problems


def _pair_problems(
    pair: Pair, found: Geometry, expected: Geometry, shape_only: bool
) -> list[Problem]:
    place, reference = str(pair.prediction), pair.reference.name
    turned = None if shape_only else _turned(found, expected)
    if turned:
        return [Problem(place, turned, f"the axes of {reference}", "reorient it to the reference")]
    remedies = {
        "shape": "predict on the grid of the image that was labelled",
        "direction": "resample it to the reference",
    }
    return [
        Problem(
            place,
            f"{name} {ours}",
            f"{theirs} as in {reference}",
            remedies.get(name, "correct the header, or compare arrays only (--ignore-geometry)"),
        )
        for name, ours, theirs in grid_differences(found, expected)
        if name == "shape" or not shape_only
    ]


def _turned(found: Geometry, expected: Geometry) -> str:
    """Say so when the axes of two grids run in other directions, though the shapes may agree."""
    ours = canonical_orientation(found.direction_matrix)
    theirs = canonical_orientation(expected.direction_matrix)
    if ours == theirs:
        return ""
    if same_grid(reorient(found, ours), reorient(expected, theirs)):
        return "the same grid, stored with its axes flipped or exchanged"
    return "its axes are flipped or exchanged"


def problems_of(error: AutosegError, place: str) -> list[Problem]:
    """Return an error's problems, or the error itself as one."""
    if error.problems:
        return list(error.problems)
    return [error.as_problem(place)]
