"""Read every file of a data set once: for the check and for the fingerprint."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path

from autoseg.dataset import Case, Dataset, Found
from autoseg.errors import CorruptError, DataError, number_of
from autoseg.fingerprint_file import FINGERPRINT, FORMAT, load_fingerprint, save_fingerprint
from autoseg.importing.check import Inspected, conclude, inspect_case
from autoseg.parallel import map_cases
from autoseg.plan import Fingerprint
from autoseg.planning.fingerprint import CaseMeasure, combine, measure_case, quantile_count
from autoseg.preprocessing.spool import put
from autoseg.preprocessing.store import sources_of
from autoseg.records import fingerprint_of, to_json
from autoseg.workflows.check import inspect_incomplete, save_report
from autoseg.workflows.resources import (
    bytes_to_check,
    choose_workers,
    is_large,
    scans_of,
    spool_fits,
)

log = logging.getLogger(__name__)


def measure_dataset(
    folder: Path, found: Found, workers: int | None, spool: Path | None = None
) -> tuple[Fingerprint, bool]:
    """Return the fingerprint and whether it is new; the data are read only when they changed.

    What is read stays in `spool`, if given and if there is room, to be prepared. Writes
    `check.json` and `fingerprint.json`. Raises DataError listing every problem found.
    """
    path = folder / FINGERPRINT
    known = _read_fingerprint(path, _inputs_of(found.dataset)) if not found.problems else None
    if known is not None:
        return known, False
    measures: list[CaseMeasure] = []
    inspected = chain(_inspect(found.dataset, measures, workers, spool), inspect_incomplete(found))
    report = conclude(found, inspected)
    save_report(folder / "check.json", report)
    for warning in report.warnings:
        log.warning("%s", warning)
    if report.problems:
        count = len(report.problems)
        raise DataError(
            f"{number_of(count, 'problem')} in the data, nothing was planned",
            place=folder.name,
            remedy="correct them and run autoseg_plan again",
            problems=report.problems,
        )
    assert found.dataset is not None
    fingerprint = combine(measures, found.dataset.channels, found.dataset.labels)
    save_fingerprint(path, fingerprint, _inputs_of(found.dataset))
    return fingerprint, True


def _inspect(
    dataset: Dataset | None, measures: list[CaseMeasure], workers: int | None, spool: Path | None
) -> Iterator[Inspected]:
    if dataset is None:
        return
    quantiles = quantile_count(len(dataset.cases))
    large = is_large(dataset)
    scans = scans_of(dataset) if large else []
    if spool is not None and not (large and spool_fits(spool, scans)):
        spool = None
    look = partial(_look, dataset=dataset, quantiles=quantiles, spool=spool)
    processes = choose_workers(workers, large, bytes_to_check(scans))
    for outcome in map_cases(look, dataset.cases, workers=processes, title="check"):
        inspected, measure = outcome.result()
        if measure is not None:
            measures.append(measure)
        yield inspected


def _look(
    case: Case, dataset: Dataset, quantiles: int, spool: Path | None
) -> tuple[Inspected, CaseMeasure | None]:
    """Read one case once: for the check, for the fingerprint, and for those who prepare it."""
    inspected = inspect_case(case, dataset)
    measure = None
    if inspected.image is not None and inspected.labels is not None and not inspected.problems:
        label_map = inspected.labels.array[0]
        measure = measure_case(case.id, inspected.image, label_map, dataset.labels, quantiles)
        if spool is not None:
            put(spool, case, inspected.image, inspected.labels)
    return inspected.without_arrays(), measure


def _inputs_of(dataset: Dataset | None) -> str:
    """Return a hash of all the plan depends on: names, declarations, file sizes and times."""
    if dataset is None:
        return ""
    about = [dataset.name, dataset.channels, to_json(dataset.labels), dataset.file_ending]
    cases = [
        (case.id, case.group, case.tags, case.annotated, to_json(sources_of(case)))
        for case in dataset.cases
    ]
    return fingerprint_of([FORMAT, about, cases])


def _read_fingerprint(path: Path, inputs: str) -> Fingerprint | None:
    try:
        known, of = load_fingerprint(path)
    except (DataError, CorruptError):
        return None  # it is measured anew
    return known if of == inputs else None
