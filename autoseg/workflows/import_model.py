"""The verb `import --model`: a bundle from elsewhere, or a model of nnU-Net, takes its place.

Whatever comes from elsewhere is unpacked and checked in a folder that goes away again; only a model
that was found right is renamed into place. Nothing is downloaded, no code of a model is run.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from autoseg.bundle import BundleInfo
from autoseg.bundle_reader import load_bundle, open_bundle
from autoseg.bundle_writer import save_weights
from autoseg.errors import CorruptError, UsageError, spoken_of
from autoseg.inference.predictor import load_networks
from autoseg.locks import building
from autoseg.sharing.archive import (
    FOLD,
    PICKLES,
    bundle_files,
    extract,
    list_archive,
    members_of_bundle,
)
from autoseg.sharing.nnunet_models import (
    CHECKPOINT,
    NAME,
    Converted,
    models_in_archive,
    read_folds,
    read_model,
)
from autoseg.workflows.trial_run import write_tests
from autoseg.workflows.verify import verify
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)

CPU = torch.device("cpu")  # the same everywhere; a test case takes seconds
UNPACKED, FRESH = "unpacked", "bundle"  # folders while it is checked
KINDS = "a bundle (card.json), its zip, or nnU-Net's results as a folder or a zip"


def import_model(
    workspace: Workspace,
    source: Path,
    *,
    dataset: str | None = None,
    output: Path | None = None,
    folds: Sequence[str] | None = None,
    checkpoint: str = CHECKPOINT,
    overwrite: bool = False,
    trust: bool = False,
) -> Path:
    """Bring the model in `source` (folder or zip) into its place; return the bundle's folder.

    `output` defaults to the place in `models/` for `dataset` (default: the model's own name). There
    is a whole bundle or none. Raises UsageError when there is one already and not `overwrite`, or
    no model in `source`; CorruptError for what is damaged or unsafe; DataError for what cannot be
    converted.
    """
    if re.match(r"[a-z]+:/", str(source), re.IGNORECASE):
        raise UsageError(
            "autoseg downloads nothing", place=str(source),
            remedy="download it by yourself, then name the file",
        )  # fmt: skip
    if dataset is not None and not re.fullmatch(NAME, dataset):
        raise UsageError(f"'{dataset}' is no name", expected="letters, digits, and _ . -")
    with (
        building(output or workspace.models("any")) as room,
        spoken_of(f"{room / UNPACKED}", str(source)),
        spoken_of(f"{room / FRESH}", str(source)),
    ):
        found = source if source.is_dir() else _unpack(source, room / UNPACKED, checkpoint)
        fresh = room / FRESH
        if (found / "card.json").is_file():
            info = _open_foreign(found, folds, trust)
            target = output or _home(
                workspace, dataset or info.plan.dataset, info.configuration, info.size
            )
            before = _check_target(target, overwrite)
            _copy_bundle(info, fresh)
            verify(fresh, "cpu", trust)
        else:
            model = read_model(found, dataset, folds, checkpoint)
            name = model.plan.dataset
            target = output or _home(workspace, name, model.configuration, model.size)
            before = _check_target(target, overwrite)
            _convert(model, fresh)
        _put(fresh, target, room, overwrite, before)
    return target


def _unpack(source: Path, into: Path, checkpoint: str) -> Path:
    """Return the folder with what of a zip belongs to a model; CorruptError when it is unsafe."""
    if not source.exists():
        raise UsageError("no such file or folder", place=str(source), expected=KINDS)
    names = list_archive(source)
    into.mkdir()
    if any(Path(name).name == "card.json" for name in names):
        extract(source, members_of_bundle(names, source), into)
        return into
    files, models = models_in_archive(names, checkpoint)
    if not models:
        pickles = [name for name in names if name.lower().endswith(PICKLES)]
        if pickles:
            raise CorruptError(
                f"holds '{pickles[0]}' and no model", place=str(source), expected=KINDS,
                remedy="a pickle could run code when it is read, so nothing was",
            )  # fmt: skip
        raise UsageError("holds no model", place=str(source), expected=KINDS)
    if len(models) > 1:
        raise UsageError(
            f"holds {len(models)} models: {', '.join(sorted(models))}", place=str(source),
            remedy="unpack it and name the folder of one",
        )  # fmt: skip
    extract(source, files, into)
    return into / next(iter(models.values()))


def _open_foreign(folder: Path, folds: Sequence[str] | None, trust: bool) -> BundleInfo:
    """Return a bundle from elsewhere; its names, which become parts of paths, are names."""
    every = tuple(open_bundle(folder, None, trust).fold_cards)
    info = open_bundle(folder, every if folds is None else folds, trust)
    for name in (info.plan.dataset, info.configuration, info.size):
        if not re.fullmatch(NAME, name):
            raise CorruptError(f"'{name}' is no name", place=str(folder / "card.json"))
    for fold in info.folds:
        if not re.fullmatch(FOLD, f"fold_{fold}"):
            raise CorruptError(f"'{fold}' is no name of a fold", place=str(folder))
    return info


def _copy_bundle(info: BundleInfo, target: Path) -> None:
    """Copy the files of a bundle, the chosen folds of it; anything else stays behind."""
    for name in bundle_files(info.folder):
        fold = name.partition("/")[0].removeprefix("fold_")
        if name.startswith("fold_") and fold not in info.folds:
            continue
        path = info.folder / name
        if any(part.is_symlink() for part in (path, path.parent)):
            raise CorruptError("is a link", place=str(path), expected="a file")
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / name)


def _convert(model: Converted, folder: Path) -> None:
    """Write a model of nnU-Net as a bundle, with a test case for every fold; read it back.

    The bundle of a cascade's first stage is written before it, beside it.
    """
    previous = None
    if model.previous is not None:
        stage = folder.with_name(f"{folder.name}_previous")
        _convert(model.previous, stage)
        previous = open_bundle(stage)
    for fold, state, card in read_folds(model):
        save_weights(
            folder, fold, state, model.plan, model.configuration, model.size, model.config, card,
            previous=previous,
        )  # fmt: skip
        log.info("%s, fold %s: %d tensors", model.configuration, fold, len(state))
    load_networks(load_bundle(folder, model.folds))
    write_tests(folder, CPU)


def _home(workspace: Workspace, dataset: str, configuration: str, size: str) -> Path:
    """Return the place of a model in `models/`; UsageError when one was trained there."""
    target = workspace.bundle(dataset, configuration, size)
    if (target.parent / "run").exists():
        raise UsageError(
            "a model was trained there, and its record would be taken for this one's",
            place=str(target.parent), remedy="another name with -d, or another place with -o",
        )  # fmt: skip
    return target


def _check_target(target: Path, overwrite: bool) -> bool:
    """Return whether there is something already; UsageError when it may not be replaced."""
    if not target.exists():
        return False
    if not overwrite:
        remedy = "choose another place with -o, or give --overwrite"
        raise UsageError("is there already", place=str(target), remedy=remedy)
    if not (target / "card.json").is_file():
        raise UsageError("is not a bundle", place=str(target), remedy="choose another place")
    return True


def _put(fresh: Path, target: Path, room: Path, overwrite: bool, before: bool) -> None:
    """Rename a whole bundle into place.

    Another process may have imported the same model in the meantime: then it is there, and well.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and (before or overwrite):
        target.replace(room / "former")
    try:
        fresh.replace(target)
    except OSError:
        if not (target / "card.json").is_file():
            raise
        same = (target / "card.json").read_bytes() == (fresh / "card.json").read_bytes()
        if not same:
            _check_target(target, overwrite=False)
        log.info("%s: another process has imported the same model", target)
