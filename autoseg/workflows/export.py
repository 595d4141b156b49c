"""The verb `export`: a bundle in the form that another program wants."""

from __future__ import annotations

import logging
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from autoseg.bundle import load_bundle
from autoseg.errors import UsageError, suggest
from autoseg.sharing.nnunet_export import write_model

log = logging.getLogger(__name__)

FORMS = {"nnunet": write_model}


def export(
    bundle: Path,
    output: Path,
    *,
    to: str = "nnunet",
    folds: Sequence[str] | None = None,
    overwrite: bool = False,
    trust: bool = False,
) -> Path:
    """Write the model in `bundle` to the folder `output` in the form `to` and return that folder.

    It is written beside its place and renamed: a whole model or none. Raises UsageError when
    `output` is there already and not `overwrite`, or for what the other program does not have.
    """
    if to not in FORMS:
        raise UsageError(f"unknown form '{to}'", remedy=suggest(to, FORMS))
    if output.exists() and not overwrite:
        remedy = "choose another place with -o, or give --overwrite"
        raise UsageError("is there already", place=str(output), remedy=remedy)
    if output.exists() and not (output / "plans.json").is_file():
        raise UsageError("holds something else", place=str(output), remedy="choose another place")
    model = load_bundle(bundle, folds, trust)
    room = output.parent / f".{output.name}.{secrets.token_hex(4)}"
    try:
        remarks = FORMS[to](model, room / "model")
        if output.exists():
            output.replace(room / "former")
        (room / "model").replace(output)
    finally:
        shutil.rmtree(room, ignore_errors=True)
    log.info("exported fold %s", " ".join(model.weights))
    for remark in remarks:
        log.warning("%s", remark)
    return output
