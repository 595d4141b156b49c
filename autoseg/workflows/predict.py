"""Segment new images with trained models: a folder of them, or one."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from autoseg.case_files import PICTURES
from autoseg.config import PredictConfig, override
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
from autoseg.inference.effort import efforts
from autoseg.inference.speed import describe_speed, settle
from autoseg.label_table import TABLES, value_names, write_tables
from autoseg.locks import locked
from autoseg.parallel import Outcome
from autoseg.rules import describe_rules
from autoseg.stopping import StopRequest, stop_on_signals
from autoseg.training.budget import parse_budget
from autoseg.workflows.predict_choice import choose_models, with_rules
from autoseg.workflows.predict_dicom import check_series
from autoseg.workflows.predict_guard import Unlike
from autoseg.workflows.predict_inputs import check_headers, find_inputs, is_one_file
from autoseg.workflows.predict_parts import (
    Part,
    choose_part,
    close_part,
    open_part,
    part_locked,
)
from autoseg.workflows.predict_previous import give_previous
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
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)


def predict(
    workspace: Workspace,
    images: Path | Sequence[Path],
    output: Path,
    *,
    dataset: str | None = None,
    configuration: str | None = None,
    size: str | None = None,
    folds: Sequence[str] | None = None,
    bundles: Sequence[Path] | None = None,
    speed: str | None = None,
    budget: str | None = None,
    settings: Sequence[str] = (),
    device: str | None = None,
    overwrite: bool = False,
    trust: bool = False,
    write: str = "labels",
    save_probabilities: bool = False,
    parts: int | None = None,
    part: int | None = None,
    previous: Path | None = None,
    strict: bool = False,
) -> dict[str, Any]:
    """Write one label map per case in `images` to `output`; return what `predictions.json` holds.

    `images` are folders or files, see `predict_inputs`. Each label map is on its image's own grid,
    in its file type, under its name; DICOM series give `.nii.gz`, or with `write` "seg" or
    "rtstruct" a DICOM object. `save_probabilities`: also a `<case>.npz`, see
    `autoseg.probabilities`. `budget` ("60s", "2m") is for each case: what `speed` (then "accurate"
    unless it is named) would do is cut down to fit, and `predictions.json` says to what.
    The same command continues an unfinished run. An `output` with the
    name of an image file takes a single case, and nothing else is written. With `parts` N, only
    `part` K (from 0) of the cases is predicted, beside other parts in the same folder. A cascade
    predicts its previous stage itself unless `previous` names the folder of its label maps.
    Cases that are unlike the training data get a warning; `strict` refuses them.
    Raises UsageError before anything is loaded when there is nothing to do or `output` is not free,
    DataError when channels are missing or cases were refused; PartlyDone when others failed;
    Stopped when a signal asked to stop: finished cases are kept, the running one is dropped.
    """
    config = settle(asked := override(_start(speed, budget), settings))
    seconds, share = _seconds(budget), choose_part(parts, part, overwrite)
    folds = folds or config.folds
    chosen = choose_models(
        workspace,
        dataset=dataset,
        configuration=configuration,
        size=size,
        folds=folds,
        bundles=bundles,
        trust=trust,
    )
    chosen, plan = with_rules(chosen, config.rules), chosen.models[0].plan
    channels = len(plan.channels)
    places = [images] if isinstance(images, Path) else list(images)
    cases = find_inputs(places, output, channels, plan.file_ending, write)
    check_headers(cases, channels)
    check_series(cases, write)
    cases = give_previous(cases, previous, chosen.models)
    if is_one_file(output, write) and share:
        raise UsageError("one file cannot be shared out", remedy="name a folder with -o")
    most = max(len(info.folds) for info in chosen.models)
    task = Task(
        chosen,
        config,
        device,
        output,
        one_file=is_one_file(output, write),
        write=write,
        given=previous is not None,
        save_probabilities=save_probabilities,
        budget_s=seconds,
        efforts=() if seconds is None else efforts(asked, most, folds_free=folds is None),
        strict=strict,
    )
    announce_task(task)
    with stop_on_signals() as stop:
        if task.one_file:
            return _predict_file(task, cases[0], stop, overwrite)
        if share is not None:
            return _predict_part(task, cases, stop, share)
        return _predict_folder(task, cases, stop, overwrite)


def _start(speed: str | None, budget: str | None) -> PredictConfig:
    """Return the settings to begin with; who sets a budget wants the most that fits into it."""
    return PredictConfig(speed=speed or ("balanced" if budget is None else "accurate"))


def _seconds(budget: str | None) -> float | None:
    if budget is None:
        return None
    with contextlib.suppress(UsageError):
        if seconds := parse_budget(budget).seconds:
            return seconds
    raise UsageError(f"--budget {budget}", expected='time for a case, such as "60s" or "2m"')


def announce_task(task: Task) -> None:
    """Log which models predict, how, and what rules follow."""
    log.info("%s", task.chosen.reason)
    budget = "" if task.budget_s is None else f"at most {task.budget_s:.3g} s a case, and "
    log.info("%s%s", budget, describe_speed(task.config))
    if task.chosen.rules:
        source = "best.json" if task.config.rules == "best" else "as asked"
        log.info("rules (%s): %s", source, describe_rules(task.chosen.rules))


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
