"""What a report is about: whatever the stages have left behind of one dataset so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from autoseg.errors import Problem
from autoseg.plan import Fingerprint, Plan
from autoseg.report.scene import Scene
from autoseg.results import Choice, DatasetStatistics, Summary

History = tuple[Mapping[str, float], ...]  # one mapping per epoch, as in `history.csv`


@dataclass(frozen=True)
class Checked:
    """What `check.json` holds of interest to a reader."""

    cases: int
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    pictures: Mapping[str, str] = field(default_factory=dict)  # misplaced target -> data URI
    quoted: bool = True  # False: they are counted only, as their words name files


@dataclass(frozen=True)
class Unreadable:
    """A file that a stage has left behind and that is damaged: its chapter says so."""

    chapter: str
    problem: Problem


@dataclass(frozen=True)
class Run:
    """One training: a fold of a model."""

    history: History
    facts: Mapping[str, str] = field(default_factory=dict)  # seed, steps, time, precision
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Model:
    """A trained model, `3d_fullres-M`: its runs by fold, and its cases scored out of fold."""

    name: str
    runs: Mapping[str, Run]
    summary: Summary | None = None  # of its finished folds, pooled
    fold_of: Mapping[str, str] = field(default_factory=dict)  # case -> the fold that left it out
    facts: Mapping[str, str] = field(default_factory=dict)  # of its bundle


@dataclass(frozen=True)
class Material:
    """Everything a report can show; what does not exist is None or empty."""

    dataset: str
    statistics: DatasetStatistics | None = None
    fingerprint: Fingerprint | None = None  # what the plan was made from
    checked: Checked | None = None
    plan: Plan | None = None
    folds: tuple[tuple[str, ...], ...] = ()  # validation cases of each fold
    models: tuple[Model, ...] = ()
    choice: Choice | None = None
    chosen: Summary | None = None  # of a chosen pair, or of what its rules leave; else a model's
    overlays: Mapping[str, str] = field(default_factory=dict)  # case -> picture (data URI)
    scenes: Mapping[str, Scene] = field(default_factory=dict)  # case -> what a viewer shows
    facts: Mapping[str, str] = field(default_factory=dict)  # version, date
    unreadable: tuple[Unreadable, ...] = ()

    @property
    def to_train(self) -> str:
        """The command that trains a first fold: of flat data there is no 3d_fullres."""
        usual = "3d_fullres"
        planned = list(self.plan.configurations) if self.plan else [usual]
        return f"autoseg_train {usual if usual in planned else planned[0]} 0 -d {self.dataset}"

    @property
    def shown(self) -> Model | None:
        """The model whose cases are looked at: the chosen one, else the one of the best Dice."""
        scored = [model for model in self.models if model.summary and model.summary.mean]
        chosen = self.choice.models if self.choice else ()
        return max(scored, key=lambda model: (model.name in chosen, _dice(model)), default=None)


def _dice(model: Model) -> float:
    mean = model.summary.foreground_mean.get("dice") if model.summary else None
    return -1.0 if mean is None or mean.mean is None else mean.mean
