"""Trained weights into a bundle, fold by fold, while other processes do the same."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoseg import __version__
from autoseg.bundle import (
    FORMAT,
    PAGE,
    PREVIOUS,
    TEST,
    WEIGHTS,
    BundleCard,
    BundleInfo,
    FoldCard,
    model_id,
    stage_id,
    trained_design,
)
from autoseg.bundle_reader import open_bundle, read_card, read_shared
from autoseg.card import ModelCard, merge
from autoseg.card_text import card_text
from autoseg.config import TrainConfig
from autoseg.errors import AutosegError, CorruptError
from autoseg.files import json_text, sha256, write_atomically, write_text
from autoseg.locks import locked
from autoseg.plan import Plan
from autoseg.plan_file import save_plan
from autoseg.records import to_json

if TYPE_CHECKING:
    import torch

LOCK_WAIT_S = 60.0  # another fold's card is written in milliseconds


def save_weights(
    bundle_folder: Path,
    fold: str,
    state: Mapping[str, torch.Tensor],
    plan: Plan,
    configuration: str,
    size: str,
    config: TrainConfig,
    card: Mapping[str, Any],
    model_card: ModelCard | None = None,
    previous: BundleInfo | None = None,
) -> None:
    """Add or replace one fold of a bundle; `card` (JSON primitives) is kept beside the weights.

    `model_card` adds to what the bundle's card knows already; results of another model are dropped.
    Weights come first and the card that lists their hash last; folds trained at the same time by
    several processes do not touch each other's files, and write the shared ones in turn. A
    cascade's `previous` stage is copied into the bundle, its chosen folds only.
    """
    if (plan.configuration(configuration).previous is None) != (previous is None):
        raise ValueError(f"{configuration} and its previous stage do not belong together")
    before = stage_id(previous)
    identity = model_id(plan, configuration, size, config, before)
    # The lock lies beside the bundle: nothing of this machine goes into it.
    with locked(bundle_folder.parent, f"saving fold {fold}", wait_s=LOCK_WAIT_S):
        save_plan(bundle_folder / "plan.json", plan)
        write_text(bundle_folder / "train.json", json_text(to_json(config)))
        hashes = {name: sha256(bundle_folder / name) for name in ("plan.json", "train.json")}
        known = merge(_known_card(bundle_folder, identity), model_card or ModelCard())
        if previous is not None:
            _copy_stage(previous, bundle_folder / PREVIOUS)
        whole = BundleCard(
            FORMAT, plan.dataset, configuration, size, identity, hashes, __version__, known, before
        )
        write_card(bundle_folder, whole, plan, config)

    content = _tensor_bytes(state)
    folder = bundle_folder / f"fold_{fold}"
    write_atomically(folder / WEIGHTS, lambda stream: stream.write(content))
    digest = hashlib.sha256(content).hexdigest()
    (folder / TEST).unlink(missing_ok=True)  # of the former weights
    write_text(
        folder / "card.json", json_text(to_json(FoldCard(fold, identity, digest, dict(card))))
    )


def save_test(bundle_folder: Path, fold_card: FoldCard, text: str) -> FoldCard:
    """Put the test case of a fold (JSON) beside its weights; return the card that lists it."""
    folder = bundle_folder / f"fold_{fold_card.fold}"
    write_text(folder / TEST, text)
    listed = replace(fold_card, test_sha256=sha256(folder / TEST))
    write_text(folder / "card.json", json_text(to_json(listed)))
    return listed


def update_card(bundle_folder: Path, change: Callable[[ModelCard], ModelCard]) -> BundleCard:
    """Change what the card of a bundle tells people, in `card.json` and `MODEL_CARD.md`."""
    with locked(bundle_folder.parent, "updating a model card", wait_s=LOCK_WAIT_S):
        card, plan, config = read_shared(bundle_folder)
        changed = replace(card, model_card=change(card.model_card))
        return write_card(bundle_folder, changed, plan, config)


def page_of(card: BundleCard, plan: Plan, config: TrainConfig) -> str:
    """Return the page for people: what `MODEL_CARD.md` holds, or should."""
    design = trained_design(plan, card.configuration, card.size, config)
    settings = plan.configuration(card.configuration)
    return card_text(card.model_card, plan, settings, card.size, design, config, card.version)


def write_card(
    bundle_folder: Path, card: BundleCard, plan: Plan, config: TrainConfig
) -> BundleCard:
    """Write the page and then `card.json`, which lists its hash; return what that holds."""
    page = page_of(card, plan, config)
    write_text(bundle_folder / PAGE, page)
    listed = replace(card, sha256={**card.sha256, PAGE: sha256(bundle_folder / PAGE)})
    write_text(bundle_folder / "card.json", json_text(to_json(listed)))
    return listed


def _known_card(bundle_folder: Path, identity: str) -> ModelCard:
    """Return the card that is there already, without the results of another model."""
    try:
        former = read_card(bundle_folder)
    except CorruptError:  # none, or a damaged one, which is no reason to lose the weights
        return ModelCard()
    known = former.model_card
    return known if former.model_id == identity else replace(known, results=None, rules={})


def _copy_stage(info: BundleInfo, target: Path) -> None:
    """Make `target` the bundle of `info` with the folds chosen there, unless it is that already."""
    with contextlib.suppress(AutosegError):
        if stage_id(open_bundle(target, trust=True)) == stage_id(info):
            return
    for abandoned in target.parent.glob(f".{target.name}.*"):  # by a process that was killed
        shutil.rmtree(abandoned, ignore_errors=True)
    room = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    folders = {".": ["card.json", *info.card.sha256]}
    folders |= {f"fold_{fold}": ["card.json", WEIGHTS, TEST] for fold in info.folds}
    try:
        for folder, names in folders.items():
            for name in names:
                if name != TEST or (info.folder / folder / name).is_file():
                    _copy(info.folder / folder / name, room / folder / name)
        shutil.rmtree(target, ignore_errors=True)
        room.replace(target)
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    content = source.read_bytes()
    write_atomically(target, lambda stream: stream.write(content))


def _tensor_bytes(state: Mapping[str, torch.Tensor]) -> bytes:
    from safetensors.torch import save

    tensors: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name, tensor in state.items():
        # safetensors refuses strided layouts (channels last) and tensors that share memory.
        dense = tensor.detach().cpu().contiguous()
        shared = dense.data_ptr() in seen
        tensors[name] = dense.clone() if shared else dense
        seen.add(dense.data_ptr())
    return save(tensors)
