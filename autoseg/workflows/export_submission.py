"""The verb `export --submission`: what a course or a challenge wants, complete or not at all."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from autoseg.case_files import ending_of
from autoseg.errors import DataError, Problem, UsageError, number_of, suggest
from autoseg.evaluation.pairing import label_files
from autoseg.locks import building
from autoseg.sharing.submissions import (
    Piece,
    check_package,
    ending_of_package,
    kits_name,
    pack,
)
from autoseg.workflows.export_places import put_in_place
from autoseg.workflows.submission_pieces import (
    GROUP,
    NIFTI,
    STUDENT,
    Wanted,
    group_pieces,
    student_pieces,
)

KITS = "kits19"


def export_submission(wanted: Wanted, output: Path, overwrite: bool = False) -> Sequence[str]:
    """Write what is handed in to `output`: a .tar.gz, .tar.zst, .zip, or a folder.

    Returns its places, sorted. Raises UsageError for a kind or a number that is none, or when
    `output` is there already; DataError listing every piece that is missing with the command that
    makes it, with nothing written.
    """
    if wanted.kind not in _PIECES:
        fact = f"unknown submission '{wanted.kind}'"
        raise UsageError(fact, remedy=suggest(wanted.kind, _PIECES))
    if wanted.kind != KITS and not re.fullmatch(r"[A-Za-z0-9_-]+", wanted.number):
        fact, expected = f"{wanted.kind} '{wanted.number}'", "a number"
        raise UsageError(fact, expected=expected, remedy=f"say which with --{wanted.kind}")
    if output.exists() and (not overwrite or output.is_dir()):
        remedy = "choose another place with -o" + ", or give --overwrite" * output.is_file()
        raise UsageError("is there already", place=str(output), remedy=remedy)
    check_package(output)
    with building(output) as room:
        problems: list[Problem] = []
        pieces = _PIECES[wanted.kind](wanted, room, problems)
        if problems:
            count = len(problems)
            fact = f"{number_of(count, 'piece')} missing, nothing was written"
            raise DataError(fact, problems=problems)
        built = room / f"package{ending_of_package(output)}"
        pack(pieces, built, wanted.top)
        put_in_place(built, output, room)
    return sorted(f"{wanted.top}/{piece.place}".lstrip("/") for piece in pieces)


def _kits(wanted: Wanted, room: Path, problems: list[Problem]) -> list[Piece]:
    """prediction_NNNNN.nii.gz of every label map in a folder."""
    if wanted.predictions is None:
        raise UsageError("which predictions?", remedy="name their folder with -i")
    found = label_files(wanted.predictions, "predictions", problems)
    pieces = []
    for case, path in found.items():
        if ending_of(path) != NIFTI:
            problems.append(Problem(str(path), "is no .nii.gz", "what KiTS reads"))
            continue
        pieces.append(Piece(kits_name(case), path))
    twice = {p.place for p in pieces if sum(q.place == p.place for q in pieces) > 1}
    problems += [Problem(name, "has two files", "one") for name in sorted(twice)]
    return pieces


_PIECES: Mapping[str, Callable[[Wanted, Path, list[Problem]], list[Piece]]] = {
    GROUP: group_pieces,
    STUDENT: student_pieces,
    KITS: _kits,
}
