"""The record of a prediction run: what is finished, whose output this is, what to do again.

predictions.partial.jsonl   while a run is unfinished: its identity, then a line per finished case
predictions.json            written last: models, settings, and the files that belong to the run
failed.json                 only when cases failed: why
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autoseg.dataset import Case
from autoseg.dicom_files import files_of
from autoseg.errors import AutosegError, UsageError
from autoseg.files import fingerprint_of, read_json, sha256, to_json, write_json, write_text

FORMAT = "autoseg-predictions-1"
PARTIAL, FINAL, FAILED = "predictions.partial.jsonl", "predictions.json", "failed.json"
IGNORED = (".autoseg.lock",)


@dataclass(frozen=True)
class Entry:
    """One finished case."""

    case: str
    file: str  # name in the output folder
    sha256: str
    source: str  # hash of names, sizes and times of the input files
    status: str = "ok"  # or "empty_image": nothing but zeros, so nothing was searched


@dataclass
class Record:
    """An unfinished run: what identifies it, and the cases that are done."""

    folder: Path
    identity: str
    done: dict[str, Entry] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        """Note a finished case; its file is complete when this is called."""
        self.done[entry.case] = entry
        with (self.folder / PARTIAL).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(to_json(entry)) + "\n")


def open_record(folder: Path, identity: Mapping[str, Any], overwrite: bool) -> Record:
    """Return the record of the run in `folder`: a new one, or the unfinished one to continue.

    Raises UsageError when the folder holds a finished run, an unfinished one with other models or
    settings, or anything else, unless `overwrite`; that removes what an earlier run listed, only.
    """
    record = Record(folder, fingerprint_of(identity))
    partial = folder / PARTIAL
    if overwrite:
        _remove_earlier(folder)
    elif partial.is_file():
        if not _read_partial(record):
            raise UsageError(
                "holds an unfinished prediction with other models or settings",
                place=str(folder),
                remedy="repeat that command, choose another folder, or pass --overwrite",
            )
        return record
    elif (folder / FINAL).is_file():
        raise UsageError(
            "holds a finished prediction",
            place=str(folder),
            remedy="choose another folder, or pass --overwrite",
        )
    elif _contents(folder):
        raise UsageError(
            f"is not empty and not of a prediction (it holds {_contents(folder)[0]})",
            place=str(folder),
            remedy="choose another folder, or pass --overwrite",
        )
    write_text(partial, json.dumps({"format": FORMAT, "identity": record.identity}) + "\n")
    return record


def _contents(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name not in IGNORED)


def _read_partial(record: Record) -> bool:
    """Fill `record` from its file; False when that is another run's. A torn line is dropped."""
    lines = []
    for line in (record.folder / PARTIAL).read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    if not lines or lines[0] != {"format": FORMAT, "identity": record.identity}:
        return False
    record.done = {value["case"]: Entry(**value) for value in lines[1:]}
    # Written anew, so that the next line does not continue a torn one.
    write_text(record.folder / PARTIAL, "".join(json.dumps(line) + "\n" for line in lines))
    return True


def _remove_earlier(folder: Path) -> None:
    names: list[str] = []
    with contextlib.suppress(AutosegError, OSError, KeyError, TypeError, AttributeError):
        names = [case["file"] for case in read_json(folder / FINAL)["cases"].values()]
    with contextlib.suppress(OSError):
        for line in (folder / PARTIAL).read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(json.JSONDecodeError, AttributeError):
                names.append(json.loads(line).get("file", ""))
    for name in [*names, FINAL, FAILED, PARTIAL]:
        if name:
            (folder / Path(name).name).unlink(missing_ok=True)


def source_of(case: Case) -> str:
    """Return a hash that changes when an input file of `case` changes."""
    files = [file for path in case.images for file in files_of(path)]
    stats = [(path.name, path.stat()) for path in files]
    return fingerprint_of([[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats])


def is_done(record: Record, case: Case) -> bool:
    """Tell whether `case` is finished, its input is the same, and its file is as it was written."""
    entry = record.done.get(case.id)
    if entry is None:
        return False
    path = record.folder / entry.file
    with contextlib.suppress(OSError):
        return entry.source == source_of(case) and sha256(path) == entry.sha256
    return False


def close_record(
    record: Record, header: Mapping[str, Any], cases: Sequence[Case], failed: Mapping[str, str]
) -> dict[str, Any]:
    """Write `predictions.json` (and `failed.json`), end the unfinished state; return the manifest.

    With failed cases the run stays open: the same command tries those again.
    """
    entries = {case.id: record.done[case.id] for case in cases if case.id not in failed}
    manifest = {
        "format": FORMAT,
        **header,
        "cases": described(entries.values()),
        "failed": sorted(failed),
    }
    write_json(record.folder / FINAL, manifest)
    if failed:
        write_json(record.folder / FAILED, dict(sorted(failed.items())))
    else:
        (record.folder / FAILED).unlink(missing_ok=True)
        (record.folder / PARTIAL).unlink(missing_ok=True)
    return manifest


def described(entries: Iterable[Entry]) -> dict[str, Any]:
    """Return what `predictions.json` says about each finished case."""
    return {
        entry.case: {"file": entry.file, "sha256": entry.sha256, "status": entry.status}
        for entry in entries
    }
