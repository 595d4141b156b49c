"""Bring matched files together into cases: which image, which labels, which channel and slice."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from autoseg.case_files import CASE_NAME, ending_of, some
from autoseg.dicom_files import kind_of
from autoseg.errors import DataError, Problem, UsageError, number_of
from autoseg.importing.arguments import is_between, order_channels
from autoseg.importing.layouts import Layout
from autoseg.importing.masks import Masks
from autoseg.importing.patterns import Match, find_matches
from autoseg.importing.stacks import Stack

File = Path | Stack


@dataclass(frozen=True)
class Source:
    """Where the files of one case are now; `labels` is None for controls and unlabelled images.

    A `test` case is kept out of training even if it has labels.
    """

    case: str
    images: tuple[File, ...]  # one per channel, or one that holds them all
    labels: File | Masks | None
    control: bool = False
    test: bool = False
    about: Mapping[str, Any] = field(default_factory=dict)  # what `cases` shall say about it

    @property
    def trains(self) -> bool:
        """Whether it goes to `imagesTr`."""
        return not self.test and bool(self.labels or self.control)


def gather(
    layout: Layout, channels: Mapping[str, str], subjects: tuple[str, str] | None = None
) -> list[Source]:
    """Return the cases that the patterns of `layout` find, sorted by name.

    `channels` is name -> text for {channel}; `subjects` are the first and the last case wanted.
    Raises UsageError when a pattern finds nothing, DataError listing cases that miss a channel or
    a slice, labels without an image, and names used twice.
    """
    problems: list[Problem] = []

    def found(pattern: str, prefix: str) -> list[Match]:
        matches = find_matches(pattern, tuple(channels.values()), layout.root)
        named = [replace(match, case=prefix + match.case) for match in matches]
        return [match for match in named if is_between(match.case, subjects)]

    def images_of(pattern: str, prefix: str = "") -> dict[str, tuple[File, ...]]:
        return _images(found(pattern, prefix), channels, problems) if pattern else {}

    images = images_of(layout.images, layout.prefix)
    controls = images_of(layout.controls)
    tests: dict[str, tuple[File, ...]] = {}
    for pattern in layout.tests:
        tests |= images_of(pattern, layout.prefix)
    labels = _labels(found(layout.labels, layout.prefix), problems)
    if subjects and not images:
        fact = f"no case from {subjects[0]} to {subjects[1]}"
        raise UsageError(fact, place=str(layout.root or layout.images))
    for case in sorted(set(labels) - set(images) - set(tests)):
        remedy = f"no file fits {layout.images} with this name"
        problems.append(Problem(_place(labels[case]), "labels without an image", remedy=remedy))
    for others, what in ((controls, "control"), (tests, "image to predict")):
        for case in sorted(set(others) & set(images)):
            fact = f"the {what} has the name of another case, {case}"
            problems.append(Problem(_place(others[case][0]), fact))
    tags: dict[str, Any] = {"tags": list(layout.tags)} if layout.tags else {}
    sources = [
        Source(case, files, labels.get(case), about=tags if case in labels else {})
        for case, files in images.items()
    ]
    sources += [
        Source(c, files, None, True, about={"tags": ["control"]}) for c, files in controls.items()
    ]
    sources += [Source(c, files, labels.get(c), test=True) for c, files in tests.items()]
    problems += _other_slices(sources) + _bad_names(sources)
    if problems:
        count = len(problems)
        raise DataError(f"{number_of(count, 'problem')} with the files", problems=problems)
    return sorted(sources, key=lambda source: source.case)


def paths_of(file: File | Masks | None) -> tuple[Path, ...]:
    """Return the files, or folders of DICOM series, that an image or its labels consist of."""
    if isinstance(file, Masks):
        return tuple(file.files.values())
    if isinstance(file, Stack):
        return file.slices
    return () if file is None else (file,)


def _images(
    found: Sequence[Match], channels: Mapping[str, str], problems: list[Problem]
) -> dict[str, tuple[File, ...]]:
    matches = [match for match in found if _is_image(match, problems)]
    numbered = any(match.channel for match in matches)
    order = order_channels({m.channel for m in matches}, channels) if numbered else {"": 0}
    cases: dict[str, dict[int, list[Match]]] = {}
    for match in matches:
        if match.channel in order:  # else a modality that is there but was not asked for
            cases.setdefault(match.case, {}).setdefault(order[match.channel], []).append(match)
    wanted = len(channels) if numbered else 1
    images = {}
    for case, files in cases.items():
        missing = [name for i, name in enumerate(channels) if i < wanted and i not in files]
        if missing:
            place = str(next(iter(files.values()))[0].path)
            fact = f"case {case} misses {', '.join(missing)}"
            problems.append(Problem(place, fact, f"all of {', '.join(channels)}"))
        images[case] = tuple(_one_file(files[i], "file", problems) for i in sorted(files))
    return images


def _labels(found: Sequence[Match], problems: list[Problem]) -> dict[str, File | Masks]:
    cases: dict[str, dict[str, list[Match]]] = {}
    for match in found:
        problems += _not_labels(match.path)
        cases.setdefault(match.case, {}).setdefault(match.target, []).append(match)
    labels: dict[str, File | Masks] = {}
    for case, targets in cases.items():
        files = {
            target: _one_file(matches, "label file", problems)
            for target, matches in sorted(targets.items())
        }
        if "" in files:
            labels[case] = files[""]
        else:
            labels[case] = Masks({t: file for t, file in files.items() if isinstance(file, Path)})
    return labels


def _one_file(matches: Sequence[Match], what: str, problems: list[Problem]) -> File:
    """Return the one file, or all slices in order; others are problems."""
    first = matches[0]
    if not first.slice:
        problems += [
            Problem(str(match.path), f"second {what} of case {match.case}", str(first.path))
            for match in matches[1:]
        ]
        return first.path
    numbers = sorted((int(match.slice), match.path) for match in matches)
    there = [number for number, _ in numbers]
    for (number, path), (following, other) in pairwise(numbers):
        if number == following:
            fact = f"second slice {number} of case {first.case}"
            problems.append(Problem(str(other), fact, str(path)))
    missing = sorted(set(range(there[0], there[-1])) - set(there))
    if missing:
        fact = f"case {first.case} misses slice {some(map(str, missing))}"
        problems.append(Problem(str(first.path), fact, f"all from {there[0]} to {there[-1]}"))
    return Stack(tuple(path for _, path in numbers), there[0])


def _other_slices(sources: Sequence[Source]) -> list[Problem]:
    """Return the cases whose labels are not of the same slices as their images."""
    problems = []
    for source in sources:
        files = [*source.images, *([source.labels] if source.labels else [])]
        spans = [(f.first, len(f.slices)) for f in files if isinstance(f, Stack)]
        if len(set(spans)) > 1:
            said = " and ".join(f"{count} from {first}" for first, count in dict.fromkeys(spans))
            fact = f"case {source.case} has different slices: {said}"
            problems.append(Problem(_place(files[-1]), fact, "the same numbers"))
    return problems


def _place(file: File | Masks) -> str:
    return str(paths_of(file)[0])


def _is_image(match: Match, problems: list[Problem]) -> bool:
    if ending_of(match.path) or match.path.is_dir():  # find_matches gives folders of DICOM series
        return True
    remedy = "let the pattern end at the series' folder" if kind_of(match.path) == "image" else ""
    fact = "is not an image file that autoseg reads"
    problems.append(Problem(str(match.path), fact, remedy=remedy))
    return False


def _not_labels(path: Path) -> list[Problem]:
    if path.is_file() and ending_of(path):
        return []  # without a look into what may be a hundred thousand masks
    kind = kind_of(path) if path.is_file() else "image"  # find_matches gives folders of series
    if kind in ("rtstruct", "seg"):
        return []
    fact = (
        "holds scans, not labels" if kind == "image" else "is not a label file that autoseg reads"
    )
    expected = "a label map, an RTSTRUCT or a DICOM-SEG"
    return [Problem(str(path), fact, expected, "let the pattern end at the labels' file")]


def _bad_names(sources: Sequence[Source]) -> list[Problem]:
    problems = []
    seen: dict[str, str] = {}
    for source in sources:
        folded = unicodedata.normalize("NFC", source.case).casefold()
        place = _place(source.images[0])
        if folded in seen and seen[folded] != source.case:
            fact = f"the names {seen[folded]} and {source.case} are one on some disks"
            problems.append(Problem(place, fact, remedy="rename one"))
        seen[folded] = source.case
        if not CASE_NAME.fullmatch(source.case) or source.case.startswith("."):
            problems.append(Problem(place, f"{source.case!r} cannot be the name of a case"))
    return problems
