"""The verb `check`: read every file of a dataset once and report everything that is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

from autoseg.dataset import Case, Dataset, Found, find_dataset
from autoseg.errors import Problem
from autoseg.files import write_json
from autoseg.importing.check import Inspected, Report, conclude, inspect_case
from autoseg.parallel import map_cases
from autoseg.workflows.plan_folds import find_leaks
from autoseg.workflows.resources import workers_to_check
from autoseg.workspace import Workspace


def check(
    workspace: Workspace, name: str | None = None, workers: int | None = None
) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """Return (problems, warnings) of a dataset in `raw/`, and write `prepared/<NAME>/check.json`.

    Nothing in `raw/` is changed; `workers` None starts processes where they pay. Raises UsageError
    when there is no such dataset, DataError when its `dataset.json` is not JSON.
    """
    name = workspace.find_raw(name)
    found = find_dataset(workspace.raw(name))
    processes = 0 if found.dataset is None else workers_to_check(workers, found.dataset)
    cases = inspect(found.dataset, processes) if found.dataset is not None else iter(())
    report = conclude(found, chain(cases, inspect_incomplete(found, processes)))
    if found.dataset is not None:
        leaks = find_leaks(workspace.raw(name), workspace.folds(name), found.dataset.cases)
        report = replace(report, problems=(*report.problems, *leaks))
    save_report(workspace.prepared(name) / "check.json", report)
    return report.problems, report.warnings


def inspect(dataset: Dataset, workers: int = 0) -> Iterator[Inspected]:
    """Yield each case after its check, with its arrays when `workers` is 0, else without."""
    look = partial(inspect_case if workers == 0 else _inspect_lightly, dataset=dataset)
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


def _inspect_lightly(case: Case, dataset: Dataset) -> Inspected:
    return inspect_case(case, dataset).without_arrays()
