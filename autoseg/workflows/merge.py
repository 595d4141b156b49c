"""The verb `import --merge`: data sets of `raw/` become one, each class where it is known.

Nobody annotates everything. A class that a source does not know is not annotated in its cases, so
that it teaches nothing there: `annotated` in `dataset.json` says so, case by case.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from autoseg.case_files import some
from autoseg.dataset import Dataset, load_dataset
from autoseg.errors import DataError, Problem, UsageError, number_of, suggest
from autoseg.files import read_json, write_json
from autoseg.importing.duplicates import find_same
from autoseg.importing.merge import (
    Member,
    Merged,
    Seen,
    look_at,
    place_images,
    place_labels,
)
from autoseg.importing.merge_counts import (
    annotated_in,
    count_sources,
    count_targets,
    tabulate,
)
from autoseg.importing.merge_entries import (
    DUPLICATES,
    REFUSE,
    Entries,
    declare,
    describe,
    settle,
)
from autoseg.importing.record import RECORD
from autoseg.label_table import declared_names
from autoseg.locks import building, locked
from autoseg.outcomes import Outcome
from autoseg.parallel import map_cases
from autoseg.workflows.merge_decide import Union, decide, stamp_of
from autoseg.workflows.raw_folder import check_name, is_done, move_in, refuse_foreign, write_names
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)

Result = TypeVar("Result")


def merge(
    workspace: Workspace,
    name: str,
    sources: Sequence[str],
    *,
    label_map: Sequence[str] | Mapping[str, Mapping[Any, str]] = (),
    absent: Sequence[str] = (),
    duplicates: str = REFUSE,
    overwrite: bool = False,
    workers: int = 0,
) -> tuple[Dataset, str]:
    """Unite data sets of `raw/` as `raw/<name>`; return it, and a table of voxels by source.

    A case `12` of `pku` becomes `pku_12`. Classes of one name are one; `label_map` ({"pku": {3:
    "femur", "bladder": "bladder"}}, or as typed, see `importing/label_maps.py`) renames those of a
    source, then all of them. The classes of a source are annotated in its cases, others are not;
    those in `absent` neither where they do not occur. The same scan twice is refused, or kept in
    one group, or dropped, as `duplicates` says.

    The same merge again does nothing, an unfinished one is done again, another one into the same
    name raises UsageError unless `overwrite`. Raises DataError listing duplicates and undeclared
    values, UsageError where the data sets do not fit together.
    """
    check_name(name)
    if duplicates not in DUPLICATES:
        raise UsageError(f"duplicates: '{duplicates}'", remedy=suggest(duplicates, DUPLICATES))
    union = decide(workspace, name, sources, label_map, absent)
    options = {
        "sources": [dataset.name for dataset in union.datasets],
        "label_map": union.label_map,
        "absent_means_unannotated": list(absent),
        "duplicates": duplicates,
    }
    record: dict[str, Any] = {"stamp": stamp_of(union, options), **options}
    folder = workspace.raw(name)
    refuse_foreign(folder)
    with locked(folder, f"autoseg import --merge -d {name}"):
        if is_done(folder, record, overwrite):
            log.info("%s: merged already, nothing to do", name)
            record = read_json(folder / RECORD)
            return load_dataset(folder), tabulate(record["voxels"], record["number"])
        union, seen, entries, notes = _compare(union, duplicates, workers)
        with building(folder / "dataset.json") as room:
            brought, entries = _bring(union, room, seen, entries, absent, workers)
            record |= {"warnings": notes, **brought}
            write_json(room / RECORD, record)
            write_names(room, union.labels, union.ending)
            move_in(room, folder)
        channels = union.datasets[0].channels
        # Last: a folder without dataset.json is not a dataset yet.
        written = declare(name, channels, union.labels, union.ending, entries, union.declared)
        write_json(folder / "dataset.json", written)
    _tell(name, union, record)
    return load_dataset(folder), tabulate(record["voxels"], record["number"])


# --- case by case --------------------------------------------------------------------------------


def _compare(
    union: Union, duplicates: str, workers: int
) -> tuple[Union, dict[str, Seen], Entries, list[str]]:
    """Return the union without what is dropped, what was seen of its cases and is known of them,
    and what to tell.

    Raises DataError for scans found twice.
    """
    everyone = (*union.members, *union.tests)
    seen = _all(map_cases(look_at, everyone, workers=workers, title="compare", name=_name))
    entries = describe(union.members, union.declared)
    same = find_same([one.content for one in seen])
    dropped, notes, problems = settle(everyone, same, entries, duplicates)
    if problems:
        count = len(problems)
        remedy = "--duplicates group keeps both in one fold, --duplicates drop only the first"
        fact = f"{count} scan{'s are' if count > 1 else ' is'} there twice"
        raise DataError(fact, remedy=remedy, problems=problems)
    kept = [i for i in range(len(everyone)) if i not in dropped]
    members = tuple(everyone[i] for i in kept if i < len(union.members))
    tests = tuple(everyone[i] for i in kept if i >= len(union.members))
    by_case = {member.case: one for member, one in zip(union.members, seen, strict=False)}
    return replace(union, members=members, tests=tests), by_case, entries, notes


def _bring(
    union: Union,
    folder: Path,
    seen: Mapping[str, Seen],
    entries: Entries,
    absent: Sequence[str],
    workers: int,
) -> tuple[dict[str, Any], Entries]:
    """Put the files into `folder`; return what to record, and what is known of each case."""
    kept = union.members
    place = partial(_place, folder=folder, union=union)
    merged = _all(map_cases(place, kept, workers=workers, title="merge", name=_name))
    problems = [problem for one in merged for problem in one.problems]
    if problems:
        count = len(problems)
        raise DataError(number_of(count, "undeclared value"), problems=problems)
    for member in union.tests:
        place_images(member, folder / "imagesTs", union.ending)
    voxels, annotated = {}, {}
    for member, one in zip(kept, merged, strict=True):
        translation = union.translations[member.source]
        voxels[member.case] = count_targets(union.labels, one.voxels)
        annotated[member.case] = annotated_in(
            member, translation, union.labels, voxels[member.case], absent
        )
    known = {
        case: entries[case] | ({} if names is None else {"annotated": list(names)})
        for case, names in annotated.items()
    }
    record = {
        "number": dict(Counter(member.source for member in kept)),
        "voxels": count_sources(kept, union.labels, voxels, annotated),
        "cases": {
            m.case: {"source": m.source, "case": m.own.id, "files": seen[m.case].checksums}
            for m in kept
        },
    }
    return record, known


def _place(member: Member, folder: Path, union: Union) -> Merged:
    place_images(member, folder / "imagesTr", union.ending)
    names, translation = declared_names(union.labels), union.translations[member.source]
    return place_labels(member, folder / "labelsTr", translation, names)


def _all(outcomes: Iterable[Outcome[Member, Result]]) -> list[Result]:
    """Return the results, or raise DataError with the errors of all cases."""
    done = list(outcomes)
    errors = [one.error for one in done if isinstance(one.error, DataError)]
    if errors:
        problems = [Problem(e.place, e.fact, e.expected, e.remedy) for e in errors]
        count = len(problems)
        raise DataError(f"{number_of(count, 'problem')} with the files", problems=problems)
    return [one.result() for one in done]


def _name(member: Member) -> str:
    return member.case


def _tell(name: str, union: Union, record: Mapping[str, Any]) -> None:
    told = number_of(len(record["cases"]), "case")
    log.info("%s: %s of %s", name, told, number_of(len(union.datasets), "source"))
    for note in record["warnings"]:
        log.warning("%s", note)
    sources: dict[str, set[str]] = {}
    for member in union.members:
        if member.own.group is not None:
            sources.setdefault(member.own.group, set()).add(member.source)
    shared = sorted(group for group, found in sources.items() if len(found) > 1)
    if shared:
        log.info("groups of several sources, each in one fold: %s", some(shared))
