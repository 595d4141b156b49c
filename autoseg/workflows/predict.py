"""Segment the images of a folder with trained models."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autoseg import __version__
from autoseg.config import PredictConfig, override
from autoseg.dataset import Case, find_cases
from autoseg.errors import AutosegError, PartlyDone, ResourceError, Stopped, UsageError
from autoseg.files import locked, to_json
from autoseg.inference.speed import describe_speed, settle
from autoseg.postprocess import describe_rules, rules_json
from autoseg.stopping import StopRequest, stop_on_signals
from autoseg.workflows.predict_choice import Chosen, choose_models
from autoseg.workflows.predict_dicom import check_series
from autoseg.workflows.predict_record import Record, close_record, is_done, open_record
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)


def predict(
    workspace: Workspace,
    images: Path,
    output: Path,
    *,
    dataset: str | None = None,
    configuration: str | None = None,
    size: str | None = None,
    folds: Sequence[str] | None = None,
    bundles: Sequence[Path] | None = None,
    speed: str = "balanced",
    settings: Sequence[str] = (),
    device: str | None = None,
    overwrite: bool = False,
    trust: bool = False,
    write: str = "labels",
) -> dict[str, Any]:
    """Write one label map per case in `images` to `output`; return what `predictions.json` holds.

    Each is on its image's own grid, in its file type, under its name; DICOM series give `.nii.gz`,
    or with `write` "seg" or "rtstruct" a DICOM object. The same command continues an unfinished
    run. Raises UsageError before anything is loaded when there is nothing to do or
    `output` is not free, DataError when channels are missing; PartlyDone when cases failed; Stopped
    when a signal asked to stop: finished cases are kept, the running one is dropped.
    """
    config = settle(override(PredictConfig(speed=speed), settings))
    chosen = choose_models(
        workspace,
        dataset=dataset,
        configuration=configuration,
        size=size,
        folds=folds or config.folds,
        bundles=bundles,
        trust=trust,
    )
    if config.rules == "none":
        chosen = dataclasses.replace(chosen, rules={})
    plan = chosen.models[0].plan
    if images.resolve() == output.resolve():
        raise UsageError(
            "input and output are the same folder",
            place=str(output),
            remedy="choose another folder with -o",
        )
    cases = find_cases(images, len(plan.channels), plan.file_ending)
    check_series(cases, write)
    log.info("%s", chosen.reason)
    log.info("%s", describe_speed(config))
    if chosen.rules:
        log.info("rules (best.json): %s", describe_rules(chosen.rules))
    with locked(output, "autoseg_predict"), stop_on_signals() as stop:
        header = _header(chosen, config) | ({"write": write} if write != "labels" else {})
        record = open_record(output, header, overwrite)
        failed = _predict_rest(chosen, cases, config, device, record, stop, write)
        manifest = close_record(record, header, cases, failed)
    _say_end(output, cases, failed)
    return manifest


def _header(chosen: Chosen, config: PredictConfig) -> dict[str, Any]:
    models = [
        {
            "model": f"{info.configuration}-{info.size}",
            "dataset": info.plan.dataset,
            "model_id": info.fold_cards[info.folds[0]].model_id,
            "weights_sha256": {fold: info.fold_cards[fold].sha256 for fold in info.folds},
        }
        for info in chosen.models
    ]
    settings = to_json(dataclasses.replace(config, folds=None))
    return {"version": __version__, "models": models, "settings": settings,
            "rules": to_json(rules_json(chosen.rules))}  # fmt: skip


def _predict_rest(
    chosen: Chosen,
    cases: list[Case],
    config: PredictConfig,
    device: str | None,
    record: Record,
    stop: StopRequest,
    write: str,
) -> dict[str, str]:
    """Predict what `record` does not hold yet; return why cases failed."""
    left = [case for case in cases if not is_done(record, case)]
    if len(left) < len(cases):
        log.info("%d of %d cases are finished already", len(cases) - len(left), len(cases))
    if not left:
        return {}
    # The only import of torch on this path: wrong folders and settings are answered without it.
    from autoseg.workflows.predict_cases import predict_cases

    failed: dict[str, str] = {}
    for outcome in predict_cases(chosen, left, config, device, record, stop, write):
        if isinstance(outcome.error, ResourceError):
            raise outcome.error  # a full disk fails the next case too
        if isinstance(outcome.error, Stopped):
            done = len(cases) - len(left) + len([case for case in left if case.id in record.done])
            raise Stopped(
                f"stopped by {stop.signal_name}, {done} of {len(cases)} cases are finished",
                place=str(record.folder),
                remedy=outcome.error.remedy,
            ) from None
        if outcome.error is not None:
            failed[outcome.item.id] = _why(outcome.error)
            log.error("%s failed: %s", outcome.item.id, failed[outcome.item.id])
        elif outcome.value is not None:
            record.add(outcome.value)
    return failed


def _why(error: Exception) -> str:
    if isinstance(error, AutosegError):
        return str(error)
    log.debug("the reason", exc_info=error)
    return f"{type(error).__name__}: {error}"


def _say_end(output: Path, cases: Sequence[Case], failed: dict[str, str]) -> None:
    log.info("%d of %d cases predicted", len(cases) - len(failed), len(cases))
    if failed:
        raise PartlyDone(
            f"{len(failed)} of {len(cases)} cases failed: {', '.join(sorted(failed)[:10])}",
            place=str(output),
            expected="label maps of all cases",
            remedy="see failed.json; the same command tries these cases again",
        )
