"""Folds trained with several seeds: how much a mean Dice owes to chance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import stdev

from autoseg.evaluation.select import dice_of, foreground_dice, has_reference
from autoseg.evaluation.tables import SUMMARY, read_summary
from autoseg.labels import Labels
from autoseg.members import is_member, split_member
from autoseg.results import Summary


def further_seeds(model: Path) -> dict[int, dict[str, Summary]]:
    """Return the validated folds of each further seed of a model."""
    found: dict[int, dict[str, Summary]] = {}
    for run in sorted((model / "run").glob("fold_*-seed*")):
        name = run.name.removeprefix("fold_")
        fold, seed = split_member(name)
        path = run / "validation" / SUMMARY
        if is_member(name) and seed is not None and path.is_file():
            found.setdefault(seed, {})[fold] = read_summary(path)
    return dict(sorted(found.items()))


def describe_seeds(
    model: str,
    first: Mapping[str, Summary],
    further: Mapping[int, Mapping[str, Summary]],
    labels: Labels,
) -> list[str]:
    """Return what is to be said about further seeds: their mean Dice on the folds that all have.

    Only the first seed's cases are counted in the cross-validation.
    """
    if not further:
        return []
    shared = [fold for fold in first if all(fold in folds for folds in further.values())]
    seeds = ", ".join(map(str, further))
    if not shared:
        return [f"{model}: no fold is finished with the first seed and with seed {seeds}"]
    where = f"fold{'s' * (len(shared) > 1)} {', '.join(shared)}"
    values = [mean_dice(folds, shared, labels) for folds in (first, *further.values())]
    if any(value is None for value in values):
        return []
    known = [value for value in values if value is not None]
    told = ", ".join(f"{value:.4f}" for value in known[1:])
    return [
        f"{model}, {where}: mean foreground Dice {known[0]:.4f} with the first seed, which counts; "
        f"{told} with seed {seeds}; standard deviation over seeds {stdev(known):.4f}"
    ]


def mean_dice(folds: Mapping[str, Summary], among: list[str], labels: Labels) -> float | None:
    """Return the mean foreground Dice over the cases of these folds."""
    cases = [case for fold in among for case in folds[fold].cases]
    return foreground_dice(dice_of(cases, labels), has_reference(cases, labels))
