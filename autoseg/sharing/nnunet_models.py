"""Trained model folders of nnU-Net v2, in and out: no lock-in either way.

    Trainer__Plans__3d_fullres/  dataset.json  plans.json  fold_0/checkpoint_final.pth  fold_1/...

A converted bundle computes what nnU-Net computes: same network, same preparation, same mirror axes,
scans turned as its reader turns them (mostly: not at all).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from torch import Tensor

from autoseg.config import TrainConfig
from autoseg.errors import DataError, UsageError
from autoseg.files import read_json
from autoseg.members import FULL
from autoseg.plan import Plan
from autoseg.plan_file import check_plan
from autoseg.sharing.nnunet_checkpoint import Checkpoint, read_checkpoint
from autoseg.sharing.nnunet_plans import SIZE, read_plan
from autoseg.sharing.nnunet_weights import weights_from_nnunet

log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint_final.pth"
ALL = "all"  # their name of the fold that we call "full"
TRAINER = "nnUNetTrainer"
NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"


@dataclass(frozen=True)
class Converted:
    """A model of nnU-Net in our terms, its folds not read yet."""

    folder: Path
    checkpoint: str
    plan: Plan
    configuration: str
    config: TrainConfig
    folds: tuple[str, ...]  # our names
    previous: Converted | None = None  # of a cascade: its first stage

    @property
    def size(self) -> str:
        """The one size that the plan has."""
        return SIZE


def is_nnunet_model(folder: Path) -> bool:
    """Tell whether `folder` looks like a trained model of nnU-Net v2."""
    return (folder / "plans.json").is_file() and (folder / "dataset.json").is_file()


def read_model(
    folder: Path,
    name: str | None = None,
    folds: Sequence[str] | None = None,
    checkpoint: str = CHECKPOINT,
) -> Converted:
    """Return the model in nnU-Net's results `folder`; `folds=None` means every trained one.

    Raises UsageError when there is no model or not that fold, DataError or CorruptError for files
    that cannot be converted or must not be read.
    """
    if not is_nnunet_model(folder):
        raise UsageError(
            "no model of nnU-Net here",
            place=str(folder),
            expected=f"dataset.json, plans.json and fold_0/{checkpoint}",
            remedy="name the folder called like nnUNetTrainer__nnUNetPlans__3d_fullres",
        )
    chosen = _choose_folds(folder, folds, checkpoint)
    first = read_checkpoint(_path(folder, chosen[0], checkpoint))
    if first.trainer != TRAINER:
        log.warning(
            "trained by %s: converted as %s, whose network and preparation are known",
            first.trainer, TRAINER,
        )  # fmt: skip
    places = str(folder / "plans.json"), str(folder / "dataset.json")
    plan = read_plan(
        read_json(folder / "plans.json"),
        read_json(folder / "dataset.json"),
        first.configuration,
        name,
        places,
    )
    check_plan(plan, f"{places[0]}: ")
    for word in (plan.dataset, first.configuration):
        if not re.fullmatch(NAME, word):  # it becomes a part of paths
            expected = "letters, digits, and _ . - after the first"
            raise DataError(f"'{word}' is no name", place=places[0], expected=expected)
    is_2d = plan.configurations[first.configuration].is_2d
    axes = _mirror_axes(first, is_2d, _path(folder, chosen[0], checkpoint))
    config = TrainConfig(recipe="nnunet", mirror_axes=axes)
    previous = _read_previous(folder, plan, first.configuration, checkpoint)
    return Converted(folder, checkpoint, plan, first.configuration, config, chosen, previous)


def _read_previous(
    folder: Path, plan: Plan, configuration: str, checkpoint: str
) -> Converted | None:
    """Return the first stage of a cascade, every fold of it.

    Its folder lies beside, as nnU-Net lays it, or within, as our export does.
    """
    previous = plan.configurations[configuration].previous
    if previous is None:
        return None
    whole, within = folder.absolute(), folder / previous
    begin = whole.name.removesuffix(configuration)
    beside = whole.with_name(begin + previous) if begin != whole.name else within
    beside = within if is_nnunet_model(within) else beside
    if not is_nnunet_model(beside):
        raise UsageError(
            f"{configuration} continues the prediction of {previous}, which is not beside it",
            place=str(folder),
            expected=f"folders named like nnUNetTrainer__nnUNetPlans__{configuration} and "
            f"nnUNetTrainer__nnUNetPlans__{previous}, side by side",
        )
    model = read_model(beside, plan.dataset, None, checkpoint)
    theirs = model.plan
    if (model.configuration, theirs.channels, theirs.labels, theirs.orientation) != (
        previous, plan.channels, plan.labels, plan.orientation,
    ):  # fmt: skip
        expected = f"{previous} with the channels, labels and reader of the cascade"
        raise DataError(f"a model of {model.configuration}", place=str(beside), expected=expected)
    return model


def read_folds(model: Converted) -> Iterator[tuple[str, dict[str, Tensor], Mapping[str, Any]]]:
    """Yield (fold, our state dict, card) of every fold, one in memory at a time."""
    plan = model.plan
    spec = plan.configurations[model.configuration].sizes[SIZE].network
    for fold in model.folds:
        path = _path(model.folder, fold, model.checkpoint)
        found = read_checkpoint(path)
        axes = _mirror_axes(found, plan.configurations[model.configuration].is_2d, path)
        if (found.configuration, axes) != (model.configuration, model.config.mirror_axes):
            raise DataError(
                f"trained as {found.configuration}, mirrored along {found.mirror_axes}",
                place=str(path),
                expected="the same as the other folds",
            )
        state = weights_from_nnunet(
            found.weights,
            spec,
            plan.input_channels(model.configuration),
            plan.labels.channels,
            str(path),
        )
        card = {"from": "nnU-Net", "trainer": found.trainer, "epochs": found.epochs}
        yield fold, state, card


def _mirror_axes(checkpoint: Checkpoint, is_2d: bool, path: Path) -> tuple[int, ...]:
    """Return the mirror axes of prepared arrays (z, y, x), of which 2-D has the last two."""
    axes = tuple(axis + is_2d for axis in checkpoint.mirror_axes)
    if len(set(axes)) < len(axes) or not set(axes) <= {0, 1, 2}:
        fact = f"mirror axes are {checkpoint.mirror_axes}"
        raise DataError(fact, place=str(path), expected="different axes of the image")
    return axes


def _path(folder: Path, fold: str, checkpoint: str) -> Path:
    return folder / f"fold_{ALL if fold == FULL else fold}" / checkpoint


def _choose_folds(folder: Path, folds: Sequence[str] | None, checkpoint: str) -> tuple[str, ...]:
    paths = sorted(folder.glob(f"fold_*/{checkpoint}"))
    names = [path.parent.name.removeprefix("fold_") for path in paths]
    trained = [FULL if name == ALL else name for name in names if re.fullmatch(r"\d+|all", name)]
    if not trained:
        others = sorted({path.name for path in folder.glob("fold_*/checkpoint_*.pth")})
        raise UsageError(
            f"no fold has {checkpoint}",
            place=str(folder),
            remedy=f"--checkpoint {others[0]}" if others else "train one first",
        )
    if folds is None:
        return tuple(trained)
    wanted = tuple(dict.fromkeys(FULL if fold == ALL else str(fold) for fold in folds))
    missing = [fold for fold in wanted if fold not in trained]
    if missing:
        raise UsageError(
            f"fold {', '.join(missing)} is not in this model",
            place=str(folder),
            expected=f"one of the trained folds: {', '.join(trained)}",
        )
    return wanted


def models_in_archive(
    names: Sequence[str], checkpoint: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Return what is read of the file names of an archive (member -> place), and the models.

    Models are (name in the archive -> folder among these places), without those that are the first
    stage of another. nnU-Net's own archives hold pickles and pictures too: these are not listed.
    """
    wanted = re.compile(rf"dataset\.json|plans\.json|fold_(?:\d+|all)/{re.escape(checkpoint)}")
    paths = [PurePosixPath(name) for name in names]
    tops = [path.parent for path in paths if path.name == "plans.json"]
    places = {top: _place(top, tops) for top in tops}
    files = {
        str(path): f"{places[top]}/{path.relative_to(top)}"
        for top in tops
        for path in paths
        if path.is_relative_to(top) and wanted.fullmatch(str(path.relative_to(top)))
    }
    return files, {str(top): places[top] for top in tops if not _is_stage(top, tops)}


def _place(top: PurePosixPath, tops: Sequence[PurePosixPath]) -> str:
    """Return where a model is unpacked; models that lay together still do, whatever lay above."""
    if top.parent in tops and top.parent != top:
        return f"{_place(top.parent, tops)}/{top.name}"
    together = sorted({other.parent for other in tops}).index(top.parent)
    return f"{together}/{top.name or 'model'}"


def _is_stage(top: PurePosixPath, tops: Sequence[PurePosixPath]) -> bool:
    """Tell whether a model is the first stage of a cascade that it lies within, or beside."""
    begin, _, configuration = top.name.rpartition("__")
    beside = top.with_name(f"{begin}__3d_cascade_fullres") if begin else top
    within = top.parent in tops and top.parent != top
    return within or (configuration == "3d_lowres" and beside in tops)
