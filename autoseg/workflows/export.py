"""The verb `export`: a bundle as one file to send, or in the form that another program wants."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from autoseg.bundle_reader import load_bundle, open_bundle
from autoseg.errors import UsageError, suggest
from autoseg.locks import building
from autoseg.sharing.archive import write_archive
from autoseg.sharing.nnunet_export import write_model
from autoseg.sharing.portable import DESCRIPTION, write_portable
from autoseg.sharing.public import copy_public
from autoseg.workflows.export_places import put_in_place, refuse_existing
from autoseg.workflows.trial_run import write_tests

log = logging.getLogger(__name__)

Folds = Sequence[str] | None


@dataclass(frozen=True)
class Form:
    """One form: how it is written to a new place, and how an earlier one is recognised."""

    write: Callable[[Path, Path, Folds, bool], Sequence[str]]  # returns what the user must know
    is_one: Callable[[Path], bool]


def export(
    bundle: Path,
    output: Path,
    *,
    to: str = "zip",
    folds: Folds = None,
    overwrite: bool = False,
    trust: bool = False,
) -> Path:
    """Write the model in `bundle` to `output` in the form `to` and return that path.

    "zip" is a file, the others ("torchscript", "onnx", "nnunet") are folders. It is written beside
    its place and renamed: a whole model or none. Raises UsageError when `output` is there already
    and not `overwrite`, or for what the other program does not have.
    """
    if to not in FORMS:
        raise UsageError(f"unknown form '{to}'", remedy=suggest(to, FORMS))
    form = FORMS[to]
    refuse_existing(output, overwrite, form.is_one)
    with building(output) as room:
        remarks = form.write(bundle, room / "model", folds, trust)
        put_in_place(room / "model", output, room)
    for remark in remarks:
        log.warning("%s", remark)
    return output


def _write_zip(bundle: Path, target: Path, folds: Folds, trust: bool) -> Sequence[str]:
    """Write the bundle without anything private; bundles of older versions get test cases."""
    public = target.with_name("bundle")
    changed = copy_public(bundle, public, folds, trust)
    write_tests(public, torch.device("cpu"), trust)
    info = open_bundle(public, trust=trust)
    write_archive(public, target, f"{info.plan.dataset}-{info.configuration}-{info.size}")
    log.info("exported fold %s", " ".join(info.fold_cards))
    return [f"{name}: folders of this computer were taken out of it" for name in changed]


def _write_nnunet(bundle: Path, target: Path, folds: Folds, trust: bool) -> Sequence[str]:
    model = load_bundle(bundle, folds, trust)
    log.info("exported fold %s", " ".join(model.weights))
    return write_model(model, target)


def _write_portable(
    bundle: Path, target: Path, folds: Folds, trust: bool, kind: str
) -> Sequence[str]:
    model = load_bundle(bundle, folds, trust)
    log.info("exporting fold %s", " ".join(model.weights))
    return write_portable(model, target, kind)


def _is_portable(place: Path) -> bool:
    return (place / DESCRIPTION).is_file()


def _is_nnunet(place: Path) -> bool:
    return (place / "plans.json").is_file()


FORMS = {
    "zip": Form(_write_zip, zipfile.is_zipfile),
    "torchscript": Form(partial(_write_portable, kind="torchscript"), _is_portable),
    "onnx": Form(partial(_write_portable, kind="onnx"), _is_portable),
    "nnunet": Form(_write_nnunet, _is_nnunet),
}
