"""A bundle opened, or loaded with its weights: every hash is verified before anything is believed.

PyTorch is loaded only when weights are read, so a bundle can be looked at without it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoseg.bundle import (
    FORMAT,
    PAGE,
    PREVIOUS,
    WEIGHTS,
    Bundle,
    BundleCard,
    BundleInfo,
    FoldCard,
    stage_id,
)
from autoseg.config import TrainConfig
from autoseg.errors import CorruptError, DataError, UsageError
from autoseg.files import read_json, sha256
from autoseg.members import is_full
from autoseg.plan import Plan
from autoseg.plan_file import load_plan
from autoseg.records import from_json
from autoseg.registry import is_foreign

if TYPE_CHECKING:
    import torch


def open_bundle(
    folder: Path, folds: Sequence[str] | None = None, trust: bool = False
) -> BundleInfo:
    """Return what a bundle is, without its weights; `folds=None` means every trained fold.

    The fold "full", trained on all cases, is meant when it is named or alone: averaged with the
    folds of the cross-validation it would weigh no more than each of them.

    Raises UsageError when there is no bundle or not the fold that was asked for, CorruptError when
    a hash differs, when folds come from different plans, or when names need `trust`.
    """
    if not (folder / "card.json").is_file():
        raise UsageError("no model here", place=str(folder), expected="a bundle with card.json")
    card, plan, config = read_shared(folder)
    cards = {p.parent.name[5:]: _read_record(FoldCard, p) for p in _fold_cards(folder)}
    chosen = _choose_folds(folder, folds, cards, card.model_id)
    previous = _open_previous(folder, plan, card, trust)
    info = BundleInfo(
        folder, plan, card.configuration, card.size, config, chosen, cards, card, previous
    )
    if not trust:
        _refuse_foreign_code(info)
    return info


def read_card(folder: Path) -> BundleCard:
    """Return what `card.json` of a bundle holds; CorruptError when it is damaged or not ours."""
    card: BundleCard = _read_record(BundleCard, folder / "card.json")
    if card.format != FORMAT:
        raise CorruptError(f"format '{card.format}'", place=str(folder), expected=FORMAT)
    return card


def read_shared(folder: Path) -> tuple[BundleCard, Plan, TrainConfig]:
    """Return what all folds of a bundle share, its hashes verified."""
    card = read_card(folder)
    for name, digest in card.sha256.items():
        if name != PAGE:  # whoever corrects a word of it can still predict; `verify` tells
            check_hash(folder / Path(name).name, digest)
    try:
        plan = load_plan(folder / "plan.json")
    except DataError as error:  # the hash is right, so nobody edited it
        raise CorruptError(error.fact, place=error.place, expected=error.expected) from error
    return card, plan, _read_record(TrainConfig, folder / "train.json")


def _open_previous(folder: Path, plan: Plan, card: BundleCard, trust: bool) -> BundleInfo | None:
    if plan.configuration(card.configuration).previous is None:
        return None
    place = folder / PREVIOUS
    if not (place / "card.json").is_file():
        fact = f"the previous stage of {card.configuration} is missing from the bundle"
        raise CorruptError(fact, place=str(place), remedy="copy the bundle again")
    previous = open_bundle(place, None, trust)
    if stage_id(previous) != card.previous:
        raise CorruptError(
            "is not the previous stage that this model was trained with",
            place=str(place),
            remedy="copy the bundle again, or train the cascade again",
        )
    return previous


def load_bundle(folder: Path, folds: Sequence[str] | None = None, trust: bool = False) -> Bundle:
    """Return a bundle with the weights of `folds` (None: all) in memory, every hash verified."""
    info = open_bundle(folder, folds, trust)
    return _load(info)


def _load(info: BundleInfo) -> Bundle:
    weights = {fold: _load_weights(info, fold) for fold in info.folds}
    previous = _load(info.previous) if info.previous else None
    return Bundle(
        info.plan, info.configuration, info.size, info.config, weights, info.folder, previous
    )


def _load_weights(info: BundleInfo, fold: str) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = info.folder / f"fold_{fold}" / WEIGHTS
    check_hash(path, info.fold_cards[fold].sha256)
    try:
        tensors = load_file(path)
    except (SafetensorError, ValueError, OSError) as error:
        raise CorruptError(f"is not safetensors: {error}", place=str(path)) from error
    broken = [name for name, t in tensors.items() if not math.isfinite(float(t.double().sum()))]
    if broken:
        raise CorruptError(f"'{broken[0]}' holds NaN or infinity", place=str(path))
    return tensors


def _read_record(kind: type[Any], path: Path) -> Any:
    try:
        return from_json(kind, read_json(path), str(path))
    except DataError as error:  # our own file: damaged, not the user's data
        raise CorruptError(error.fact, place=error.place) from error


def _fold_cards(folder: Path) -> list[Path]:
    return sorted(folder.glob("fold_*/card.json"))


def check_hash(path: Path, expected: str, remedy: str = "copy the bundle again") -> None:
    """Raise CorruptError when the file is missing or its SHA-256 is another one."""
    if not path.is_file():
        raise CorruptError("is missing from the bundle", place=str(path), remedy=remedy)
    if sha256(path) != expected:
        raise CorruptError(
            "was changed or damaged after it was written",
            place=str(path),
            expected=f"SHA-256 {expected[:12]}...",
            remedy=remedy,
        )


def _choose_folds(
    folder: Path, folds: Sequence[str] | None, cards: Mapping[str, FoldCard], identity: str
) -> tuple[str, ...]:
    every = tuple(fold for fold in cards if not is_full(fold)) or tuple(cards)
    asked = every if folds is None else tuple(dict.fromkeys(str(fold) for fold in folds))
    if not cards:
        raise CorruptError("holds no fold", place=str(folder), remedy="train one first")
    missing = [fold for fold in asked if fold not in cards]
    # Not in the order they were asked for: sums of floats depend on it, results must not.
    chosen = tuple(fold for fold in cards if fold in asked)
    if missing:
        raise UsageError(
            f"fold {', '.join(missing)} is not in this model",
            place=str(folder),
            expected=f"one of the trained folds: {', '.join(cards)}",
            remedy="choose with -f, or train it first",
        )
    others = [fold for fold in chosen if cards[fold].model_id != identity]
    if others:
        same = " ".join(fold for fold in cards if cards[fold].model_id == identity)
        raise CorruptError(
            f"fold {', '.join(others)} was trained with another plan or previous stage",
            place=str(folder),
            remedy=f"use -f {same}, or train the others again",
        )
    return chosen


def _refuse_foreign_code(info: BundleInfo) -> None:
    network = info.design.network.name
    normalizers = info.plan.configuration(info.configuration).normalizers
    # What follows the colon of a normaliser may be its numbers; a network has none.
    foreign = [network] * (":" in network) + [name for name in normalizers if is_foreign(name)]
    if foreign:
        raise CorruptError(
            f"the model asks to import '{foreign[0]}'",
            place=str(info.folder),
            remedy="pass --trust if you trust its author",
        )
