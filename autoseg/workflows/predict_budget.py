"""A budget of seconds for each case: what is done for it, from its size and the machine's pace.

The pace is timed on a round of tiles before the first case, and corrected after each: what a case
took counts as much as all before it. Time that networks do not take (waiting for the scan, label
maps back on its grid, writing) is taken off first; for the first case it is unknown, and reading
and preparing the scan stands for it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from autoseg.inference.array_predictor import ArrayPredictor
from autoseg.inference.effort import Effort, describe_effort
from autoseg.inference.pace import seconds_per_voxel, voxels_to_score, with_effort

log = logging.getLogger(__name__)

Stages = tuple[ArrayPredictor, ...]  # of one model: the last of them gives the scores


@dataclass(frozen=True)
class WithinBudget:
    """What is done for a case, and how long its networks are expected to take."""

    effort: Effort
    models: tuple[Stages, ...]
    seconds: float


@dataclass
class Budget:
    """Chooses the effort for case after case; `efforts` go from the most to the least."""

    seconds: float
    efforts: tuple[Effort, ...]
    models: tuple[Stages, ...]
    folds: tuple[tuple[str, ...], ...]  # names, per model
    pace: list[float] = field(default_factory=list)  # seconds a voxel, for each stage in turn
    beside: float | None = None  # seconds a voxel of the scan that networks do not take
    said: Effort | None = None

    def choose(
        self,
        case: str,
        shapes: Sequence[Sequence[Sequence[int]]],
        voxels: int,
        waited_s: float,
        prepared_s: float,
    ) -> WithinBudget:
        """Return the most that fits into the budget, else the least, with a warning.

        `shapes` are those of the prepared arrays (z, y, x), per model and stage; the scan, of so
        many `voxels`, was waited for and took `prepared_s` to read and prepare.
        """
        if not self.pace:
            self.pace = [seconds_per_voxel(stage) for stages in self.models for stage in stages]
        beside = prepared_s if self.beside is None else self.beside * voxels
        left = self.seconds - waited_s - beside
        options = [self._option(effort, shapes) for effort in self.efforts]
        fitting = [option for option in options if option.seconds <= left]
        chosen = fitting[0] if fitting else min(options, key=lambda option: option.seconds)
        expected = chosen.seconds + waited_s + beside
        if not fitting:
            log.warning("%s: expected to take %.3g s, more than the budget of %.3g s, though no "
                        "less can be done", case, expected, self.seconds)  # fmt: skip
        if chosen.effort != self.said:
            what = describe_effort(chosen.effort, self.folds)
            log.info("from %s on, about %.3g s a case: %s", case, expected, what)
            self.said = chosen.effort
        return chosen

    def learn(self, chosen: WithinBudget, networks_s: float, beside_s: float, voxels: int) -> None:
        """Correct the pace by what a case took: in its networks, and beside them."""
        if chosen.seconds > 0:
            off = (1 + networks_s / chosen.seconds) / 2
            self.pace = [pace * off for pace in self.pace]
        beside = beside_s / voxels
        self.beside = beside if self.beside is None else (self.beside + beside) / 2

    def _option(self, effort: Effort, shapes: Sequence[Sequence[Sequence[int]]]) -> WithinBudget:
        models = tuple(tuple(with_effort(s, effort) for s in stages) for stages in self.models)
        pace, seconds = iter(self.pace), 0.0
        for stages, seen in zip(models, shapes, strict=True):
            own = [next(pace) for _ in stages]
            # Only the last stages are needed where the label map of the one before is given.
            for stage, shape, per_voxel in zip(
                stages[-len(seen) :], seen, own[-len(seen) :], strict=True
            ):
                seconds += per_voxel * voxels_to_score(stage, shape)
        return WithinBudget(effort, models, seconds)
