"""How long to train: the words of --budget, a number of steps, and keeping a promise about time.

A time budget becomes a number of steps once a step has been timed. The schedule runs over
*progress*, which goes from 0 to 1 whatever happens: when the number of remaining steps changes,
progress goes on from where it is and still arrives at 1 with the last step.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from autoseg.config import TrainConfig
from autoseg.errors import UsageError

LENGTHS = ("epochs", "steps")  # settings that say how long to train
SECONDS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
CALIBRATION = (5, 0.02)  # first look at the pace: after five steps and 2 % of the time budget
LOOK_EVERY = 0.05  # of the time budget: how often the pace is compared with the deadline
OFF_BY = 0.02  # of the time budget: a smaller error is left alone
REVISED_BEFORE = 0.25  # of the time budget before the deadline
FEW_STEPS = 50  # a training this short has learned next to nothing
ANNEAL_AT_LEAST = 0.02  # of the steps done: too late to train, but the rate must still come down


@dataclass(frozen=True)
class Budget:
    """What the user allows: seconds for the whole command, or epochs, or what the recipe says."""

    seconds: float | None = None
    epochs: int | None = None


def parse_budget(text: str | None) -> Budget:
    """Return the budget of "40s", "30m", "8h" or "200epochs"; raise UsageError for anything else.

    >>> parse_budget("1.5h"), parse_budget("200 epochs")
    (Budget(seconds=5400.0, epochs=None), Budget(seconds=None, epochs=200))
    """
    if text is None:
        return Budget()
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", text.lower())
    number, unit = (float(match[1]), match[2]) if match else (0.0, "")
    if unit in ("epoch", "epochs") and number == int(number) and number >= 1:
        return Budget(epochs=int(number))
    if unit in SECONDS and number > 0:
        return Budget(seconds=number * SECONDS[unit])
    raise UsageError(f"--budget {text}", expected='for example "40s", "30m", "8h" or "200epochs"')


def share(budget: Budget, spent_s: float, parts: int) -> Budget:
    """Return one of `parts` equal parts of what is left of a time budget after `spent_s`."""
    if budget.seconds is None:
        return budget
    return Budget(seconds=max(1.0, (budget.seconds - spent_s) / parts))


def refuse_two_lengths(budget: str | None, config: TrainConfig) -> None:
    """Raise UsageError when --budget and a setting both say how long to train."""
    lengths = {name: getattr(config, name) for name in LENGTHS}
    said = [f"{name}={value}" for name, value in lengths.items() if value is not None]
    if budget is not None and said:
        fact = f"--budget {budget} and {' '.join(said)} both say how long to train"
        raise UsageError(fact, expected="one of them", remedy="leave the other out")


@dataclass(frozen=True)
class Length:
    """`steps` in all; the schedule stood at `from_progress` when `from_step` steps were done."""

    steps: int
    from_step: int = 0
    from_progress: float = 0.0
    ending: bool = False  # patience has run out: it may get shorter still, but not longer

    def progress(self, step: int) -> float:
        """Return how far the schedule is after `step` steps, from 0 to 1."""
        ahead = self.steps - self.from_step
        share = (step - self.from_step) / ahead if ahead > 0 else 1.0
        return min(1.0, self.from_progress + (1.0 - self.from_progress) * share)

    def replanned(self, step: int, steps: int) -> Length:
        """Return the length that goes on from `step` and ends after `steps` steps in all."""
        return replace(
            self, steps=max(steps, step + 1), from_step=step, from_progress=self.progress(step)
        )


class Pace:
    """Watches the clock of a time budget and proposes another number of steps when it must.

    `deadline` is a time of `clock` (monotonic seconds) at which the last step shall be done, so the
    time for the final validation is already taken off; None: no time budget, nothing ever changes.
    `revise` returns the deadline anew; it is asked once, late, when the machine is known better.
    `after_s`: seconds that what follows the last step will take, the final validation above all;
    `foresee` returns them where there is no deadline, and is asked once, after the first epoch.
    """

    def __init__(
        self,
        deadline: float | None,
        budget_seconds: float | None,
        step_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        revise: Callable[[], float] | None = None,
        after_s: float = 0.0,
        foresee: Callable[[], float] | None = None,
    ) -> None:
        self.deadline, self.budget_seconds, self.clock = deadline, budget_seconds or 0.0, clock
        self.step_seconds, self._revise, self.after_s = step_seconds, revise, after_s
        self._foresee = foresee
        self._mark: tuple[float, int] | None = None
        self._calibrated = False

    def steps_in_time(self, done: int, least: int = 1) -> int:
        """Return the steps in all at the measured pace, `done` of them over, `least` to come."""
        if self.deadline is None or not self.step_seconds:
            raise ValueError("steps_in_time needs a deadline and a measured step")
        left = int((self.deadline - self.clock()) / self.step_seconds)
        return done + max(1, least, left)

    def is_due(self, step: int) -> bool:
        """Tell whether it is time to compare the pace with the deadline; asked every step."""
        if self.deadline is None:
            return False
        if self._mark is None:
            # The first step of a session warms caches up and is not typical.
            self._mark = (self.clock(), step)
            return False
        steps, share = step - self._mark[1], LOOK_EVERY
        if not self._calibrated:
            share = CALIBRATION[1]
            if steps < CALIBRATION[0]:
                return False
        return steps > 0 and self.clock() - self._mark[0] >= share * self.budget_seconds

    def look(self, step: int, length: Length) -> Length | None:
        """Time the steps since the last look; return a new length if the old misses the deadline.

        The caller waits for the device first, so that the clock tells the truth.
        """
        if self.deadline is None or self._mark is None:
            return None
        now = self.clock()
        measured = (now - self._mark[0]) / (step - self._mark[1])
        self._mark, first = (now, step), not self._calibrated
        # The mean with what was measured before: a short disturbance is not answered in full.
        self.step_seconds = measured if first else (measured + (self.step_seconds or measured)) / 2
        self._calibrated = True
        if self._revise and self.deadline - now < REVISED_BEFORE * self.budget_seconds:
            before, self.deadline, self._revise = self.deadline, self._revise(), None
            self.after_s += before - self.deadline  # the end of all is where it was
            self._mark = (now := self.clock(), step)
        error = (length.steps - step) * self.step_seconds - (self.deadline - now)
        if step >= length.steps or (abs(error) <= OFF_BY * self.budget_seconds and not first):
            return None
        # Only once: a deadline that is missed again and again would be moved for ever.
        least = round(step * ANNEAL_AT_LEAST) if first else 1
        return length.replanned(step, self.steps_in_time(step, least))

    def foresee(self) -> float:
        """Learn once what `after_s` is, unless it is known; return the seconds that took."""
        begin, foresee = self.clock(), self._foresee
        if foresee is not None and self.deadline is None:
            self.after_s, self._foresee = foresee(), None
        return self.clock() - begin
