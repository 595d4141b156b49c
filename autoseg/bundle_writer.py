"""Trained weights into a bundle, fold by fold, while other processes do the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoseg import __version__
from autoseg.bundle import FORMAT, WEIGHTS, BundleCard, FoldCard, model_id
from autoseg.config import TrainConfig
from autoseg.files import json_text, locked, sha256, to_json, write_atomically, write_text
from autoseg.plan import Plan, save_plan

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
) -> None:
    """Add or replace one fold of a bundle; `card` (JSON primitives) is kept beside the weights.

    Weights come first and the card that lists their hash last; folds trained at the same time by
    several processes do not touch each other's files, and write the shared ones in turn.
    """
    identity = model_id(plan, configuration, size, config)
    # The lock lies beside the bundle: nothing of this machine goes into it.
    with locked(bundle_folder.parent, f"saving fold {fold}", wait_s=LOCK_WAIT_S):
        save_plan(bundle_folder / "plan.json", plan)
        write_text(bundle_folder / "train.json", json_text(to_json(config)))
        hashes = {name: sha256(bundle_folder / name) for name in ("plan.json", "train.json")}
        whole = BundleCard(FORMAT, plan.dataset, configuration, size, identity, hashes, __version__)
        write_text(bundle_folder / "card.json", json_text(to_json(whole)))

    content = _tensor_bytes(state)
    folder = bundle_folder / f"fold_{fold}"
    write_atomically(folder / WEIGHTS, lambda stream: stream.write(content))
    digest = hashlib.sha256(content).hexdigest()
    write_text(
        folder / "card.json", json_text(to_json(FoldCard(fold, identity, digest, dict(card))))
    )


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
