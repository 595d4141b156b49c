"""A second annotation of some cases, found by their names and held to the first."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.case_files import ending_of, some, stem_of
from autoseg.dataset import Case, Dataset
from autoseg.errors import DataError, Problem, UsageError
from autoseg.image import grid_differences
from autoseg.importing.named import case_of, find_named
from autoseg.importing.patterns import find_matches
from autoseg.importing.second import Agreement, dice_of, sum_up
from autoseg.io import read_labels

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Twice:
    """A case and the file of its second annotation."""

    case: Case
    path: Path

    @property
    def id(self) -> str:
        """The case's name."""
        return self.case.id


def compare_annotations(
    dataset: Dataset, place: str, below: Sequence[Path]
) -> tuple[tuple[Agreement, ...], tuple[Problem, ...]]:
    """Return how each target agrees with a second annotation, and which files cannot be compared.

    `place` is a folder of label maps named like the cases, a pattern with {case}, or the name that
    files `below` one of some folders have ("GT2") in folders named like the cases; the first folder
    that holds any counts. Raises UsageError when none belongs to a case.
    """
    cases = {case.id: case for case in dataset.cases}
    found = _find(place, below, cases)
    pairs = [Twice(cases[case], path) for case, path in sorted(found.items()) if case in cases]
    if not pairs:
        expected = f"label maps named like the cases: {some(cases)}"
        where = " or ".join(map(str, below))
        remedy = (
            f"a folder, a pattern with {{case}}, or a name of files in such folders below {where}"
        )
        raise UsageError("no second annotation", place=place, expected=expected, remedy=remedy)
    log.info("second annotation of %d of %d cases", len(pairs), len(cases))
    problems, by_case = [], {}
    for pair in pairs:
        try:
            by_case[pair.id] = _compare(pair, dataset)
        except DataError as error:
            where = error.place or str(pair.path)
            problems.append(Problem(where, error.fact, error.expected, error.remedy))
    return sum_up(dataset.labels, by_case), tuple(problems)


def _find(place: str, below: Sequence[Path], cases: dict[str, Case]) -> dict[str, Path]:
    if "{" in place:
        return {match.case: match.path for match in find_matches(place)}
    folder = Path(place)
    if folder.is_dir():
        return {stem_of(path): path for path in sorted(folder.iterdir()) if ending_of(path)}
    if folder.name != place:
        raise UsageError("not found", place=place, expected="a folder of label maps")
    for root in below:
        named = {path: case_of(path, cases) for path in find_named(root, place)}
        found = {case: path for path, case in named.items() if case is not None}
        if found:
            return found
    return {}


def _compare(pair: Twice, dataset: Dataset) -> dict[str, float]:
    assert pair.case.labels is not None  # a case of a dataset has labels
    first, second = read_labels(pair.case.labels), read_labels(pair.path)
    for what, found, expected in grid_differences(second.geometry, first.geometry):
        fact, wanted = f"{what} {found}", f"{expected} as in {pair.case.labels.name}"
        raise DataError(fact, place=str(pair.path), expected=wanted)
    annotated = dataset.labels.names if pair.case.annotated is None else pair.case.annotated
    return dice_of(first.array[0], second.array[0], dataset.labels, annotated)
