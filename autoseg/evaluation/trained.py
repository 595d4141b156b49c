"""The models of a data set that were trained so far, and what their finished folds left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.errors import UsageError, number_of
from autoseg.evaluation.seeds import describe_seeds, further_seeds
from autoseg.evaluation.select import (
    pool_folds,
)
from autoseg.evaluation.tables import SUMMARY, read_summary
from autoseg.labels import Labels
from autoseg.members import is_full, is_member, split_member
from autoseg.results import Summary


@dataclass(frozen=True)
class Trained:
    """Every trained model of a dataset, or pair, on the cases that its folds have not seen."""

    summaries: Mapping[str, Summary]  # "3d_fullres-M" -> its finished folds, pooled
    folds: Mapping[str, tuple[str, ...]]  # the finished folds of each
    fold_of: Mapping[str, str]  # case -> the fold that validated it
    label_maps: Mapping[str, Mapping[str, Path]]  # model -> case -> its predicted label map
    notes: tuple[str, ...] = ()


def collect_models(models: Path, labels: Labels, split: Sequence[Sequence[str]]) -> Trained:
    """Collect `models/*/run/fold_*/validation`.

    `split` holds the ids of the validation cases of each fold. Raises UsageError when no fold is
    finished.
    """
    summaries: dict[str, Summary] = {}
    folds: dict[str, tuple[str, ...]] = {}
    fold_of: dict[str, str] = {}
    label_maps: dict[str, dict[str, Path]] = {}
    notes: list[str] = []
    for model in sorted(path for path in models.glob("*") if path.is_dir()):
        found, lacking = finished_folds(model)
        if lacking:
            notes.append(f"{model.name}: not validated yet: fold {', '.join(lacking)}")
        if not found:
            continue
        summaries[model.name] = pool_folds(found, labels, model.name)
        folds[model.name] = tuple(found)
        notes += _gaps(model.name, found, split)
        notes += describe_seeds(model.name, found, further_seeds(model), labels)
        label_maps[model.name] = {}
        for fold, summary in found.items():
            folder = model / "run" / f"fold_{fold}" / "validation"
            for case in summary.cases:
                fold_of[case.case] = fold
                label_maps[model.name][case.case] = folder / (case.prediction_file or case.case)
    if not summaries:
        raise UsageError(
            "no fold has been trained and validated yet",
            place=str(models),
            remedy="run autoseg_train 3d_fullres 0",
        )
    return Trained(summaries, folds, fold_of, label_maps, tuple(notes))


def finished_folds(model: Path) -> tuple[dict[str, Summary], list[str]]:
    """Return the summaries of a model's validated folds, and the names of those without one."""
    found, lacking = fold_summaries(model)
    return {fold: read_summary(path) for fold, path in found.items()}, lacking


def fold_summaries(model: Path) -> tuple[dict[str, Path], list[str]]:
    """Return the files of scores of a model's validated folds, and the names of those without one.

    Of a fold that was trained with several seeds the first one's: no case counts twice.
    """
    found, lacking = {}, []
    for run in sorted((model / "run").glob("fold_*")):
        fold = run.name.removeprefix("fold_")
        if not is_member(fold) or split_member(fold)[1] is not None:
            continue
        path = run / "validation" / SUMMARY
        if path.is_file():
            found[fold] = path
        elif not is_full(fold):
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
            notes.append(
                f"{model} fold {fold}: {number_of(len(absent), 'case')} not scored: {names}"
            )
    return notes
