"""The verb `import`: files from anywhere become `raw/<NAME>` in nnU-Net's layout."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.dataset import Dataset, load_dataset
from autoseg.dicom_files import files_of
from autoseg.errors import DataError, Problem, UsageError, suggest
from autoseg.files import fingerprint_of, locked, read_json, write_json
from autoseg.importing.arguments import (
    annotated_of,
    parse_annotated,
    parse_channels,
    parse_classes,
    parse_label_map,
)
from autoseg.importing.gather import Source, gather
from autoseg.importing.place import Manner, Placed, place_case, stored_ending
from autoseg.importing.structures import parse_structures
from autoseg.parallel import Outcome, map_cases
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)

LINKS = ("symlink", "hard")
FOLDERS = ("imagesTr", "labelsTr", "imagesTs")


def import_data(
    workspace: Workspace,
    name: str,
    *,
    images: str,
    labels: str,
    channels: Sequence[str],
    classes: Sequence[str],
    label_map: Sequence[str] | Mapping[int, int] = (),
    controls: str | None = None,
    structures: Sequence[str] = (),
    annotated: Sequence[str] = (),
    link: bool | str = False,
    workers: int = 0,
) -> Dataset:
    """Copy or link the files that the patterns find into `raw/<name>` and return the dataset.

    `link`: False copies, True or "symlink" links, "hard" makes hard links. With a `label_map` the
    label files are written anew on their own grid; controls get empty ones and the tag "control".
    Images without labels go to `imagesTs`. DICOM series become NIfTI files, and RTSTRUCT or
    DICOM-SEG label files label maps: `structures` ("kidney=Niere*") says what a class is called
    there; a class that a file does not have is not annotated in that case. `annotated`
    ("siteA_*=liver") says of cases by their name what is annotated in them, where not all is.

    The same import again does nothing, an unfinished one is done again, another one into the same
    name raises UsageError.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        expected = "letters, digits, and _ . - after the first"
        raise UsageError(f"'{name}' cannot name a dataset", expected=expected)
    named, values = parse_channels(channels), parse_classes(classes)
    changes = parse_label_map(label_map)
    manner = _manner(link, changes, values, len(named))
    manner = replace(manner, structures=parse_structures(structures, values))
    sources = gather(images, labels, named, controls)
    if not any(source.labels for source in sources):
        raise UsageError("no image has labels", place=labels, remedy="compare the two patterns")
    folder = workspace.raw(name)
    options = {"channels": named, "classes": values, "link": manner.link}
    options |= {"structures": list(structures)} if structures else {}
    options |= {"annotated": list(annotated)} if annotated else {}
    entries = parse_annotated(annotated, [target for target in values if target != "ignore"])
    said = annotated_of([s.case for s in sources if s.labels or s.control], entries)
    record = _record(sources, options, changes)
    _refuse_foreign(folder)
    with locked(folder, f"autoseg import -d {name}"):
        if _is_done(folder, record):
            log.info("%s: imported already, nothing to do", name)
            return load_dataset(folder)
        for leftover in FOLDERS:  # of an import that did not end
            shutil.rmtree(folder / leftover, ignore_errors=True)
        write_json(folder / "import.json", record)
        place = partial(place_case, folder=folder, manner=manner)
        cases = map_cases(
            place, sources, workers=workers, title="import", name=lambda source: source.case
        )
        partly = _annotated(list(cases)) | said
        # Last: a folder without dataset.json is not a dataset yet.
        write_json(folder / "dataset.json", _declaration(name, sources, named, values, partly))
    _tell(name, sources)
    return load_dataset(folder)


def _manner(
    link: bool | str, changes: Mapping[int, int], values: Mapping[str, Any], channels: int
) -> Manner:
    kind = link if isinstance(link, str) else "symlink" * link
    if kind and kind not in LINKS:
        raise UsageError(f"unknown kind of link '{kind}'", remedy=suggest(kind, LINKS))
    declared = np.unique(np.hstack([np.ravel(numbers) for numbers in values.values()]))
    numbers = tuple(int(value) for value in declared)
    return Manner(kind, tuple(changes.items()), numbers, channels)


def _refuse_foreign(folder: Path) -> None:
    """Raise UsageError when `folder` holds files that no import wrote."""
    if (folder / "import.json").exists() or not folder.exists():
        return
    if any(not path.name.startswith(".") for path in folder.iterdir()):
        raise _taken(folder)


def _is_done(folder: Path, record: Mapping[str, Any]) -> bool:
    if not (folder / "dataset.json").exists():
        return False
    if read_json(folder / "import.json").get("stamp") == record["stamp"]:
        return True
    raise _taken(folder)


def _taken(folder: Path) -> UsageError:
    remedy = "choose another name with -d, or delete this folder"
    return UsageError("holds another dataset", place=str(folder), remedy=remedy)


def _annotated(outcomes: Sequence[Outcome[Source, Placed]]) -> dict[str, tuple[str, ...]]:
    """Return the targets that the cases have, of those that lack some.

    Raises DataError with the problems of every case, or the first error of another kind.
    """
    problems: list[Problem] = []
    annotated = {}
    for outcome in outcomes:
        if isinstance(outcome.error, DataError):
            error = outcome.error
            problems.append(Problem(error.place, error.fact, error.expected, error.remedy))
        else:
            placed = outcome.result()
            problems += placed.problems
            if placed.annotated is not None:
                annotated[outcome.item.case] = placed.annotated
    if problems:
        count = len(problems)
        raise DataError(f"{count} problem{'s' * (count != 1)} with the files", problems=problems)
    return annotated


def _record(
    sources: Sequence[Source], options: Mapping[str, Any], changes: Mapping[int, int]
) -> dict[str, Any]:
    """Return what `import.json` holds: where each file came from, and how it was changed."""
    cases: dict[str, dict[str, Any]] = {}
    stamps = []
    for source in sources:
        paths = [*source.images, *([source.labels] if source.labels else [])]
        files = [file for path in paths for file in files_of(path)]
        stamps += [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
        cases[source.case] = {"images": [str(path.resolve()) for path in source.images]}
        if source.labels:
            cases[source.case]["labels"] = str(source.labels.resolve())
    label_map = {str(value): changed for value, changed in changes.items()}
    stamp = fingerprint_of([stamps, options, label_map])
    return {"stamp": stamp, **options, "label_map": label_map, "cases": cases}


def _declaration(
    name: str,
    sources: Sequence[Source],
    channels: Mapping[str, str],
    values: Mapping[str, Any],
    annotated: Mapping[str, tuple[str, ...]],
) -> dict[str, Any]:
    """Return `dataset.json` as nnU-Net reads it; tags and annotated targets under `cases`."""
    training = [source for source in sources if source.labels or source.control]
    declaration: dict[str, Any] = {
        "name": name,
        "channel_names": {str(index): channel for index, channel in enumerate(channels)},
        "labels": {"background": 0, **values},
        "numTraining": len(training),
        "file_ending": stored_ending(training[0].images[0]),
    }
    if any(isinstance(value, list) for value in values.values()):
        declaration["regions_class_order"] = [
            value[0] if isinstance(value, list) else value
            for target, value in values.items()
            if target != "ignore"
        ]
    cases: dict[str, Any] = {
        source.case: {"tags": ["control"]} for source in training if source.control
    }
    for case, targets in annotated.items():
        cases[case] = {**cases.get(case, {}), "annotated": list(targets)}
    return declaration | ({"cases": cases} if cases else {})


def _tell(name: str, sources: Sequence[Source]) -> None:
    controls = sum(source.control for source in sources)
    to_predict = sum(not source.labels and not source.control for source in sources)
    log.info("%s: %d cases, %d of them controls", name, len(sources) - to_predict, controls)
    if to_predict:
        log.warning("%s: %d images without labels, now in imagesTs", name, to_predict)
