"""The cross-validation so far: what the finished folds of every trained model say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.errors import UsageError
from autoseg.evaluation.overview import format_table
from autoseg.evaluation.select import choose_best, pool_folds
from autoseg.evaluation.tables import SUMMARY, read_summary
from autoseg.labels import Labels
from autoseg.results import Choice, Summary


@dataclass(frozen=True)
class CrossValidation:
    """Every trained model of a dataset, on the cases that its folds have not seen."""

    dataset: str
    summaries: Mapping[str, Summary]  # "3d_fullres-M" -> its finished folds, pooled
    folds: Mapping[str, tuple[str, ...]]  # the finished folds of each
    of: int  # folds there are
    choice: Choice
    notes: tuple[str, ...] = ()


def cross_validate(
    dataset: str, models: Path, labels: Labels, split: Sequence[Sequence[str]]
) -> CrossValidation:
    """Collect `models/*/run/fold_*/validation` and choose the best model.

    `split` holds the ids of the validation cases of each fold. Raises UsageError when no fold is
    finished.
    """
    summaries: dict[str, Summary] = {}
    folds: dict[str, tuple[str, ...]] = {}
    notes: list[str] = []
    for model in sorted(path for path in models.glob("*") if path.is_dir()):
        found, lacking = _finished_folds(model)
        if lacking:
            notes.append(f"{model.name}: not validated yet: fold {', '.join(lacking)}")
        if found:
            summaries[model.name] = pool_folds(found, labels, model.name)
            folds[model.name] = tuple(found)
            notes += _gaps(model.name, found, split)
    if not summaries:
        raise UsageError(
            "no fold has been trained and validated yet",
            place=str(models),
            remedy="run autoseg_train 3d_fullres 0",
        )
    choice = choose_best(summaries, labels)
    return CrossValidation(dataset, summaries, folds, len(split), choice, tuple(notes))


def format_crossvalidation(result: CrossValidation, style: str = "plain") -> str:
    """Return the tables of each model with the number of its folds, and why one is chosen."""
    lines = []
    for model, summary in result.summaries.items():
        folds = result.folds[model]
        of = f" of {result.of}" if result.of else ""
        title = f"{result.dataset} {model}, {len(folds)}{of} folds ({', '.join(folds)})"
        lines += [title, format_table(summary, style), ""]
    return "\n".join([*lines, *result.notes, *(f"best: {why}" for why in result.choice.reasons)])


def _finished_folds(model: Path) -> tuple[dict[str, Summary], list[str]]:
    """Return the summaries of a model's validated folds, and the names of those without one."""
    found, lacking = {}, []
    for run in sorted((model / "run").glob("fold_*")):
        fold = run.name.removeprefix("fold_")
        path = run / "validation" / SUMMARY
        if path.is_file():
            found[fold] = read_summary(path)
        elif fold.isdigit():  # "full" is trained on all cases: nothing is left to validate on
            lacking.append(fold)
    return found, lacking


def _gaps(model: str, found: Mapping[str, Summary], split: Sequence[Sequence[str]]) -> list[str]:
    """Say which validation cases of a finished fold were not scored."""
    notes = []
    for fold, summary in found.items():
        if not fold.isdigit() or int(fold) >= len(split):
            continue
        scored = {case.case for case in summary.cases}
        absent = [case for case in split[int(fold)] if case not in scored]
        if absent:
            names = ", ".join(absent[:5])
            notes.append(f"{model} fold {fold}: {len(absent)} cases were not scored: {names}")
    return notes
