"""One run over the cases of a prediction: into a file, a folder, or one part of a folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from autoseg.case_files import PICTURES
from autoseg.dataset import Case
from autoseg.errors import (
    AutosegError,
    DataError,
    PartlyDone,
    Problem,
    ResourceError,
    Stopped,
    UsageError,
)
from autoseg.files import check_writable
from autoseg.label_table import TABLES, value_names, write_tables
from autoseg.locks import locked
from autoseg.outcomes import Outcome
from autoseg.stopping import StopRequest
from autoseg.workflows.predict_guard import Unlike
from autoseg.workflows.predict_parts import (
    Part,
    close_part,
    open_part,
    part_locked,
)
from autoseg.workflows.predict_record import (
    FORMAT,
    Entry,
    Record,
    close_record,
    described,
    is_done,
    open_record,
)
from autoseg.workflows.predict_task import Task, header_of

log = logging.getLogger(__name__)


def run(
    task: Task, cases: list[Case], stop: StopRequest, share: Part | None, overwrite: bool
) -> dict[str, Any]:
    """Predict `cases`, or the `share` of them; return what `predictions.json` holds."""
    if task.one_file:
        return _predict_file(task, cases[0], stop, overwrite)
    if share is not None:
        return _predict_part(task, cases, stop, share)
    return _predict_folder(task, cases, stop, overwrite)


def _predict_file(task: Task, case: Case, stop: StopRequest, overwrite: bool) -> dict[str, Any]:
    """Predict one case into the file that was named; its failure is the command's."""
    for path in task.files_of(case):
        if path.exists() and not overwrite:
            remedy = "choose another name, or pass --overwrite"
            raise UsageError("is there already", place=str(path), remedy=remedy)
    check_writable(task.output.parent)
    entry = next(iter(_predict_cases(task, [case], stop))).result()
    return {"format": FORMAT, **header_of(task), "cases": described([entry]), "failed": []}


def _predict_folder(
    task: Task, cases: list[Case], stop: StopRequest, overwrite: bool
) -> dict[str, Any]:
    with locked(task.output, "autoseg_predict"):
        header = header_of(task)
        files = [path.name for case in cases for path in task.files_of(case)]
        record = open_record(task.output, header, overwrite, [*files, *TABLES])
        _write_tables(task)
        failed = _predict_rest(task, cases, record, stop)
        manifest = close_record(record, header, cases, _reasons(failed))
    _say_end(task.output, cases, failed)
    return manifest


def _predict_part(task: Task, cases: list[Case], stop: StopRequest, part: Part) -> dict[str, Any]:
    own = part.share(cases)
    log.info("part %d of %d: %d of %d cases", part.number, part.of, len(own), len(cases))
    with part_locked(task.output, part, "autoseg_predict"):
        header = header_of(task)
        record = open_part(task.output, header, part, cases)
        _write_tables(task)
        failed = _predict_rest(task, own, record, stop)
        manifest = close_part(record, header, part, own, _reasons(failed))
    _say_end(task.output, own, failed)
    return manifest


def _write_tables(task: Task) -> None:
    """Write names and colours of the label maps beside them.

    DICOM objects hold their own, and who has pictures opens them in other programs.
    """
    plan = task.chosen.models[0].plan
    if task.write == "labels" and plan.file_ending not in PICTURES:
        write_tables(task.output, value_names(plan.labels))


def _predict_rest(
    task: Task, cases: list[Case], record: Record, stop: StopRequest
) -> dict[str, Exception]:
    """Predict what `record` does not hold yet; return why cases failed."""
    left = [case for case in cases if not _is_finished(task, record, case)]
    if len(left) < len(cases):
        log.info("%d of %d cases are finished already", len(cases) - len(left), len(cases))
    if not left:
        return {}
    failed: dict[str, Exception] = {}
    for outcome in _predict_cases(task, left, stop, record.add):
        if _fails_all(outcome.error):
            raise outcome.error
        if isinstance(outcome.error, Stopped):
            done = len(cases) - len(left) + len([case for case in left if case.id in record.done])
            raise Stopped(
                f"stopped by {stop.signal_name}, {done} of {len(cases)} cases are finished",
                place=str(record.output),
                remedy=outcome.error.remedy,
            ) from None
        if outcome.error is not None:
            failed[outcome.item.id] = outcome.error
            log.error("%s failed: %s", outcome.item.id, _why(outcome.error))
            if isinstance(outcome.error, Unlike):  # an earlier run without --strict may have been
                for path in task.files_of(outcome.item):
                    path.unlink(missing_ok=True)
    return failed


def _is_finished(task: Task, record: Record, case: Case) -> bool:
    """Tell whether nothing is left to do: what got a warning is refused by a run with --strict."""
    return is_done(record, case) and not (task.strict and record.done[case.id].warnings)


def _fails_all(error: Exception | None) -> TypeGuard[ResourceError]:
    """Tell whether the next case would fail too: on a full disk it does, for memory it may not."""
    return isinstance(error, ResourceError) and isinstance(error.__cause__, OSError)


def _predict_cases(
    task: Task,
    cases: list[Case],
    stop: StopRequest,
    keep: Callable[[Entry], None] = lambda entry: None,
) -> Iterator[Outcome[Case, Entry]]:
    # The only import of torch on this path: wrong folders and settings are answered without it.
    from autoseg.workflows.predict_cases import predict_cases

    return predict_cases(task, cases, stop, keep)


def _reasons(failed: Mapping[str, Exception]) -> dict[str, str]:
    return {case: _why(error) for case, error in failed.items()}


def _why(error: Exception) -> str:
    if isinstance(error, AutosegError):
        return str(error)
    log.debug("the reason", exc_info=error)
    return f"{type(error).__name__}: {error}"


def _say_end(output: Path, cases: Sequence[Case], failed: Mapping[str, Exception]) -> None:
    log.info("%d of %d cases predicted", len(cases) - len(failed), len(cases))
    refused = {case: error for case, error in failed.items() if isinstance(error, Unlike)}
    if refused:
        others = len(failed) - len(refused)
        also = f"; {others} more failed, see failed.json" if others else ""
        raise DataError(
            f"{len(refused)} of {len(cases)} cases are unlike the training data and were refused"
            f"{also}",
            place=str(output),
            remedy="correct them; without --strict the same command predicts them with a warning",
            problems=[Problem(case, error.fact) for case, error in refused.items()],
        )
    if failed:
        raise PartlyDone(
            f"{len(failed)} of {len(cases)} cases failed: {', '.join(sorted(failed)[:10])}",
            place=str(output),
            expected="label maps of all cases",
            remedy="see failed.json; the same command tries these cases again",
        )
