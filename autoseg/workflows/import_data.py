"""The verb `import`: files from anywhere become `raw/<NAME>` in nnU-Net's layout."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from autoseg.dataset import Dataset, load_dataset
from autoseg.errors import DataError, Problem, UsageError, number_of
from autoseg.files import write_json
from autoseg.hardware import cores
from autoseg.importing.arguments import (
    annotated_of,
    known_classes,
    parse_annotated,
    parse_label_map,
    parse_subjects,
)
from autoseg.importing.bring import kind_of_link
from autoseg.importing.declared import annotated_there, check_annotated
from autoseg.importing.gather import Source, paths_of
from autoseg.importing.layouts import Layout, choose_layout
from autoseg.importing.masks import Masks
from autoseg.importing.notes import notes_of, repaired_beside
from autoseg.importing.place import Manner, Placed
from autoseg.importing.place_labels import place_case
from autoseg.importing.record import (
    LABEL_MAP,
    RECORD,
    case_record,
    declaration,
    file_order,
    kept_type,
    stamp_of,
)
from autoseg.importing.structures import parse_structures
from autoseg.importing.survey import survey
from autoseg.label_table import declared_names
from autoseg.locks import building, locked
from autoseg.outcomes import Outcome
from autoseg.parallel import map_cases
from autoseg.workflows.raw_folder import check_name, is_done, move_in, refuse_foreign, write_names
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)

CASES_FOR_WORKERS = 8  # with fewer, one process is done before others have started


def import_data(
    workspace: Workspace,
    name: str,
    *,
    images: str = "",
    labels: str = "",
    layout: str = "",
    source: Path | None = None,
    channels: Sequence[str] = (),
    classes: Sequence[str] = (),
    label_map: Sequence[str] | Mapping[int, int] = (),
    controls: str | None = None,
    tests: str = "",
    subjects: str = "",
    label_file: str = "",
    spacings: Path | None = None,
    structures: Sequence[str] = (),
    annotated: Sequence[str] = (),
    absent: Sequence[str] = (),
    fix_geometry: bool = False,
    link: bool | str = False,
    overwrite: bool = False,
    workers: int | None = None,
) -> Dataset:
    """Copy or link files into `raw/<name>` and return the dataset.

    The files are those that the patterns `images`, `labels`, `controls` and `tests` find, or those
    of a known `layout` in the folder `source`, whose channels, classes and label map may be
    replaced. `subjects` ("s0000-s0100") are the first and the last case; `label_file` is the name
    of the label files where the layout has another; `spacings` a table of what slices were cut
    from.

    `link`: False copies, True or "symlink" links, "hard" makes hard links. With a `label_map` the
    label files are written anew on their own grid; controls get empty ones and the tag "control".
    Images without labels go to `imagesTs`. One mask per {class} becomes one label map, {slice}s
    one volume. DICOM series become NIfTI files, and RTSTRUCT or
    DICOM-SEG label files label maps: `structures` ("kidney=Niere*") says what a class is called
    there; a class that a file does not have is not annotated in that case. `annotated`
    ("siteA_*=liver") says of cases by their name what is annotated in them, where not all is;
    the classes in `absent` are not annotated in the cases in which they do not occur.
    Labels off the grid of their image by up to 1e-3 mm are put on it; more is a DataError unless
    `fix_geometry`.

    The same import again does nothing, an unfinished one is done again, another one into the same
    name raises UsageError unless `overwrite`.
    """
    check_name(name)
    typed = Layout(images, labels, controls or "", tests=(tests,) * bool(tests))
    where = choose_layout(layout, source, typed, label_file)
    where = replace(
        where,
        channels=tuple(channels) or where.channels,
        classes=tuple(classes) or where.classes,
        spacings=str(spacings.resolve()) if spacings else where.spacings,
    )
    found = survey(where, parse_subjects(subjects))
    changes = parse_label_map(label_map or where.label_map)
    masked = any(isinstance(source.labels, Masks) for source in found.sources)
    if masked and changes:
        fact = "a label map for files of one structure each"
        raise UsageError(fact, remedy="their values are those of --classes")
    targets = [target for target in found.values if target != "ignore"]
    manner = Manner(
        link=kind_of_link(link),
        changes=tuple(changes.items()),
        channels=len(found.channels),
        structures=parse_structures(structures, found.values),
        values=found.values,
        names=declared_names(found.labels),
        grids=found.grids,
        one_channel=where.one_channel,
        record_spacing=where.record_spacing,
        split=where.declared,
        trusted=fix_geometry,
        absent=known_classes(absent, targets),
    )
    entries = parse_annotated(annotated, targets)
    said = annotated_of([source.case for source in found.sources if source.trains], entries)
    check_annotated(found.sources, said, targets)
    options: dict[str, Any] = {
        "channels": found.channels, "classes": found.values, "link": manner.link
    }  # fmt: skip
    told = {
        "structures": list(structures),
        "annotated": list(annotated),
        "absent": list(absent),
        "layout": layout,
        "fix_geometry": fix_geometry,
        "grids": found.grids,
    }
    options |= {key: value for key, value in told.items() if value}
    record = {"stamp": stamp_of(found.sources, options, changes), **options}
    record |= {"label_map": {str(value): changed for value, changed in changes.items()}}
    record |= {"source": str(where.root.resolve())} if where.root else {}  # files are named from it
    folder = workspace.raw(name)
    refuse_foreign(folder)
    _refuse_itself(found.sources, folder)
    with locked(folder, f"autoseg import -d {name}"):
        if is_done(folder, record, overwrite):
            log.info("%s: imported already, nothing to do", name)
            return load_dataset(folder)
        with building(folder / "dataset.json") as room:
            cases = map_cases(
                partial(place_case, folder=room, manner=manner),
                found.sources,
                workers=_workers(found.sources) if workers is None else workers,
                title="import",
                name=lambda source: source.case,
            )
            placed = _without_problems(list(cases))
            records = {case: case_record(one.record, where.root) for case, one in placed.items()}
            notes = notes_of(found.sources, records)
            write_json(room / RECORD, {**record, "warnings": notes, "cases": records})
            if masked:
                write_json(room / LABEL_MAP, file_order(found))
            write_names(room, found.labels, kept_type(found))
            move_in(room, folder)
        held = {s.case: annotated_there(s, placed[s.case].annotated) for s in found.sources}
        partly = {case: names for case, names in held.items() if names is not None}
        # Last: a folder without dataset.json is not a dataset yet.
        write_json(folder / "dataset.json", declaration(name, found, partly | said))
        data = load_dataset(folder)
    _tell(name, found.sources, notes, where)
    return data


def _refuse_itself(sources: Sequence[Source], folder: Path) -> None:
    """Raise UsageError when files are in the folder that they shall be brought into."""
    for path in paths_of(sources[0].images[0]):
        if path.resolve().is_relative_to(folder.resolve()):
            remedy = "choose another name with -d"
            raise UsageError("is in the dataset itself", place=str(path), remedy=remedy)


def _workers(sources: Sequence[Source]) -> int:
    """Return as many processes as there are cores where many files are made, not copied."""
    made = sum(not isinstance(source.labels, Path | None) for source in sources)
    return cores() if made >= CASES_FOR_WORKERS else 0


def _without_problems(outcomes: Sequence[Outcome[Source, Placed]]) -> dict[str, Placed]:
    """Return what was placed of each case.

    Raises DataError with the problems of every case, or the first error of another kind.
    """
    problems: list[Problem] = []
    placed = {}
    for outcome in outcomes:
        if isinstance(outcome.error, DataError):
            problems.append(outcome.error.as_problem())
        else:
            placed[outcome.item.case] = outcome.result()
            problems += placed[outcome.item.case].problems
    if problems:
        count = len(problems)
        raise DataError(f"{number_of(count, 'problem')} with the files", problems=problems)
    return placed


def _tell(name: str, sources: Sequence[Source], notes: Sequence[str], layout: Layout) -> None:
    controls = sum(source.control for source in sources)
    tests = sum(source.test and source.labels is not None for source in sources)
    to_predict = sum(not source.trains for source in sources) - tests
    count = len(sources) - to_predict - tests
    log.info("%s: %s, %d of them controls", name, number_of(count, "case"), controls)
    if tests:
        told = number_of(tests, "case")
        log.info("%s: %s for tests only, in imagesTs and labelsTs", name, told)
    for note in notes:
        log.info("%s: %s", name, note)
    if to_predict:
        level = logging.INFO if layout.tests else logging.WARNING  # meant so, or perhaps not
        log.log(
            level, "%s: %s without labels, now in imagesTs", name, number_of(to_predict, "image")
        )
    hint = repaired_beside(sources, layout.repaired)
    if hint:
        log.warning("%s: %s", name, hint)
