"""Is a case fit for training? Each file is read once, every finding is kept, nothing is corrected.

`inspect_case` looks at one case and hands its arrays on, so that planning measures them in the same
pass; `conclude` adds what only the whole dataset shows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from autoseg.dataset import Case, Dataset, Found
from autoseg.errors import DataError, Problem
from autoseg.image import (
    DIRECTION_TOLERANCE,
    ORIGIN_TOLERANCE_MM,
    SPACING_TOLERANCE,
    Geometry,
    Image,
    canonical_orientation,
    grid_differences,
    reorient,
)
from autoseg.importing.coherence import Coherence
from autoseg.importing.duplicates import Content, content_of, find_same
from autoseg.importing.intensities import find_bad_numbers, find_odd_units, find_overflow
from autoseg.importing.label_values import (
    count_values,
    find_all_ignored,
    find_not_annotated,
    find_undeclared,
)
from autoseg.importing.misplaced import Placement, place_targets
from autoseg.importing.odd_cases import (
    find_missing,
    find_never_seen,
    find_no_foreground,
    find_odd_spacing,
    tell_missing,
)
from autoseg.importing.second import Agreement
from autoseg.io import read_image, read_labels, stack_channels
from autoseg.preprocessing.units import ScanUnits, look_at

TOLERANCES = {
    "shape": "",
    "spacing": f" to {100 * SPACING_TOLERANCE:g} %",
    "origin": f" to {ORIGIN_TOLERANCE_MM:g} mm",
    "direction": f" to {DIRECTION_TOLERANCE:g}",
}


@dataclass(frozen=True)
class Inspected:
    """One case after the check; the arrays are None where the files could not be read."""

    case: Case
    image: Image | None  # (C, Z, Y, X), as `stack_channels` gives it
    labels: Image | None  # (1, Z, Y, X) integers, only when on the image's grid and as declared
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    values: Mapping[int, int] = field(default_factory=dict)  # label value -> voxels
    content: Content | None = None  # to find the same voxels again; None: unread or constant
    spacing: tuple[float, float, float] | None = None  # mm, canonical Z, Y, X
    units: tuple[ScanUnits, ...] = ()  # of each channel
    coherence: tuple[Coherence, ...] | None = None  # of targets, where labels were held to images

    def without_arrays(self) -> Inspected:
        """Return the findings alone: small enough to keep for every case, or to send home."""
        return dataclasses.replace(self, image=None, labels=None)


@dataclass(frozen=True)
class Report:
    """What `check.json` holds."""

    dataset: str
    cases: int
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # target -> cases
    placements: tuple[Placement, ...] = ()  # of the targets, where labels were held to the images
    not_judged: tuple[str, ...] = ()  # targets there that are too small, cut off, or fill the image
    agreements: tuple[Agreement, ...] = ()  # of the targets, with a second annotation


def inspect_case(case: Case, dataset: Dataset, complete: bool = True) -> Inspected:
    """Read the files of `case` once and return them with everything that is wrong with them.

    Of a case that is not `complete` each file is judged for itself; no arrays are handed on.
    """
    problems: list[Problem] = []
    warnings: list[Problem] = []
    images = []
    grid_of: Path | None = None  # the first image that can be read
    for path in case.images:
        image = _read(read_image, path, dataset, problems)
        if image is not None:
            problems += find_bad_numbers(image.array, _place(path, dataset))
            warnings += find_overflow(image.array, _place(path, dataset))
            images.append(image)
            grid_of = grid_of or path
    stacked, content = None, None
    if complete and len(images) == len(case.images):
        content = content_of(images)
        if content is None:
            fact = "every voxel has the same value"
            warnings.append(Problem(_place(case.images[0], dataset), fact))
        try:
            stacked = stack_channels(images, case.images, len(dataset.channels))
        except DataError as error:
            problems.append(_as_problem(error, case.images[0], dataset))
    labels = _read(read_labels, case.labels, dataset, problems) if case.labels else None
    values: dict[int, int] = {}
    if labels is not None and case.labels is not None:
        place = _place(case.labels, dataset)
        before = len(problems)
        if grid_of is not None:
            problems += _other_grid(
                labels, images[0].geometry, place, _place(grid_of, dataset), dataset.name
            )
        values = count_values(labels.array)
        problems += find_undeclared(labels.array, values, place, dataset.labels)
        problems += find_all_ignored(values, place, dataset.labels)
        warnings += find_not_annotated(case, values, place, dataset.labels)
        if len(problems) > before:
            labels = None
    return Inspected(
        case, stacked, labels, tuple(problems), tuple(warnings), values, content,
        _canonical_spacing(images[0].geometry) if images else None,
        () if stacked is None or problems else tuple(look_at(channel) for channel in stacked.array),
    )  # fmt: skip


def conclude(found: Found, inspected: Iterable[Inspected]) -> Report:
    """Return all problems and warnings: of names, of each case, and of the cases together."""
    if found.dataset is None:
        return Report("", 0, found.problems, found.warnings)
    dataset = found.dataset
    problems, warnings = list(found.problems), list(found.warnings)
    cases = [one.without_arrays() for one in inspected]
    for one in cases:
        problems += one.problems
        warnings += one.warnings
    for first, second, how in find_same([one.content for one in cases]):
        a, b = cases[first].case, cases[second].case
        together = a.group is not None and a.group == b.group  # in one fold, that is
        (warnings if together else problems).append(_twice(a, b, how, dataset))
    missing: dict[str, tuple[str, ...]] = {}
    if cases and not any(one.problems for one in cases):
        known = [one.case for one in cases], [one.values for one in cases], dataset.labels
        problems += find_no_foreground(*known[1:])
        warnings += find_never_seen(*known)
        missing = find_missing(*known)
        warnings += tell_missing(missing)
    sized = [one for one in cases if one.spacing is not None]
    places = [_place(one.case.images[0], dataset) for one in sized]
    warnings += find_odd_spacing(places, [one.spacing for one in sized if one.spacing])
    warnings += find_odd_units(
        {one.case.id: one.units for one in cases if one.units}, dataset.channels
    )
    held = [one for one in cases if one.coherence is not None]
    placements = place_targets(dataset.labels, (c for one in held for c in one.coherence or ()))
    judged = {placement.target for placement in placements}
    not_judged = tuple(
        name
        for name, values in dataset.labels.targets.items()
        if name not in judged and any(value in one.values for one in held for value in values)
    )
    return Report(
        dataset.name, len(dataset.cases), tuple(problems), tuple(warnings), missing,
        placements, not_judged,
    )  # fmt: skip


def _read(
    read: Callable[[Path], Image], path: Path, dataset: Dataset, problems: list[Problem]
) -> Image | None:
    try:
        return read(path)
    except DataError as error:
        problems.append(_as_problem(error, path, dataset))
    except OSError as error:
        fact = f"cannot be read: {error.strerror or error}"
        problems.append(Problem(_place(path, dataset), fact))
    return None


def _as_problem(error: DataError, path: Path, dataset: Dataset) -> Problem:
    place = _place(Path(error.place) if error.place else path, dataset)
    return Problem(place, error.fact, error.expected, error.remedy)


def _place(path: Path, dataset: Dataset) -> str:
    """Return a file's name as it stands in `raw/<dataset>`."""
    inside = path.is_relative_to(dataset.folder)
    return str(path.relative_to(dataset.folder) if inside else path)


def _other_grid(
    labels: Image, grid: Geometry, place: str, image_place: str, name: str
) -> list[Problem]:
    differences = grid_differences(labels.geometry, grid)
    if not differences:
        return []
    found = ", ".join(f"{what} {here}" for what, here, _ in differences)
    expected = ", ".join(f"{what} {there}{TOLERANCES[what]}" for what, _, there in differences)
    if differences[0][0] == "shape":
        remedy = "resample the labels to the image (nearest neighbour), or remove the case"
    else:
        remedy = f"if the voxels do match: autoseg check -d {name} --fix-geometry image"
    return [Problem(place, found, f"{expected} as in {image_place}", remedy)]


def _twice(first: Case, second: Case, how: str, dataset: Dataset) -> Problem:
    place, other = _place(second.images[0], dataset), _place(first.images[0], dataset)
    remedy = "remove one, or give both the same group under cases in dataset.json"
    return Problem(place, f"{how} {other}", "different scans", remedy)


def _canonical_spacing(grid: Geometry) -> tuple[float, float, float]:
    return reorient(grid, canonical_orientation(grid.direction_matrix)).spacing
