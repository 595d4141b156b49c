"""What a search was asked for and how far it goes, checked in full before its first trial."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoseg.config import TrainConfig, override
from autoseg.errors import UsageError
from autoseg.files import read_json, write_json
from autoseg.locks import locked
from autoseg.training.budget import LENGTHS, parse_budget
from autoseg.training.search_space import Parameter, combinations
from autoseg.training.study import COMPLETE, LOOKS, WAITING, Tried
from autoseg.workflows.fold_validation import cases_id
from autoseg.workflows.order import Order, read_orders
from autoseg.workflows.train import move_aside
from autoseg.workspace import Workspace

TRIALS = 20  # without --trials, --budget and --grid
LOOK_AFTER_STEPS = 50  # where a time budget says how long a trial is, and so not how many steps
RECORD = "search.json"
FOLDER_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"


@dataclass(frozen=True)
class Asked:
    """What a search was asked for, and where it leaves things."""

    workspace: Workspace
    dataset: str
    configuration: str
    size: str | None
    folds: tuple[str, ...]
    settings: tuple[str, ...]  # of every trial
    space: tuple[Parameter, ...]
    trial_budget: str | None
    device: str | None
    folder: Path  # models/<dataset>/search/<name>

    def trial(self, number: int) -> Path:
        """The folder of a trial."""
        return self.folder / "trials" / f"{number:04d}"


@dataclass(frozen=True)
class Limits:
    """How far a search goes, over all processes and all times it is continued."""

    trials: int | None
    seconds: float | None = None  # of all trials together

    def allow(self, tried: Sequence[Tried], trial_seconds: float | None) -> bool:
        """Tell whether one more trial may begin, which will take about `trial_seconds`."""
        begun = [trial for trial in tried if trial.state != WAITING]
        if self.trials is not None and len(begun) >= self.trials:
            return False
        spent = sum(trial.seconds for trial in begun)
        return self.seconds is None or not begun or spent + (trial_seconds or 0) <= self.seconds


def set_limits(
    grid: bool, trials: int | None, budget: str | None, space: Sequence[Parameter]
) -> Limits:
    """Return how far to go; raise UsageError for what contradicts itself."""
    seconds = parse_budget(budget).seconds
    if budget is not None and seconds is None:
        raise UsageError(f"--budget {budget}", expected='a time for all trials, "30m" or "8h"')
    if grid and trials is not None:
        raise UsageError("--grid tries every combination, so --trials cannot be meant")
    if grid:
        return Limits(len(combinations(space)), seconds)
    if trials is not None and trials < 1:
        raise UsageError(f"--trials {trials}", expected="1 or more")
    if trials is None and seconds is None:
        trials = TRIALS
    every = math.prod(len(parameter.values) for parameter in space)  # 0: a range has no end
    if every and every <= (trials or every):
        fact = f"there are only {every} combinations"
        raise UsageError(fact, remedy="--grid, without --trials, tries each of them once")
    return Limits(trials, seconds)


def checked(asked: Asked, trial_budget: str | None, name: str | None) -> Asked:
    """Return `asked` with size, folds and folder; raise for what no trial could be trained with."""
    varied = {parameter.name for parameter in asked.space}
    if trial_budget is not None and varied & set(LENGTHS):
        fact = f"--trial-budget {trial_budget} and --vary {min(varied & set(LENGTHS))}"
        raise UsageError(f"{fact} both say how long to train", remedy="leave one of them out")
    orders = orders_of(asked, ())
    for order in orders:
        if not order.cases.validation:
            fact = f"fold {order.fold} has no validation cases to score a trial on"
            raise UsageError(fact, remedy="name a fold of the cross-validation")
    folds, size = tuple(order.fold for order in orders), orders[0].size
    if len(set(folds)) < len(folds):
        raise UsageError(f"folds {' '.join(folds)}", expected="each fold once")
    name = f"{asked.configuration}-{size}" if name is None else name
    if not re.fullmatch(FOLDER_NAME, name):
        expected = "letters, digits, and _ . - after the first: it names a folder"
        raise UsageError(f"--name {name}", expected=expected)
    folder = asked.workspace.search(asked.dataset, name)
    return dataclasses.replace(asked, size=size, folds=folds, folder=folder)


def orders_of(asked: Asked, settings: Sequence[str], folder: Path | None = None) -> list[Order]:
    """Return an order for each fold; raise UsageError or ResourceError for what cannot be trained.

    `folder` is that of the trial; without it they stand where `autoseg_train` would put them.
    """
    orders: list[Order] = []
    for fold in asked.folds:
        orders += read_orders(
            asked.workspace, asked.configuration, fold, dataset=asked.dataset,
            size=asked.size, budget=asked.trial_budget,
            settings=[*asked.settings, *settings], device=asked.device,
        )  # fmt: skip
    if folder is None:
        return orders
    return [
        dataclasses.replace(
            order, run=folder / "run" / f"fold_{order.fold}", bundle=folder / "bundle"
        )
        for order in orders
    ]


def look_often(
    settings: Sequence[str], names: Sequence[str], trial_budget: str | None
) -> list[str]:
    """Return the setting that lets a trial be looked at ten times, where nothing else needs epochs.

    An epoch is what a training measures its validation patches after, usually 250 steps.
    """
    config, default = override(TrainConfig(), settings), TrainConfig()
    about_epochs = ("steps_per_epoch", "epochs", "patience", "keep_every", "freeze_encoder")
    if set(about_epochs) & set(names) or any(
        getattr(config, name) != getattr(default, name) for name in about_epochs
    ):
        return []
    if parse_budget(trial_budget).seconds is not None:
        return [f"steps_per_epoch={LOOK_AFTER_STEPS}"]
    if config.steps is not None:
        return [f"steps_per_epoch={max(1, config.steps // LOOKS)}"]
    return []


def record_of(asked: Asked, grid: bool, pruner: str, seed: int) -> dict[str, Any]:
    """Return all that must be the same for the scores of trials to compare."""
    orders = orders_of(asked, ())
    return {
        "dataset": asked.dataset,
        "configuration": asked.configuration,
        "size": asked.size,
        "folds": list(asked.folds),
        "settings": list(asked.settings),
        "vary": [str(parameter) for parameter in asked.space],
        "grid": grid,
        "trial_budget": asked.trial_budget,
        "pruner": pruner,
        "seed": seed,
        "model": orders[0].model_id,  # follows from the plan
        "cases": [cases_id(order) for order in orders],
    }


def begin_search(asked: Asked, record: dict[str, Any], overwrite: bool) -> None:
    """Keep what is asked; raise UsageError when the folder holds a search that asks otherwise."""
    path = asked.folder / RECORD
    if overwrite:
        for run in (asked.folder / "trials").glob("*/run"):
            with locked(run):  # raises when another process is at work there
                pass
        move_aside(asked.folder)
    if not path.exists():
        write_json(path, record)
        return
    before = read_json(path)
    changed = [f"{k}: {before.get(k)}" for k in record if record[k] != before.get(k)]
    if changed:
        raise UsageError(
            f"a search that asked for something else is there ({'; '.join(changed)})",
            place=str(asked.folder),
            remedy="another --name, or --overwrite to begin anew and keep the old one aside",
        )


def typical_seconds(asked: Asked, tried: Sequence[Tried]) -> float | None:
    """Return the seconds that a trial takes to its end."""
    known = [trial.seconds for trial in tried if trial.state == COMPLETE and not trial.error]
    if known:
        return sum(known) / len(known)
    seconds = parse_budget(asked.trial_budget).seconds
    return None if seconds is None else seconds * len(asked.folds)
