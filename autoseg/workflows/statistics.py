"""The verb `statistics`: what the scans and targets of a dataset are like, in numbers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from autoseg.dataset import Case, Dataset, load_dataset
from autoseg.errors import DataError, Problem, UsageError, number_of
from autoseg.files import read_json
from autoseg.importing.check import inspect_case
from autoseg.importing.statistics import Measured, measure, summarise
from autoseg.importing.statistics_tables import STATISTICS, write_statistics
from autoseg.parallel import map_cases
from autoseg.results import DatasetStatistics
from autoseg.workflows.resources import workers_to_check
from autoseg.workspace import Workspace


def statistics(
    workspace: Workspace,
    name: str | None = None,
    *,
    output: Path | None = None,
    workers: int | None = None,
) -> DatasetStatistics:
    """Measure every case of a dataset in `raw/`; write `statistics.json` and `statistics.csv`.

    They go to `output`, by default `prepared/<NAME>`, in place of earlier ones of this dataset. One
    case at a time is read; `workers` None starts processes where they pay. Raises DataError listing
    every problem of every case, with nothing written.
    """
    name = workspace.find_raw(name)
    dataset = load_dataset(workspace.raw(name))
    folder = output or workspace.prepared(name)
    _refuse_foreign(folder / STATISTICS, dataset.name)
    problems: list[Problem] = []
    found = _measure_all(dataset, workers_to_check(workers, dataset), problems)
    result = summarise(found, dataset)
    if problems:
        count = f"{number_of(len(problems), 'problem')}, nothing was written"
        raise DataError(count, place=dataset.name, problems=problems)
    write_statistics(folder, result)
    return result


def _refuse_foreign(path: Path, name: str) -> None:
    if not path.is_file():
        return
    there = read_json(path)
    if not isinstance(there, dict) or there.get("dataset") != name:
        fact = "holds the statistics of something else"
        raise UsageError(fact, place=str(path), remedy="choose another folder with -o")


def _measure_all(dataset: Dataset, workers: int, problems: list[Problem]) -> Iterator[Measured]:
    """Yield what can be measured, and add what is wrong with the other cases to `problems`."""
    look = partial(_measure, dataset=dataset)
    for outcome in map_cases(look, dataset.cases, workers=workers, title="statistics"):
        if isinstance(outcome.error, DataError):
            problems += outcome.error.problems
        else:
            yield outcome.result()


def _measure(case: Case, dataset: Dataset) -> Measured:
    inspected = inspect_case(case, dataset)
    if inspected.image is None or inspected.labels is None or inspected.problems:
        raise DataError("cannot be measured", place=case.id, problems=inspected.problems)
    return measure(case, inspected.image, inspected.labels.array[0], dataset)
