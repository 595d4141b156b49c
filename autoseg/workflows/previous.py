"""What a cascade continues: the previous stage's predictions of cases that it has not seen.

A model knows the cases it was trained on, and a second stage that learnt from such predictions
would trust them too much. So every case brings the prediction of the fold that validated it, and
all folds of the previous stage have to be trained first. As value indices on the prepared grid they
are kept in models/<dataset>/<cascade>-<size>/run/previous/.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.bundle import BundleInfo, stage_id
from autoseg.bundle_reader import open_bundle
from autoseg.errors import CorruptError, DataError, UsageError
from autoseg.evaluation.measured import read_prediction
from autoseg.evaluation.tables import SUMMARY, read_summary
from autoseg.files import write_json
from autoseg.locks import locked
from autoseg.members import is_member
from autoseg.parallel import map_cases
from autoseg.plan import Configuration, Plan
from autoseg.planning.folds import Fold, load_folds
from autoseg.preprocessing.manifest import recipe_of
from autoseg.preprocessing.previous import (
    Origin,
    is_current,
    previous_indices,
    write_previous,
)
from autoseg.preprocessing.store import read_sidecar
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)

LOCK_WAIT_S = 3600.0  # another fold makes the same maps; they are there when it is done


@dataclass(frozen=True)
class PreviousStage:
    """The trained previous stage, and where its predictions of unseen cases lie."""

    model: str  # "3d_lowres-S"
    info: BundleInfo  # with the folds whose predictions are used
    label_maps: Mapping[str, tuple[str, Path]]  # case -> fold, its label map on the scan's grid
    recipe: str  # of the prepared arrays that the maps are brought to
    folder: Path  # run/previous of the cascade


@dataclass(frozen=True)
class Manifest:
    """What `manifest.json` says of the maps beside it."""

    model: str
    stage_id: str
    weights_sha256: Mapping[str, str]  # per fold
    cases: Mapping[str, str]  # the fold that predicted each


def find_previous(
    workspace: Workspace, plan: Plan, cascade: Configuration, size: str, cases: Sequence[str]
) -> PreviousStage:
    """Return the previous stage of `cascade` with a prediction of every one of `cases`.

    Raises UsageError naming the folds that are to be trained first, DataError when a label map of a
    finished one is gone.
    """
    assert cascade.previous is not None
    model = workspace.model(plan.dataset, cascade.previous, size)
    found = _validated(model)
    _check_all_there(workspace, plan, cascade, model, cases, found)
    chosen = {case: found[case] for case in cases}
    folds = sorted({fold for fold, _ in chosen.values()})
    info = open_bundle(model / "bundle", folds, trust=True)
    _check_same_targets(info, plan)
    folder = workspace.model(plan.dataset, cascade.name, size) / "run" / "previous"
    return PreviousStage(model.name, info, chosen, recipe_of(plan, cascade), folder)


def _validated(model: Path) -> dict[str, tuple[str, Path]]:
    """Return the fold and the label map of every case that a finished fold has validated."""
    found: dict[str, tuple[str, Path]] = {}
    for result in sorted(model.glob("run/fold_*/result.json")):
        folder, fold = result.parent / "validation", result.parent.name.removeprefix("fold_")
        if not (is_member(fold) and (folder / SUMMARY).is_file()):
            continue
        for case in read_summary(folder / SUMMARY).cases:
            found.setdefault(case.case, (fold, folder / (case.prediction_file or case.case)))
    return found


def _check_all_there(
    workspace: Workspace,
    plan: Plan,
    cascade: Configuration,
    model: Path,
    cases: Sequence[str],
    found: Mapping[str, tuple[str, Path]],
) -> None:
    path = workspace.folds(plan.dataset)
    folds = load_folds(path)
    where = f"-d {plan.dataset} --size {model.name.partition('-')[2]}"
    for fold, label_map in (found[case] for case in cases if case in found):
        if not label_map.is_file():
            remedy = f"autoseg_train {cascade.previous} {fold} {where} --overwrite"
            raise DataError("a validation's label map is gone", place=str(label_map), remedy=remedy)
    missing = [case for case in cases if case not in found]
    lacking = [str(n) for n, f in enumerate(folds) if set(missing) & set(f.validation)]
    why = "every case needs the prediction of a model that has not seen it"
    if lacking:
        which, are = ("all", "are") if len(lacking) > 1 else (lacking[0], "is")
        raise UsageError(
            f"{cascade.name} continues what {model.name} predicts, of which "
            f"fold{'s' * (len(lacking) > 1)} {', '.join(lacking)} {are} not trained and validated",
            place=str(model),
            expected=f"all {len(folds)} folds, as {why}",
            remedy=f"autoseg_train {cascade.previous} {which} {where}",
        )
    if missing:
        raise UsageError(
            f"{len(missing)} of {len(cases)} cases are validated by no fold, such as {missing[0]}",
            place=str(path),
            expected=f"each case in one of them, as {why}",
            remedy=f"add folds that validate them, and train {cascade.previous} on these",
        )


def _check_same_targets(info: BundleInfo, plan: Plan) -> None:
    theirs = info.plan
    same = (theirs.channels, theirs.labels, theirs.labels.names) == (
        plan.channels, plan.labels, plan.labels.names,
    )  # fmt: skip
    if not same:
        raise UsageError(
            f"{info.configuration}-{info.size} was trained with other channels or targets",
            place=str(info.folder),
            remedy=f"train it again: autoseg_train {info.configuration} all --overwrite",
        )


def store_previous(
    previous: PreviousStage | None, cases: Fold, plan: Plan, arrays: Path
) -> Path | None:
    """Return the folder with the maps of all `cases`, those that are missing or old made anew.

    `arrays` holds the prepared arrays whose grid they lie on. None without a previous stage.
    """
    if previous is None:
        return None
    folder = previous.folder
    with locked(folder, f"maps of {previous.model}", wait_s=LOCK_WAIT_S):
        origins = {case: _origin(previous, case) for case in cases.train + cases.validation}
        left = [case for case, origin in origins.items() if not is_current(folder, case, origin)]

        def work(case: str) -> None:
            indices = _indices_of(previous.label_maps[case][1], case, plan, arrays)
            write_previous(folder, case, indices, origins[case])

        for outcome in map_cases(work, left, title="previous stage", name=str):
            outcome.result()
        folds = {case: fold for case, (fold, _) in previous.label_maps.items()}
        hashes = {fold: previous.info.fold_cards[fold].sha256 for fold in previous.info.folds}
        write_json(
            folder / "manifest.json",
            Manifest(previous.model, stage_id(previous.info), hashes, folds),
        )
    log.info(
        "continues %s: its predictions of unseen cases, from fold %s",
        previous.model, " ".join(previous.info.folds),
    )  # fmt: skip
    return folder


def _origin(previous: PreviousStage, case: str) -> Origin:
    fold, path = previous.label_maps[case]
    stat = path.stat()
    return Origin(
        previous.model,
        fold,
        previous.info.fold_cards[fold].sha256,
        (path.name, stat.st_size, stat.st_mtime_ns),
        previous.recipe,
    )


def _indices_of(path: Path, case: str, plan: Plan, arrays: Path) -> np.ndarray:
    frame = read_sidecar(arrays, case).frame
    try:
        return previous_indices(read_prediction(path), frame, plan.labels)
    except ValueError as error:
        raise CorruptError(str(error), place=str(path), remedy="train that fold again") from error
