"""How much a choice flatters itself on the cases it was made on: choosing again without them.

The cases are dealt into parts: the folds, or, where only one fold is finished, five parts of its
patients. For each part, the model and its rules are chosen anew from all other cases, and the part
is scored with that choice. The mean over all cases is what such a choice gives on cases that had no
say in it (nested cross-validation; Cawley and Talbot, JMLR 11, 2010). It describes the procedure;
the networks themselves have never seen the cases either way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from autoseg.evaluation.select import foreground_dice
from autoseg.results import CaseScores, Estimate
from autoseg.rules import Rules

PARTS = 5  # of the patients of a single fold

Decision = tuple[str, Rules]  # a model or pair, and its rules
Decide = Callable[[frozenset[str]], Decision | None]  # from the cases that have a say
Score = Callable[[Decision, Sequence[str]], np.ndarray]  # (n, K) Dice of these cases


def make_parts(
    cases: Sequence[CaseScores], fold_of: Mapping[str, str]
) -> tuple[list[list[str]], str]:
    """Return the parts of the cases (ids), and what a part is; fewer than two: no estimate."""
    folds = sorted({fold_of[case.case] for case in cases})
    if len(folds) > 1:
        return [[c.case for c in cases if fold_of[c.case] == fold] for fold in folds], "fold"
    patients = sorted({case.group or case.case for case in cases})
    dealt = [set(patients[part::PARTS]) for part in range(min(PARTS, len(patients)))]
    parts = [[c.case for c in cases if (c.group or c.case) in part] for part in dealt]
    return parts, "part of the patients"


def estimate_optimism(
    final: Decision,
    cases: Sequence[CaseScores],
    present: np.ndarray,
    fold_of: Mapping[str, str],
    decide: Decide,
    score: Score,
    describe: Callable[[Decision], str],
) -> Estimate | None:
    """Return the Dice of `final` on `cases`, and of choices made without each part of them.

    `present` (n, K): does the reference of a case hold the target? None when there are not two
    parts, or nothing can be chosen without one of them.
    """
    parts, by = make_parts(cases, fold_of)
    if len(parts) < 2:
        return None
    dice: dict[str, np.ndarray] = {}
    chosen = []
    for part in parts:
        # The folds keep the cases of a patient together, so none of them has a say.
        left_out = {fold_of[case] for case in part} if by == "fold" else set()
        rest = (c for c, fold in fold_of.items() if fold not in left_out and c not in part)
        decision = decide(frozenset(rest))
        if decision is None:
            return None
        chosen.append(describe(decision))
        dice |= dict(zip(part, score(decision, part), strict=True))
    ids = [case.case for case in cases]
    nested = foreground_dice(np.array([dice[case] for case in ids]), present)
    apparent = foreground_dice(score(final, ids), present)
    if nested is None or apparent is None:
        return None
    return Estimate(apparent, nested, len(ids), len(parts), by, tuple(chosen))
