"""Segment new images with trained models: a folder of them, or one."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autoseg.config import PredictConfig, override
from autoseg.errors import (
    UsageError,
)
from autoseg.inference.effort import efforts
from autoseg.inference.speed import settle
from autoseg.stopping import stop_on_signals
from autoseg.training.budget import parse_budget
from autoseg.workflows.predict_choice import choose_models, with_rules
from autoseg.workflows.predict_dicom import check_series
from autoseg.workflows.predict_inputs import check_headers, find_inputs, is_one_file
from autoseg.workflows.predict_parts import (
    choose_part,
)
from autoseg.workflows.predict_previous import give_previous
from autoseg.workflows.predict_run import run
from autoseg.workflows.predict_task import Task, announce_task
from autoseg.workspace import Workspace


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
        return run(task, cases, stop, share, overwrite)


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
