"""Two annotations of the same cases: how far they agree, target by target."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from autoseg.errors import Problem
from autoseg.labels import Labels

AGREEING = 0.9  # Dice; below it the two do not mean the same thing


@dataclass(frozen=True)
class Agreement:
    """The Dice of one target between two annotations, in every case where either has it."""

    target: str
    median: float
    dice: Mapping[str, float]  # case -> Dice

    def __str__(self) -> str:
        cases = "1 case" if len(self.dice) == 1 else f"median over {len(self.dice)} cases"
        lowest = min(self.dice, key=lambda case: (self.dice[case], case))
        seldom = f", lowest {self.dice[lowest]:.2f} in {lowest}" if len(self.dice) > 1 else ""
        return f"class {self.target}: Dice {self.median:.2f} with the second ({cases}{seldom})"


def dice_of(
    first: np.ndarray, second: np.ndarray, labels: Labels, annotated: Collection[str]
) -> dict[str, float]:
    """Return the Dice of each `annotated` target that either map (Z, Y, X) holds."""
    found = {}
    for target in labels.names:
        if target in annotated:
            one, other = labels.mask(first, target), labels.mask(second, target)
            voxels = int(one.sum()) + int(other.sum())
            if voxels:
                found[target] = 2 * int((one & other).sum()) / voxels
    return found


def sum_up(labels: Labels, by_case: Mapping[str, Mapping[str, float]]) -> tuple[Agreement, ...]:
    """Return what `dice_of` found in each case, by target; targets that nobody has are left out."""
    agreements = []
    for target in labels.names:
        dice = {case: found[target] for case, found in by_case.items() if target in found}
        if dice:
            agreements.append(Agreement(target, float(np.median(list(dice.values()))), dice))
    return tuple(agreements)


def doubt(agreements: Iterable[Agreement]) -> list[Problem]:
    """Return a warning for each target on which the two annotations do not agree."""
    remedy = "look at both: they differ in what is meant, or one was moved"
    return [
        Problem("second annotation", str(one), f"at least {AGREEING:g}", remedy)
        for one in agreements
        if one.median < AGREEING
    ]
