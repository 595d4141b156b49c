"""The verb `import --model`: a trained model of nnU-Net becomes a bundle."""

from __future__ import annotations

import logging
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from autoseg.bundle import load_bundle, open_bundle
from autoseg.bundle_writer import save_weights
from autoseg.errors import UsageError
from autoseg.inference.predictor import load_networks
from autoseg.sharing.nnunet_models import CHECKPOINT, Converted, read_folds, read_model
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)


def import_model(
    workspace: Workspace,
    folder: Path,
    *,
    dataset: str | None = None,
    output: Path | None = None,
    folds: Sequence[str] | None = None,
    checkpoint: str = CHECKPOINT,
    overwrite: bool = False,
) -> Path:
    """Convert nnU-Net's results `folder` and return the bundle's folder.

    `output` defaults to the place in `models/` for `dataset` (default: the model's own name). It is
    written beside that place, read back, and renamed: there is a whole bundle or none. Raises
    UsageError when there is one already and not `overwrite`; see `read_model` for the others.
    """
    model = read_model(folder, dataset, folds, checkpoint)
    name = model.plan.dataset
    target = output or workspace.bundle(name, model.configuration, model.size)
    if target.exists() and not overwrite:
        remedy = "choose another place with -o, or give --overwrite"
        raise UsageError("is there already", place=str(target), remedy=remedy)
    if target.exists() and not (target / "card.json").is_file():
        raise UsageError("is not a bundle", place=str(target), remedy="choose another place")
    # In a folder of its own: the lock that guards a bundle lies beside it.
    room = target.parent / f".{target.name}.{secrets.token_hex(4)}"
    fresh = room / "bundle"
    try:
        _write(model, fresh)
        if target.exists():
            target.replace(room / "former")
        fresh.replace(target)
    finally:
        shutil.rmtree(room, ignore_errors=True)
    return target


def _write(model: Converted, folder: Path) -> None:
    """Write the bundle of `model`, after that of its previous stage, and read it back."""
    previous = None
    if model.previous is not None:
        stage = folder.with_name(f"{folder.name}_previous")
        _write(model.previous, stage)
        previous = open_bundle(stage)
    for fold, state, card in read_folds(model):
        save_weights(
            folder, fold, state, model.plan, model.configuration, model.size, model.config, card,
            previous=previous,
        )  # fmt: skip
        log.info("%s, fold %s: %d tensors", model.configuration, fold, len(state))
    load_networks(load_bundle(folder, model.folds))
