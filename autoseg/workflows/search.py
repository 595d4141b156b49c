"""The verb `search`: try settings on a fold, trial after trial, and name the best ones.

models/<DS>/search/<NAME>/  search.json (what was asked)  journal.log (Optuna's)  trials.csv
                            best.json (for --preset)  trials/0001/ ...
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoseg.errors import LockedError, PartlyDone, UsageError
from autoseg.files import locked, read_json, write_json
from autoseg.stopping import StopRequest, stop_on_signals
from autoseg.training.budget import LENGTHS, parse_budget, say_duration
from autoseg.training.search_space import Parameter, combinations, parse_space
from autoseg.training.study import (
    COMPLETE,
    FAILED,
    PRUNERS,
    RUNNING,
    WAITING,
    Study,
    Tried,
    best_of,
)
from autoseg.workflows.fold_validation import cases_id
from autoseg.workflows.search_report import (
    describe_result,
    describe_search,
    describe_trial,
    write_results,
)
from autoseg.workflows.search_trial import Asked, keep_little, look_often, orders_of, run_trial
from autoseg.workflows.train import move_aside
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)

TRIALS = 20  # without --trials, --budget and --grid
CLAIM_S = 60.0  # to wait for another process that looks for its next trial
RECORD = "search.json"


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


def search(
    workspace: Workspace,
    configuration: str,
    folds: Sequence[str | int],
    vary: Sequence[str],
    *,
    dataset: str | None = None,
    size: str | None = None,
    settings: Sequence[str] = (),
    grid: bool = False,
    trials: int | None = None,
    budget: str | None = None,
    trial_budget: str | None = None,
    pruner: str | None = None,
    seed: int = 0,
    name: str | None = None,
    device: str | None = None,
    overwrite: bool = False,
) -> str:
    """Try values of the settings in `vary` ("loss=dice_ce/ce", "batch_size=2..8"); return a report.

    Every trial is trained with `settings` on top of the defaults, for `trial_budget`, and scored by
    the mean foreground Dice of its final validation, over `folds`. `grid` tries every combination
    in order; else Optuna proposes `trials` ones, or as many as fit in a `budget` of time for all of
    them together. `pruner` ends trials early that fall behind: "median" (default), "halving" or
    "none" (default of a grid). A search that was interrupted goes on, and several processes may
    work at one. Raises UsageError for a finished one, or one of the same `name` that asks for
    something else, unless `overwrite`, which moves it aside; PartlyDone when no trial has a score.
    """
    space = parse_space(vary, settings)
    limits = _limits(grid, trials, budget, space)
    pruner = pruner or ("none" if grid else "median")
    if pruner not in PRUNERS:
        raise UsageError(f"--pruner {pruner}", expected=f"one of {', '.join(PRUNERS)}")
    names = [parameter.name for parameter in space]
    told = [f"seed={seed}"] * ("seed" not in names) + [*settings]
    asked = Asked(
        workspace, workspace.find_planned(dataset), configuration, size,
        tuple(map(str, folds)), (*told, *look_often(told, names, trial_budget)), space,
        trial_budget, device, workspace.root,
    )  # fmt: skip
    asked = _checked(asked, trial_budget, name)
    with locked(asked.folder, wait_s=CLAIM_S):
        _begin(asked, _record(asked, grid, pruner, seed), overwrite)
        study = Study(asked.folder, space, seed, pruner)
        if grid:
            study.put_in_line(combinations(space))
    _refuse_finished(asked, study, limits)
    log.info("%s", describe_search(asked, limits.trials))
    with stop_on_signals() as stop:
        _work(asked, study, limits, stop)
    return _conclude(asked, study)


def _limits(
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


def _checked(asked: Asked, trial_budget: str | None, name: str | None) -> Asked:
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
    name = name or f"{asked.configuration}-{size}"
    if Path(name).name != name:
        raise UsageError(f"--name {name}", expected="the name of a folder, not a path")
    folder = asked.workspace.search(asked.dataset, name)
    return dataclasses.replace(asked, size=size, folds=folds, folder=folder)


def _begin(asked: Asked, record: dict[str, Any], overwrite: bool) -> None:
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


def _record(asked: Asked, grid: bool, pruner: str, seed: int) -> dict[str, Any]:
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


def _refuse_finished(asked: Asked, study: Study, limits: Limits) -> None:
    tried = study.tried()
    if any(trial.state == RUNNING for trial in tried) or limits.allow(
        tried, _typical(asked, tried)
    ):
        return
    raise UsageError(
        f"the search is finished: {len(tried)} trials",
        place=str(asked.folder),
        remedy="more --trials or a longer --budget goes on, --overwrite begins anew",
    )


def _typical(asked: Asked, tried: Sequence[Tried]) -> float | None:
    """Return the seconds that a trial takes to its end."""
    known = [trial.seconds for trial in tried if trial.state == COMPLETE and not trial.error]
    if known:
        return sum(known) / len(known)
    seconds = parse_budget(asked.trial_budget).seconds
    return None if seconds is None else seconds * len(asked.folds)


def _work(asked: Asked, study: Study, limits: Limits, stop: StopRequest) -> None:
    """Train trials until nothing is left to begin, or a signal comes."""
    while True:
        stop.check()
        with _claimed(asked, study, limits) as number:
            if number is None:
                return
            trial = study.take_up(number)
            try:
                if not _take_over(study, trial):
                    run_trial(asked, study, trial, stop)
            finally:
                _leave(asked, study)
        tried = study.tried()
        line = describe_trial(tried[number - 1], best_of(tried), limits.trials)
        log.info("%s, %s left", line, say_duration(_seconds_left(asked, tried, limits)))


@contextlib.contextmanager
def _claimed(asked: Asked, study: Study, limits: Limits) -> Iterator[int | None]:
    """Hold the next trial, which no other process works at; None when there is none.

    One that was left in the middle comes before a new one.
    """
    with contextlib.ExitStack() as held:
        with locked(asked.folder, wait_s=CLAIM_S):
            tried = study.tried()
            left = [trial.number for trial in tried if trial.state == RUNNING]
            number = next((n for n in left if _hold(asked.trial(n), held)), None)
            if number is None and limits.allow(tried, _typical(asked, tried)):
                number = study.ask()
                _hold(asked.trial(number), held)
        yield number


def _hold(folder: Path, held: contextlib.ExitStack) -> bool:
    try:
        # In run/, as saving weights locks the folder of the model.
        held.enter_context(locked(folder / "run", "autoseg search"))
    except LockedError:
        return False
    return True


def _take_over(study: Study, trial: Tried) -> bool:
    """Give a trial the score of an earlier one with the same settings, if there is one."""
    for earlier in study.tried():
        if earlier.state == COMPLETE and earlier.values == trial.values:
            study.note(trial.number, error=f"the settings of trial {earlier.number}, not repeated")
            study.finish(trial.number, COMPLETE, earlier.score)
            return True
    return False


def _leave(asked: Asked, study: Study) -> None:
    """Write what is known, and remove what is large of every trial but the best."""
    with locked(asked.folder, wait_s=CLAIM_S):
        tried = study.tried()
        best = best_of(tried)
        write_results(asked, tried)
        for trial in tried:
            if trial.finished and trial != best:
                keep_little(asked.trial(trial.number))


def _seconds_left(asked: Asked, tried: Sequence[Tried], limits: Limits) -> float:
    """Return how long the trials that are left take, with as many at once as are at work now."""
    typical = _typical(asked, tried) or 0.0
    ended = [trial for trial in tried if trial.finished]
    running = sum(trial.state == RUNNING for trial in tried)
    left = math.inf if limits.trials is None else typical * (limits.trials - len(ended))
    if limits.seconds is not None:
        left = min(left, limits.seconds - sum(trial.seconds for trial in ended))
    return max(0.0, left) / (running + 1)  # and this process


def _conclude(asked: Asked, study: Study) -> str:
    tried = study.tried()
    if best_of(tried) is None:
        failed = next((trial.error for trial in tried if trial.state == FAILED), "none has ended")
        raise PartlyDone(
            f"none of {len(tried)} trials has a score ({failed})",
            place=str(asked.folder / "trials.csv"),
            remedy="the log.txt of each trial says what happened",
        )
    return describe_result(asked, tried)
