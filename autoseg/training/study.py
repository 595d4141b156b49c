"""The store of a search: what was tried, what is tried next, which trials are not worth their end.

The only home of Optuna. Its journal is a text file that only grows, one JSON line an event; any
number of processes, on several machines too, may write to it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.errors import CorruptError, ResourceError
from autoseg.records import fingerprint_of
from autoseg.training.search_space import Parameter

JOURNAL = "journal.log"
WAITING, RUNNING, COMPLETE, PRUNED, FAILED = STATES = (
    "waiting", "running", "complete", "pruned", "failed",
)  # fmt: skip
STARTUP = 5  # trials spread over the space, and complete ones before any is pruned
LOOKS = 10  # in a training: a report after each tenth of it
BLIND = 2  # looks at the beginning after which nothing is pruned
PRUNERS = ("median", "halving", "none")


@dataclass(frozen=True)
class Tried:
    """One trial of a search."""

    number: int  # from 1
    state: str
    values: dict[str, str]  # of the settings that are varied, as --set takes them
    score: float | None = None  # of a complete one
    seconds: float = 0.0  # of training and validation so far
    begun: int = 0  # how often without having been stopped in order
    error: str = ""  # why it failed, or what its score was taken from

    @property
    def finished(self) -> bool:
        """Complete, pruned or failed."""
        return self.state not in (WAITING, RUNNING)


def best_of(tried: Sequence[Tried]) -> Tried | None:
    """Return the complete trial with the highest score, the earlier one of equals."""
    scored = [trial for trial in tried if trial.state == COMPLETE and trial.score is not None]
    return max(scored, key=lambda trial: (trial.score or 0.0, -trial.number), default=None)


class Study:
    """An open store. What is proposed depends on seed, number of the trial and what is known."""

    def __init__(
        self, folder: Path, space: Sequence[Parameter], seed: int = 0, pruner: str = "median"
    ) -> None:
        self._optuna, self._space, self._seed = _import_optuna(), tuple(space), seed
        backend = self._optuna.storages.journal.JournalFileBackend
        path = (folder / JOURNAL).resolve()
        try:
            self._study = self._optuna.create_study(
                storage=self._optuna.storages.JournalStorage(backend(str(path))),
                study_name="search", direction="maximize", load_if_exists=True,
                pruner=self._make_pruner(pruner),
            )  # fmt: skip
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptError(
                f"is damaged ({error})",
                place=str(path),
                remedy="--overwrite begins the search anew and keeps the old one",
            ) from error

    def _make_pruner(self, name: str) -> Any:
        pruners = self._optuna.pruners
        if name == "median":
            return pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=BLIND + 1)
        if name == "halving":
            return pruners.SuccessiveHalvingPruner(min_resource=BLIND, reduction_factor=3)
        return pruners.NopPruner()

    def tried(self) -> list[Tried]:
        """Return every trial there is, in order."""
        return [self._tried(trial) for trial in self._study.get_trials(deepcopy=False)]

    def _tried(self, trial: Any) -> Tried:
        states = self._optuna.trial.TrialState
        names = dict(zip((states.WAITING, states.RUNNING, states.COMPLETE, states.PRUNED,
                          states.FAIL), STATES, strict=True))  # fmt: skip
        known = trial.params or trial.system_attrs.get("fixed_params", {})
        values = {p.name: p.say(known[p.name]) for p in self._space if p.name in known}
        score = trial.value if trial.state == states.COMPLETE else None
        facts = {name: trial.user_attrs[name] for name in ("seconds", "begun", "error")
                 if name in trial.user_attrs}  # fmt: skip
        return Tried(trial.number + 1, names[trial.state], values, score, **facts)

    def put_in_line(self, every: Sequence[dict[str, str]]) -> None:
        """Let the trials be these combinations, in order; those that are in line stay there."""
        for values in every[len(self._study.get_trials(deepcopy=False)) :]:
            self._study.enqueue_trial(values)

    def ask(self) -> int:
        """Begin the next trial: the first in line, else what is proposed; return its number."""
        tried = self.tried()
        before = len(tried)
        if before < STARTUP and all(trial.state != WAITING for trial in tried):
            self._study.enqueue_trial(self._spread(before))
        # A seed for each: one seed would give the same random numbers again after a restart.
        seed = int(fingerprint_of([self._seed, before]), 16) % 2**32
        self._study.sampler = self._optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=STARTUP, multivariate=True
        )
        trial = self._study.ask()
        self._choose(trial)
        return int(trial.number) + 1

    def _spread(self, index: int) -> dict[str, str | float]:
        """Return the values of one of the first trials: of each setting another fifth is tried.

        By chance alone all five may lie together, and the seed is 0 unless somebody changes it.
        """
        rng = np.random.default_rng(int(fingerprint_of([self._seed]), 16))
        values = {}
        for p in self._space:
            parts, places = rng.permutation(STARTUP), rng.random(STARTUP)
            values[p.name] = p.at(float(parts[index] + places[index]) / STARTUP)
        return values

    def _choose(self, trial: Any) -> None:
        """Choose what was not chosen when a process was killed in between, too."""
        for p in self._space:
            if p.values:
                trial.suggest_categorical(p.name, list(p.values))
            elif p.whole:
                trial.suggest_int(p.name, int(p.low), int(p.high), log=p.log)
            else:
                trial.suggest_float(p.name, p.low, p.high, log=p.log)

    def take_up(self, number: int) -> Tried:
        """Return a trial that runs, complete with its values."""
        self._choose(self._trial(number))
        return self.tried()[number - 1]

    def note(self, number: int, **facts: Any) -> None:
        """Keep `seconds`, `begun` or `error` of a trial that runs."""
        trial = self._trial(number)
        for name, value in facts.items():
            trial.set_user_attr(name, value)

    def report(self, number: int, look: int, score: float) -> bool:
        """Keep the score at a look, from 1; tell whether the trial is not worth its end."""
        trial = self._trial(number)
        if look not in self._frozen(number).intermediate_values:
            trial.report(score, look)
        return bool(trial.should_prune())

    def finish(self, number: int, state: str, score: float | None = None) -> None:
        """End a trial that runs: complete with its score, pruned or failed."""
        states = self._optuna.trial.TrialState
        known = {COMPLETE: states.COMPLETE, PRUNED: states.PRUNED, FAILED: states.FAIL}
        self._study.tell(number - 1, score, known[state])

    def _trial(self, number: int) -> Any:
        # The store knows a trial that another process has begun, or this one before it was stopped;
        # Optuna's own way to continue it is this constructor.
        return self._optuna.trial.Trial(self._study, self._frozen(number)._trial_id)

    def _frozen(self, number: int) -> Any:
        return self._study.get_trials(deepcopy=False)[number - 1]


def _import_optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ResourceError(
            "a search needs Optuna, which is not installed", remedy="pip install 'autoseg[search]'"
        ) from error
    optuna.logging.set_verbosity(logging.ERROR)  # a line for each trial is ours to write
    return optuna
