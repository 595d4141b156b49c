"""The verb `search`: try settings on a fold, trial after trial, and name the best ones.

models/<DS>/search/<NAME>/  search.json (what was asked)  journal.log (Optuna's)  trials.csv
                            best.json (for --preset)  report.txt  trials/0001/ ...
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from autoseg.errors import LockedError, PartlyDone, UsageError, number_of
from autoseg.locks import locked
from autoseg.progress import say_duration
from autoseg.stopping import StopRequest, stop_on_signals
from autoseg.training.search_space import combinations, parse_space
from autoseg.training.study import (
    COMPLETE,
    FAILED,
    PRUNERS,
    RUNNING,
    Study,
    Tried,
    best_of,
)
from autoseg.workflows.search_asked import (
    Asked,
    Limits,
    begin_search,
    checked,
    look_often,
    record_of,
    set_limits,
    typical_seconds,
)
from autoseg.workflows.search_report import (
    describe_result,
    describe_search,
    describe_trial,
    write_results,
)
from autoseg.workflows.search_trial import keep_little, run_trial
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)

CLAIM_S = 60.0  # to wait for another process that looks for its next trial


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
    limits = set_limits(grid, trials, budget, space)
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
    asked = checked(asked, trial_budget, name)
    with locked(asked.folder, wait_s=CLAIM_S):
        begin_search(asked, record_of(asked, grid, pruner, seed), overwrite)
        study = Study(asked.folder, space, seed, pruner)
        if grid:
            study.put_in_line(combinations(space))
    _refuse_finished(asked, study, limits)
    log.info("%s", describe_search(asked, limits.trials))
    with stop_on_signals() as stop:
        _work(asked, study, limits, stop)
    return _conclude(asked, study)


def _refuse_finished(asked: Asked, study: Study, limits: Limits) -> None:
    tried = study.tried()
    if any(trial.state == RUNNING for trial in tried) or limits.allow(
        tried, typical_seconds(asked, tried)
    ):
        return
    raise UsageError(
        f"the search is finished: {number_of(len(tried), 'trial')}, see report.txt",
        place=str(asked.folder),
        remedy="more --trials or a longer --budget goes on, --overwrite begins anew",
    )


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
            if number is None and limits.allow(tried, typical_seconds(asked, tried)):
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
    typical = typical_seconds(asked, tried) or 0.0
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
