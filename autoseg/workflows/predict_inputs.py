"""What `-i` and `-o` mean: a folder of cases, or one case whose label map gets a name of its own.

When the output is named as an image file is, all that is named as input is one case: one file (or
DICOM series) per channel, in the order of the channels, or of the numbers in their names where they
have them (`x_0001.nii.gz`). Otherwise the output is a folder, and files
make cases by their names, as they do in a folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from autoseg.case_files import CHANNEL_NAME, ENDINGS, PICTURES, ending_of, stem_of
from autoseg.dataset import Case, check_is_image, find_cases
from autoseg.dicom_files import is_series
from autoseg.errors import DataError, Problem, UsageError, number_of
from autoseg.io import read_header

LOSSY_ENDINGS = (".jpg", ".jpeg")  # would smear label values
OBJECT_ENDING = ".dcm"  # of the DICOM objects that --write makes


def is_one_file(output: Path, write: str) -> bool:
    """Tell whether `output` names a label map (or DICOM object) instead of a folder for them."""
    if output.is_dir():
        return False
    if write != "labels":
        return output.suffix.lower() == OBJECT_ENDING
    return bool(ending_of(output))


def find_inputs(
    images: Sequence[Path], output: Path, channels: int, file_ending: str | None, write: str
) -> list[Case]:
    """Return the cases that are meant, sorted by name; a single one when `output` is a file.

    Raises UsageError when there is none, or when writing to `output` could touch an input.
    """
    if is_one_file(output, write):
        cases = [_one_case(images, output, channels, file_ending)]
        if ending_of(output) in LOSSY_ENDINGS:
            fact = "a JPEG would smear label values"
            raise UsageError(fact, place=str(output), remedy="name a .png")
    else:
        _check_folder(output, write)
        cases = find_cases(images, channels, file_ending)
    _check_apart(images, cases, output)
    return cases


def _check_folder(output: Path, write: str) -> None:
    if output.is_dir():
        return
    if write == "labels" and output.suffix.lower() == OBJECT_ENDING:
        remedy = "--write seg or --write rtstruct makes one of a DICOM series"
        raise UsageError("label maps are no DICOM files", place=str(output), remedy=remedy)
    if write != "labels" and ending_of(output):
        expected = f"a folder, or a file ending in {OBJECT_ENDING}"
        raise UsageError(f"--write {write} makes DICOM files", place=str(output), expected=expected)
    if output.exists():
        expected = f"a folder, or a file ending in {', '.join(ENDINGS[:3])}, ..."
        raise UsageError("is a file", place=str(output), expected=expected)


def _one_case(images: Sequence[Path], output: Path, channels: int, file_ending: str | None) -> Case:
    first = images[0]
    if len(images) == 1 and first.is_dir() and not is_series(first):
        cases = find_cases(first, channels, file_ending)
        if len(cases) > 1:
            fact = f"holds {len(cases)} cases, and {output} is one file"
            raise UsageError(fact, place=str(first), remedy="name a folder with -o")
        return cases[0]
    for path in images:
        if not path.exists():
            raise UsageError("not found", place=str(path), expected="an image")
        check_is_image(path)
    if len(images) not in (1, channels):
        fact = f"{len(images)} files for one label map ({output.name})"
        expected = f"one per channel, {channels}" if channels > 1 else "one"
        raise UsageError(fact, expected=expected, remedy="several cases? name a folder with -o")
    if len({path.resolve() for path in images}) < len(images):
        raise UsageError("the same file is named twice", expected="one file per channel")
    return Case(stem_of(first.resolve()), tuple(_by_number(images)))


def _by_number(images: Sequence[Path]) -> list[Path]:
    """Return files in the order of their channel numbers, as given where they have none."""
    found = [CHANNEL_NAME.fullmatch(stem_of(path)) for path in images]
    numbers = [int(match[2]) for match in found if match]
    if sorted(numbers) != list(range(len(images))):
        return list(images)
    return [path for _, path in sorted(zip(numbers, images, strict=True))]


def _check_apart(images: Iterable[Path], cases: Iterable[Case], output: Path) -> None:
    """Raise UsageError when a result could take the place of an input, also by way of a link."""
    target = output.resolve()
    remedy = "choose another folder with -o"
    if any(path.resolve() == target for path in images):
        what = "folder" if output.is_dir() else "file"
        raise UsageError(f"input and output are the same {what}", place=str(output), remedy=remedy)
    for case in cases:
        for path in case.images:
            if not path.is_dir() and target in (path.resolve(), *_folders_of(path)):
                fact = f"{path.name}, an input, lies in the output"
                raise UsageError(fact, place=str(output), remedy=remedy)


def _folders_of(path: Path) -> tuple[Path, Path]:
    return path.parent.resolve(), path.resolve().parent


def check_headers(cases: Sequence[Case], channels: int) -> None:
    """Raise DataError when no case can be predicted, as the headers of all files show.

    Only so many are read as it takes to find a good one: bad ones among good ones fail later, one
    by one. Pictures pass, as grey ones may be stored in colours.
    """
    problems: list[Problem] = []
    for case in cases:
        if case.images[0].is_dir() or ending_of(case.images[0]) in PICTURES:
            return
        try:
            found = sum(read_header(path).channels for path in case.images)
        except DataError as error:
            problems.append(error.as_problem())
            continue
        if found == channels:
            return
        holds = number_of(found, "channel")
        remedy = f"a model of {number_of(channels, 'channel')} wants a file for each"
        problems.append(Problem(str(case.images[0]), holds, str(channels), remedy))
    if len(problems) == 1:
        only = problems[0]
        raise DataError(only.found, place=only.place, expected=only.expected, remedy=only.remedy)
    raise DataError(f"none of {len(problems)} cases can be used", problems=problems)
