"""The record of a prediction run: what is finished, whose output this is, what to do again.

predictions.partial.jsonl   while a run is unfinished: its identity, then a line per finished case
predictions.json            written last: models, settings, and the files that belong to the run
failed.json                 only when cases failed: why
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autoseg.case_files import some
from autoseg.dataset import Case
from autoseg.dicom_files import files_of
from autoseg.errors import AutosegError, UsageError
from autoseg.files import append_line, read_json, sha256, write_json, write_text
from autoseg.label_table import TABLES
from autoseg.preprocessing.crop import Box
from autoseg.records import fingerprint_of, to_json

FORMAT = "autoseg-predictions-1"
PARTIAL, FINAL, FAILED = "predictions.partial.jsonl", "predictions.json", "failed.json"
PARTS, RUN = "parts", "run.json"  # folder of the records of a run in parts: `predict_parts`
IGNORED = (".autoseg.lock",)


@dataclass(frozen=True)
class Entry:
    """One finished case."""

    case: str
    file: str  # name in the output folder
    sha256: str
    source: str  # hash of names, sizes and times of the input files
    status: str = "ok"  # or "empty_image": nothing but zeros, so nothing was searched
    more: Mapping[str, str] = field(default_factory=dict)  # other files of the case: their hashes
    effort: Mapping[str, Any] = field(default_factory=dict)  # with --budget: what was averaged
    # With speed "localise": of each model the box (Z, Y, X) that was predicted; None: all of it.
    searched: Sequence[Box | None] = ()
    warnings: Sequence[str] = ()  # in what it is unlike the training data


@dataclass
class Record:
    """An unfinished run: what identifies it, and the cases that are done."""

    home: Path  # of the record's own files
    identity: str
    output: Path  # of the label maps: the same folder, unless this is one part of a run
    done: dict[str, Entry] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        """Note a finished case; its file is complete when this is called."""
        self.done[entry.case] = entry
        append_line(self.home / PARTIAL, json.dumps(to_json(entry)))


def open_record(
    folder: Path, identity: Mapping[str, Any], overwrite: bool, files: Iterable[str]
) -> Record:
    """Return the record of the run in `folder`: a new one, or the unfinished one to continue.

    Raises UsageError when the folder holds a finished run, an unfinished one with other models or
    settings, or anything else, unless `overwrite`; that removes what an earlier run listed, only.
    `files` are the names that the run will write: where no run was, they may not be there at all.
    """
    record = Record(folder, fingerprint_of(identity), folder)
    if overwrite:
        _spare_others(folder, files)
        _remove_earlier(folder)
    elif (folder / PARTIAL).is_file():
        if not read_partial(record):
            raise UsageError(
                "holds an unfinished prediction with other models or settings",
                place=str(folder),
                remedy="repeat that command, choose another folder, or pass --overwrite",
            )
        return record
    elif (folder / PARTS / RUN).is_file():
        raise UsageError(
            "holds a prediction in parts that is not finished",
            place=str(folder),
            remedy="run the parts that are missing, choose another folder, or pass --overwrite",
        )
    elif (folder / FINAL).is_file():
        raise UsageError(
            "holds a finished prediction",
            place=str(folder),
            remedy="choose another folder, or pass --overwrite",
        )
    else:
        check_empty(folder)
    return begin(record)


def check_empty(folder: Path, *besides: str) -> None:
    """Raise UsageError when the folder holds anything that is not named in `besides`."""
    known = (*IGNORED, *besides)
    contents = sorted(path.name for path in folder.iterdir() if path.name not in known)
    if contents:
        raise UsageError(
            f"is not empty and not of a prediction (it holds {contents[0]})",
            place=str(folder),
            remedy="choose another folder, or pass --overwrite",
        )


def begin(record: Record) -> Record:
    """Write the first line of a new run and return it."""
    first = {"format": FORMAT, "identity": record.identity}
    write_text(record.home / PARTIAL, json.dumps(first) + "\n")
    return record


def read_partial(record: Record) -> bool:
    """Fill `record` from its file; False when that is another run's. A torn line is dropped."""
    lines = []
    for line in (record.home / PARTIAL).read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    if not lines or lines[0] != {"format": FORMAT, "identity": record.identity}:
        return False
    record.done = {value["case"]: Entry(**value) for value in lines[1:]}
    # Written anew, so that the next line does not continue a torn one.
    write_text(record.home / PARTIAL, "".join(json.dumps(line) + "\n" for line in lines))
    return True


def _spare_others(folder: Path, files: Iterable[str]) -> None:
    """Raise UsageError when labels or images that no prediction wrote would be replaced."""
    if any((folder / name).exists() for name in (PARTIAL, FINAL, PARTS)):
        return
    there = [name for name in files if (folder / name).exists()]
    if there:
        raise UsageError(
            f"holds {some(there)}, of no prediction: --overwrite replaces predictions only",
            place=str(folder),
            remedy="choose another folder with -o",
        )


def _remove_earlier(folder: Path) -> None:
    homes = [folder, *sorted((folder / PARTS).glob("*"))]
    for name in [name for home in homes for name in listed_files(home)]:
        (folder / Path(name).name).unlink(missing_ok=True)
    for name in (FINAL, FAILED, PARTIAL, *TABLES):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / PARTS, ignore_errors=True)


def listed_files(home: Path) -> list[str]:
    """Return the names of label maps that the record in `home` lists, finished or not."""
    cases: list[Any] = []
    with contextlib.suppress(AutosegError, OSError, KeyError, TypeError, AttributeError):
        cases = list(read_json(home / FINAL)["cases"].values())
    with contextlib.suppress(OSError):
        for line in (home / PARTIAL).read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                cases.append(json.loads(line))
    names: list[str] = []
    for case in cases:
        with contextlib.suppress(AttributeError):
            names += [case.get("file", ""), *case.get("more", ())]
    return [name for name in names if name]


def source_of(case: Case) -> str:
    """Return a hash that changes when an input file of `case` changes."""
    files = [file for path in case.images for file in files_of(path)]
    files += [case.previous] if case.previous else []
    stats = [(path.name, path.stat()) for path in files]
    return fingerprint_of([[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats])


def is_done(record: Record, case: Case) -> bool:
    """Tell whether `case` is finished, its input is the same, and its file is as it was written."""
    entry = record.done.get(case.id)
    if entry is None:
        return False
    files = {entry.file: entry.sha256, **entry.more}
    with contextlib.suppress(OSError):
        return entry.source == source_of(case) and all(
            sha256(record.output / name) == digest for name, digest in files.items()
        )
    return False


def close_record(
    record: Record, header: Mapping[str, Any], cases: Sequence[Case], failed: Mapping[str, str]
) -> dict[str, Any]:
    """Write `predictions.json` (and `failed.json`), end the unfinished state; return the manifest.

    With failed cases the run stays open: the same command tries those again.
    """
    entries = [record.done[case.id] for case in cases if case.id not in failed]
    manifest = {
        "format": FORMAT,
        **header,
        "cases": described(entries),
        "failed": sorted(failed),
    }
    write_manifest(record.home, manifest, failed)
    if not failed:
        (record.home / PARTIAL).unlink(missing_ok=True)
    return manifest


def write_manifest(folder: Path, manifest: Mapping[str, Any], failed: Mapping[str, str]) -> None:
    """Write `predictions.json`, and `failed.json` where cases failed."""
    write_json(folder / FINAL, manifest)
    if failed:
        write_json(folder / FAILED, dict(sorted(failed.items())))
    else:
        (folder / FAILED).unlink(missing_ok=True)


def described(entries: Iterable[Entry]) -> dict[str, Any]:
    """Return what `predictions.json` says about each finished case."""
    return {entry.case: _described(entry) for entry in entries}


def _described(entry: Entry) -> dict[str, Any]:
    told: dict[str, Any] = {
        "file": entry.file, "sha256": entry.sha256, "status": entry.status,
        "more": dict(entry.more), "effort": dict(entry.effort), "searched": to_json(entry.searched),
        "warnings": list(entry.warnings),
    }  # fmt: skip
    return {name: value for name, value in told.items() if value not in ({}, [])}
