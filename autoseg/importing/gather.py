"""Bring matched files together into cases: which image, which labels, which channel."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.case_files import CASE_NAME, ending_of
from autoseg.dicom_files import kind_of
from autoseg.errors import DataError, Problem
from autoseg.importing.arguments import order_channels
from autoseg.importing.patterns import Match, find_matches


@dataclass(frozen=True)
class Source:
    """Where the files of one case are now; `labels` is None for controls and unlabelled images."""

    case: str
    images: tuple[Path, ...]
    labels: Path | None
    control: bool = False


def gather(
    images: str, labels: str, channels: Mapping[str, str], controls: str | None = None
) -> list[Source]:
    """Return the cases that the patterns find, sorted by name.

    `channels` is name -> text for {channel}. Raises UsageError when a pattern finds nothing,
    DataError listing cases that miss a channel, labels without an image, and names used twice.
    """
    problems: list[Problem] = []
    image_files = _by_case(images, channels, problems)
    control_files = _by_case(controls, channels, problems) if controls else {}
    label_files: dict[str, Path] = {}
    for match in find_matches(labels):
        problems += _not_labels(match.path)
        if match.case in label_files:
            fact = f"second label file of case {match.case}"
            problems.append(Problem(str(match.path), fact, str(label_files[match.case])))
        label_files[match.case] = match.path
    for case in sorted(set(label_files) - set(image_files)):
        remedy = f"no file fits {images} with this name"
        problems.append(Problem(str(label_files[case]), "labels without an image", remedy=remedy))
    for case in sorted(set(control_files) & set(image_files)):
        fact = f"the control has the name of another case, {case}"
        problems.append(Problem(str(control_files[case][0]), fact))
    sources = [Source(case, files, label_files.get(case)) for case, files in image_files.items()]
    sources += [Source(case, files, None, True) for case, files in control_files.items()]
    problems += _bad_names(sources)
    if problems:
        count = len(problems)
        raise DataError(f"{count} problem{'s' * (count != 1)} with the files", problems=problems)
    return sorted(sources, key=lambda source: source.case)


def _by_case(
    pattern: str, channels: Mapping[str, str], problems: list[Problem]
) -> dict[str, tuple[Path, ...]]:
    matches = [m for m in find_matches(pattern, tuple(channels.values())) if _is_image(m, problems)]
    numbered = any(match.channel for match in matches)
    order = order_channels({m.channel for m in matches}, channels) if numbered else {"": 0}
    cases: dict[str, dict[int, Path]] = {}
    for match in matches:
        if match.channel not in order:
            continue  # a modality that is there but was not asked for
        files = cases.setdefault(match.case, {})
        if order[match.channel] in files:
            fact = f"second file of case {match.case}"
            problems.append(Problem(str(match.path), fact, str(files[order[match.channel]])))
        files[order[match.channel]] = match.path
    wanted = len(channels) if numbered else 1
    for case, files in cases.items():
        missing = [name for i, name in enumerate(channels) if i < wanted and i not in files]
        if missing:
            place = str(next(iter(files.values())))
            fact = f"case {case} misses {', '.join(missing)}"
            problems.append(Problem(place, fact, f"all of {', '.join(channels)}"))
    return {case: tuple(files[i] for i in sorted(files)) for case, files in cases.items()}


def _is_image(match: Match, problems: list[Problem]) -> bool:
    if ending_of(match.path) or match.path.is_dir():  # find_matches gives folders of DICOM series
        return True
    remedy = "let the pattern end at the series' folder" if kind_of(match.path) == "image" else ""
    fact = "is not an image file that autoseg reads"
    problems.append(Problem(str(match.path), fact, remedy=remedy))
    return False


def _not_labels(path: Path) -> list[Problem]:
    kind = kind_of(path) if path.is_file() else "image"  # find_matches gives folders of series
    if kind in ("rtstruct", "seg") or (path.is_file() and ending_of(path)):
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
        place = str(source.images[0])
        if folded in seen and seen[folded] != source.case:
            fact = f"the names {seen[folded]} and {source.case} are one on some disks"
            problems.append(Problem(place, fact, remedy="rename one"))
        seen[folded] = source.case
        if not CASE_NAME.fullmatch(source.case) or source.case.startswith("."):
            problems.append(Problem(place, f"{source.case!r} cannot be the name of a case"))
    return problems
