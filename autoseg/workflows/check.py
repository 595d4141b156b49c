"""The verb `check`: read every file of a dataset once and report everything that is wrong."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from urllib.parse import quote

from autoseg.case_files import some
from autoseg.dataset import Case, Dataset, Found, find_dataset
from autoseg.errors import Problem
from autoseg.files import write_json
from autoseg.importing.check import Inspected, Report, conclude, inspect_case
from autoseg.importing.coherence import measure_coherence
from autoseg.importing.misplaced import blame
from autoseg.importing.record import read_record
from autoseg.importing.second import Agreement, doubt
from autoseg.parallel import map_cases
from autoseg.workflows.overlay import Picture, draw_case
from autoseg.workflows.plan_folds import find_leaks
from autoseg.workflows.resources import workers_to_check
from autoseg.workflows.second_annotation import compare_annotations
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)

HELD_TO_IMAGES = 20  # cases, spread over the dataset, whose labels are held to what images show
PICTURES = "check"  # folder in `prepared/<NAME>`


def check(
    workspace: Workspace,
    name: str | None = None,
    workers: int | None = None,
    second: str | None = None,
) -> Report:
    """Return what was found in a dataset in `raw/`, and write it to `prepared/<NAME>/check.json`.

    A picture of each target that seems to lie beside its organ goes to `prepared/<NAME>/check`.
    `second` names another annotation of some cases, see `compare_annotations`.
    Nothing in `raw/` is changed; `workers` None starts processes where they pay. Raises UsageError
    when there is no such dataset, DataError when its `dataset.json` is not JSON.
    """
    name = workspace.find_raw(name)
    found = find_dataset(workspace.raw(name))
    agreements: tuple[Agreement, ...] = ()
    apart: tuple[Problem, ...] = ()
    if second is not None and found.dataset is not None:  # first: a slip in a name is soon told
        agreements, apart = compare_annotations(found.dataset, second, _beside(workspace, name))
    processes = 0 if found.dataset is None else workers_to_check(workers, found.dataset)
    cases = inspect(found.dataset, processes) if found.dataset is not None else iter(())
    report = conclude(found, chain(cases, inspect_incomplete(found, processes)))
    if found.dataset is not None:
        leaks = find_leaks(workspace.raw(name), workspace.folds(name), found.dataset.cases)
        _tell_judged(report)
        blamed = _show_misplaced(workspace.prepared(name) / PICTURES, found.dataset, report)
        report = replace(
            report,
            problems=(*report.problems, *leaks, *apart),
            warnings=(*report.warnings, *blamed, *doubt(agreements)),
            agreements=agreements,
        )
    save_report(workspace.prepared(name) / "check.json", report)
    return report


def inspect(dataset: Dataset, workers: int = 0) -> Iterator[Inspected]:
    """Yield what was found in each case, without its arrays."""
    labelled = [case.id for case in dataset.cases if case.labels and "control" not in case.tags]
    step = max(1, -(-len(labelled) // HELD_TO_IMAGES))
    look = partial(_inspect, dataset=dataset, held_to_images=frozenset(labelled[::step]))
    for outcome in map_cases(look, dataset.cases, workers=workers, title="check"):
        yield outcome.result()


def inspect_incomplete(found: Found, workers: int = 0) -> Iterator[Inspected]:
    """Yield what is wrong with single files of cases that lack other files."""
    if found.dataset is None:
        return
    look = partial(inspect_case, dataset=found.dataset, complete=False)
    for outcome in map_cases(look, found.incomplete, workers=workers, title="incomplete cases"):
        yield outcome.result()


def save_report(path: Path, report: Report) -> None:
    """Write `check.json`: the number of cases, and every problem and warning as an object."""
    write_json(path, report)


def _beside(workspace: Workspace, name: str) -> tuple[Path, ...]:
    """Return where other files of the cases may lie: here, or where they were imported from."""
    source = (read_record(workspace.raw(name)) or {}).get("source")
    return (workspace.root,) if source is None else (workspace.root, Path(source))


def _inspect(case: Case, dataset: Dataset, held_to_images: frozenset[str]) -> Inspected:
    inspected = inspect_case(case, dataset)
    image, label_map = inspected.image, inspected.labels
    if case.id in held_to_images and image and label_map and not inspected.problems:
        annotated = dataset.labels.names if case.annotated is None else case.annotated
        measured = measure_coherence(case.id, image, label_map.array[0], dataset.labels, annotated)
        inspected = replace(inspected, coherence=tuple(measured))
    return inspected.without_arrays()


def _tell_judged(report: Report) -> None:
    if report.placements or report.not_judged:
        left = f", {len(report.not_judged)} not: {some(report.not_judged)}" * bool(
            report.not_judged
        )
        judged = len(report.placements)
        log.info(
            "labels held to the images: %d class%s judged%s", judged, "es" * (judged != 1), left
        )


def _show_misplaced(folder: Path, dataset: Dataset, report: Report) -> list[Problem]:
    """Return the warnings about misplaced targets, each drawn in `folder`; older ones go."""
    shutil.rmtree(folder, ignore_errors=True)
    cases = {case.id: case for case in dataset.cases}
    blamed = []
    for placement in report.placements:
        if placement.misplaced:
            path = folder / f"{quote(placement.target, safe=' ')}.png"
            picture = Picture(cases[placement.example], None, path)
            channels, target = len(dataset.channels), placement.target
            draw_case(picture, channels, placement.channel, dataset.labels, only=target)
            blamed.append(blame(placement, str(path)))
    return blamed
