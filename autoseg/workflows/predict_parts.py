"""One list of cases shared out among jobs or machines that write to the same folder.

    autoseg_predict -i images -o out --parts 4 --part 0        and 1, 2, 3, at the same time or not

Part k of N takes every N-th case from the k-th on. Each has a record of its own:

out/parts/0-of-4/   predictions.partial.jsonl, predictions.json, failed.json of this part
out/                label maps; `predictions.json` as of a run in one piece, when the last part ends

While parts are at work the folder is locked against runs in one piece, and each part against a
second one of its number.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoseg.dataset import Case
from autoseg.errors import AutosegError, UsageError
from autoseg.files import read_json, write_json
from autoseg.locks import locked
from autoseg.records import fingerprint_of
from autoseg.workflows.predict_record import (
    FAILED,
    FINAL,
    FORMAT,
    PARTIAL,
    PARTS,
    RUN,
    Record,
    begin,
    check_empty,
    close_record,
    read_partial,
    write_manifest,
)

MERGE_WAIT_S = 60.0  # others hold the lock for the time it takes to read some JSON files


@dataclass(frozen=True)
class Part:
    """Part `number` of `of`, counted from 0."""

    number: int
    of: int

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.number}-of-{self.of}"

    def share(self, cases: Sequence[Case]) -> list[Case]:
        """Return the cases of this part: every `of`-th, so that large neighbours are shared out."""
        return list(cases[self.number :: self.of])


def choose_part(parts: int | None, part: int | None, overwrite: bool) -> Part | None:
    """Return the part that is meant; None for all in one piece; raise UsageError for nonsense."""
    if parts is None and part is None:
        return None
    if parts is None or part is None:
        lacking = "--parts N" if parts is None else "--part K"
        raise UsageError("--parts and --part belong together", remedy=f"add {lacking}")
    if parts < 1:
        raise UsageError(f"--parts {parts}", expected="1 or more")
    if not 0 <= part < parts:
        expected = f"0 to {parts - 1}" if parts > 1 else "0"
        raise UsageError(f"--part {part} of --parts {parts}", expected=expected)
    if overwrite:
        fact = "--overwrite would remove what other parts write"
        raise UsageError(fact, remedy="remove the folder, or choose another with -o")
    return Part(part, parts)


@contextlib.contextmanager
def part_locked(output: Path, part: Part, command: str) -> Iterator[None]:
    """Keep runs in one piece out of `output`, and a second run out of this part."""
    check_free(output)  # before anything is made in a folder of somebody else's
    with locked(output, command, shared=True), locked(output / PARTS / part.name, command):
        yield


def open_part(output: Path, header: Mapping[str, Any], part: Part, cases: Sequence[Case]) -> Record:
    """Return the record of `part`: a new one, or the unfinished one to continue.

    `cases` are all, not this part's. Raises UsageError when the folder holds a finished run, parts
    of another run (models, settings, cases or number of parts differ), or anything else.
    """
    identity = fingerprint_of({**header, "parts": part.of, "cases": [case.id for case in cases]})
    record = Record(output / PARTS / part.name, identity, output)
    with locked(output / PARTS, wait_s=MERGE_WAIT_S):
        _join(output, identity)
        if (record.home / PARTIAL).is_file() and read_partial(record):
            return record
        if (record.home / FINAL).is_file():
            _merge(output, header, part.of)  # killed just before it could
            raise UsageError(
                f"part {part.number} of {part.of} is finished", place=str(output),
                remedy="run the parts that are missing, if any are",
            )  # fmt: skip
        return begin(record)


def _join(output: Path, identity: str) -> None:
    """Begin the run in parts, or make sure that this is the one that began."""
    check_free(output)
    run, ours = output / PARTS / RUN, {"format": FORMAT, "identity": identity}
    if not run.is_file():
        write_json(run, ours)
    elif read_json(run) != ours:
        remedy = "repeat their command, or choose another folder"
        fact = "holds parts of a run with other models, settings, cases or number of parts"
        raise UsageError(fact, place=str(output), remedy=remedy)


def check_free(output: Path) -> None:
    """Raise UsageError unless `output` is empty, missing, or shared by parts already."""
    if not output.exists() or (output / PARTS / RUN).is_file():
        return
    if (output / FINAL).is_file():
        fact, remedy = "holds a finished prediction", "choose another folder"
        raise UsageError(fact, place=str(output), remedy=remedy)
    check_empty(output, PARTS)


def close_part(
    record: Record,
    header: Mapping[str, Any],
    part: Part,
    cases: Sequence[Case],
    failed: Mapping[str, str],
) -> dict[str, Any]:
    """Write the record of this part, and of the whole run when this was the last; return it.

    `cases` are this part's.
    """
    with locked(record.output / PARTS, wait_s=MERGE_WAIT_S):
        manifest = close_record(record, header, cases, failed)
        return _merge(record.output, header, part.of) or manifest


def _merge(output: Path, header: Mapping[str, Any], parts: int) -> dict[str, Any] | None:
    """Write `predictions.json` of all parts; None when some are missing."""
    homes = [output / PARTS / Part(number, parts).name for number in range(parts)]
    if not all((home / FINAL).is_file() for home in homes):
        return None
    cases: dict[str, Any] = {}
    failed: dict[str, str] = {}
    for home in homes:
        cases |= read_json(home / FINAL)["cases"]
        with contextlib.suppress(AutosegError):
            failed |= read_json(home / FAILED)
    ordered = dict(sorted(cases.items()))
    manifest = {"format": FORMAT, **header, "cases": ordered, "failed": sorted(failed)}
    write_manifest(output, manifest, failed)
    if not failed:
        shutil.rmtree(output / PARTS, ignore_errors=True)
    return manifest
