"""One trial of a search: train its settings on every fold that is asked for, in its own folder.

trials/0003/  log.txt  run/fold_0/history.csv, result.json, validation/;  bundle/ of the best one
"""

from __future__ import annotations

import contextlib
import gc
import logging
import time
from pathlib import Path

import torch

from autoseg.errors import AutosegError, ResourceError, UsageError
from autoseg.files import read_json
from autoseg.stopping import StopRequest
from autoseg.training.search_space import settings_of
from autoseg.training.study import COMPLETE, FAILED, LOOKS, PRUNED, Study, Tried
from autoseg.training.tracking import Epoch, log_file
from autoseg.workflows.order import Order
from autoseg.workflows.search_asked import Asked, orders_of
from autoseg.workflows.train_fold import train_fold

log = logging.getLogger(__name__)

CRASHES = 2  # begun so often without a word at the end, a trial is given up
# What stays of every trial; of the best one, all.
KEPT = (
    ".autoseg.lock", "log.txt", "history.csv", "progress.png", "result.json", "summary.json",
    "metrics.csv",
)  # fmt: skip


class _Pruned(Exception):
    """The trial is not worth its end."""


def run_trial(asked: Asked, study: Study, trial: Tried, stop: StopRequest) -> None:
    """Train a trial, or go on with it, and tell the study how it ended.

    What is wrong with the trial's own settings, or with us, is a failed trial; what is wrong with
    the data or the disk is raised, and Stopped, with the trial left to be continued.
    """
    folder, begun = asked.trial(trial.number), time.monotonic()
    study.note(trial.number, begun=trial.begun + 1)
    if trial.begun >= CRASHES:
        fact = f"its process ended {CRASHES} times without a word, as when memory runs out"
        study.note(trial.number, error=fact)
        study.finish(trial.number, FAILED)
        return
    state, score, error = FAILED, None, ""
    with log_file(folder / "log.txt", alone=True):
        try:
            score, state = _train(asked, study, trial, folder, stop), COMPLETE
        except _Pruned as pruned:
            state, error = PRUNED, str(pruned)
        except Exception as failure:
            if not _is_its_own(failure):
                study.note(trial.number, begun=0, seconds=_spent(trial, begun))
                raise
            log.exception("trial %d failed", trial.number)
            error = _say(failure)
    if state != COMPLETE:
        _free_memory()
    study.note(trial.number, seconds=_spent(trial, begun), error=error)
    study.finish(trial.number, state, score)


def _train(asked: Asked, study: Study, trial: Tried, folder: Path, stop: StopRequest) -> float:
    """Return the mean foreground Dice of the final validations, over the folds."""
    scores = []
    settings = settings_of(trial.values)
    for index, order in enumerate(orders_of(asked, settings, folder)):

        def watch(epoch: Epoch, progress: float, index: int = index) -> None:
            look = int(progress * LOOKS)
            values = [value for value in epoch.pseudo_dice.values() if value is not None]
            if not values or look < 1 or look >= LOOKS:
                return  # at its end a training is validated in full
            dice = sum(values) / len(values)
            if study.report(trial.number, index * LOOKS + look, dice):
                raise _Pruned(f"Dice {dice:.4f} of patches after {progress:.0%}")

        if not order.result.exists():
            train_fold(order, time.monotonic(), stop, watch=watch)
        scores.append(_score_of(order))
        stop.check()
    return sum(scores) / len(scores)


def _score_of(order: Order) -> float:
    dice = read_json(order.result)["foreground_mean"].get("dice")
    if dice is None:
        fact = f"fold {order.fold} has no Dice: none of its validation cases shows a target"
        raise UsageError(fact, place=str(order.run))
    return float(dice)


def _is_its_own(failure: Exception) -> bool:
    """Tell whether a failure may come from the settings of the trial."""
    if isinstance(failure, AutosegError):
        on_disk = isinstance(failure.__cause__, OSError)
        return isinstance(failure, UsageError | ResourceError) and not on_disk
    return not isinstance(failure, OSError)


def _say(failure: Exception) -> str:
    """Return one line."""
    if isinstance(failure, AutosegError):
        return str(failure)
    lines = str(failure).strip().splitlines()
    return f"{type(failure).__name__}: {lines[0] if lines else ''}".rstrip(": ")


def _spent(trial: Tried, begun: float) -> float:
    return round(trial.seconds + time.monotonic() - begun, 1)


def _free_memory() -> None:
    """Let go of what a trial that was broken off still holds, so that the next one finds room."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def keep_little(folder: Path) -> None:
    """Remove weights, checkpoints and label maps of a trial."""
    for path in sorted(folder.rglob("*"), reverse=True):
        with contextlib.suppress(OSError):  # a folder that is not empty; or another was faster
            if path.is_dir():
                path.rmdir()
            elif path.name not in KEPT:
                path.unlink()
