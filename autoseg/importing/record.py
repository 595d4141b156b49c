"""What an import leaves beside the images: `dataset.json`, and in `conversion.json` how it came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autoseg.dicom_files import files_of
from autoseg.files import read_json
from autoseg.importing.arguments import written
from autoseg.importing.gather import Source, paths_of
from autoseg.importing.masks import Masks
from autoseg.importing.place import stored_ending
from autoseg.importing.survey import Survey
from autoseg.records import fingerprint_of

RECORD = "conversion.json"
RECORDS = (RECORD, "import.json")  # the second is what older versions called it
LABEL_MAP = "label_map.json"


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return the record of the import that filled `folder`; None where no import did."""
    for name in RECORDS:
        if (folder / name).is_file():
            return dict(read_json(folder / name))
    return None


def stamp_of(
    sources: Sequence[Source], options: Mapping[str, Any], changes: Mapping[int, int]
) -> str:
    """Return a hash that is the same as long as files and options are."""
    stamps = []
    for source in sources:
        paths = [path for file in (*source.images, source.labels) for path in paths_of(file)]
        files = [file for path in paths for file in files_of(path)]
        stamps += [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    return fingerprint_of([stamps, options, {str(old): new for old, new in changes.items()}])


def case_record(placed: Mapping[str, Any], root: Path | None) -> dict[str, Any]:
    """Return the entry of a case; files below the `root` of the data are named from there."""
    entry = dict(placed)
    for group in ("images", "labels"):
        if group in entry:
            entry[group] = {_from(root, path): digest for path, digest in entry[group].items()}
    return entry


def declaration(name: str, found: Survey, annotated: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return `dataset.json` as nnU-Net reads it; what is known of single cases under `cases`."""
    training = [source for source in found.sources if source.trains]
    declared: dict[str, Any] = {
        "name": name,
        **found.facts,
        "channel_names": {str(index): channel for index, channel in enumerate(found.channels)},
        "labels": {"background": 0, **found.values},
        "numTraining": len(training),
        "file_ending": kept_type(found),
    }
    if any(isinstance(value, list) for value in found.values.values()):
        declared["regions_class_order"] = [
            written(value) for target, value in found.values.items() if target != "ignore"
        ]
    cases: dict[str, Any] = {}
    for source in training:
        partly = annotated.get(source.case)
        entry = {**source.about, **({} if partly is None else {"annotated": list(partly)})}
        cases |= {source.case: entry} if entry else {}
    return declared | ({"cases": cases} if cases else {})


def kept_type(found: Survey) -> str:
    """Return the file type in which the training images are kept."""
    return stored_ending(next(source for source in found.sources if source.trains).images[0])


def file_order(found: Survey) -> dict[str, int]:
    """Return file name -> index from 0 of classes that were files of their own."""
    masks = [source.labels for source in found.sources if isinstance(source.labels, Masks)]
    names = {target: path.name for one in masks for target, path in one.files.items()}
    return {names[target]: written(value) - 1 for target, value in found.values.items()}


def _from(root: Path | None, path: str) -> str:
    if root is not None and Path(path).is_relative_to(root):
        return Path(path).relative_to(root).as_posix()
    return str(Path(path).resolve())
