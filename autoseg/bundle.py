"""A model as a folder that can be mailed: JSON and safetensors, every file listed with its hash.

    bundle/  plan.json  train.json  card.json  MODEL_CARD.md      what all folds share
             fold_0/  weights.safetensors  card.json  test.json   one folder per trained fold
             previous/                            of a cascade: the bundle of its first stage

Nothing in it is a pickle, names a path of the author's machine, or imports code without `trust`.
PyTorch is loaded only when weights are read, so a bundle can be looked at without it. Bundles are
written by `bundle_writer.py`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoseg.architectures import for_patch
from autoseg.card import ModelCard
from autoseg.config import TrainConfig
from autoseg.errors import CorruptError, DataError, UsageError
from autoseg.files import read_json, sha256
from autoseg.image import CANONICAL
from autoseg.members import is_full
from autoseg.plan import Configuration, Design, Plan, load_plan
from autoseg.records import fingerprint_of, from_json, to_json
from autoseg.registry import is_foreign

if TYPE_CHECKING:
    import torch

FORMAT = "autoseg-bundle-1"
WEIGHTS = "weights.safetensors"
TEST = "test.json"  # a made-up case and what the fold makes of it
PAGE = "MODEL_CARD.md"  # for people; nothing depends on it
PREVIOUS = "previous"


@dataclass(frozen=True)
class BundleCard:
    """What `card.json` of a bundle holds: which model this is, and hashes of the shared files."""

    format: str
    dataset: str
    configuration: str
    size: str
    model_id: str  # hash of everything that shapes the network and its input
    sha256: Mapping[str, str]
    version: str = ""
    model_card: ModelCard = field(default_factory=ModelCard)
    previous: str = ""  # `stage_id` of the bundle in previous/


@dataclass(frozen=True)
class FoldCard:
    """What `fold_<f>/card.json` holds: hashes of weights and test, and how they were trained."""

    fold: str
    model_id: str
    sha256: str
    card: Mapping[str, Any]
    test_sha256: str = ""  # empty: no test case, as in bundles of older versions


@dataclass(frozen=True)
class BundleInfo:
    """A bundle without its weights: enough to check inputs before anything heavy is loaded."""

    folder: Path
    plan: Plan
    configuration: str
    size: str
    config: TrainConfig
    folds: tuple[str, ...]  # the trained folds, or those of them that were asked for
    fold_cards: Mapping[str, FoldCard]
    card: BundleCard
    previous: BundleInfo | None = None  # of a cascade: its first stage

    @property
    def design(self) -> Design:
        """Patch, batch and network, with what the training configuration changed."""
        return trained_design(self.plan, self.configuration, self.size, self.config)


@dataclass(frozen=True)
class Bundle:
    """A model: one state dict per fold, and everything needed to use it."""

    plan: Plan
    configuration: str
    size: str
    config: TrainConfig
    weights: Mapping[str, Mapping[str, torch.Tensor]]
    folder: Path
    previous: Bundle | None = None  # of a cascade: its first stage

    @property
    def design(self) -> Design:
        """Patch, batch and network, with what the training configuration changed."""
        return trained_design(self.plan, self.configuration, self.size, self.config)

    @property
    def stages(self) -> tuple[Bundle, ...]:
        """The bundles that predict one after the other; this one is the last."""
        return (*self.previous.stages, self) if self.previous else (self,)

    @property
    def settings(self) -> Configuration:
        """The configuration of the plan that this model was trained in."""
        return self.plan.configuration(self.configuration)


def trained_design(plan: Plan, configuration: str, size: str, config: TrainConfig) -> Design:
    """Return the design of `size` with the patch and batch size that `config` sets, if any."""
    design = plan.configuration(configuration).design(size)
    patch_size = config.patch_size or design.patch_size
    return dataclasses.replace(
        design,
        patch_size=patch_size,
        batch_size=config.batch_size or design.batch_size,
        network=for_patch(design.network, patch_size),
    )


def mirrored_axes(config: TrainConfig, design: Design) -> tuple[int, ...]:
    """Return the axes of prepared arrays along which patches were mirrored in training.

    Prediction may mirror along those only: a network that has not seen mirror images errs on them.
    """
    if config.mirror_axes is not None:
        return config.mirror_axes
    if config.augmentation == "none":
        return ()
    return (1, 2) if design.is_2d else (0, 1, 2)


def model_id(
    plan: Plan, configuration: str, size: str, config: TrainConfig, previous: str = ""
) -> str:
    """Return a hash of all that shapes the network, its input and its output, and of nothing else.

    Folds with the same id may be averaged. `previous` is the `stage_id` of a cascade's first stage.
    """
    settings = to_json(plan.configuration(configuration))
    for name in ("sizes", "preset", "train"):  # how it came about and how to learn
        settings.pop(name, None)
    # The names once more: the hash sorts keys, but the order of targets is that of the channels.
    names = plan.labels.names
    shared: tuple[Any, ...] = (
        plan.channels, plan.labels, names, plan.axis_order, plan.intensities
    )  # fmt: skip
    if plan.orientation != CANONICAL:  # models of older versions keep their id
        shared = (*shared, plan.orientation)
    if previous:
        shared = (*shared, previous)
    design = trained_design(plan, configuration, size, config)
    return fingerprint_of([*shared, settings, design.patch_size, design.network])


def stage_id(previous: BundleInfo | None) -> str:
    """Return a hash of a cascade's first stage: its model and the weights of its chosen folds."""
    if previous is None:
        return ""
    cards = [previous.fold_cards[fold] for fold in sorted(previous.folds)]
    return fingerprint_of([[card.fold, card.model_id, card.sha256] for card in cards])


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


def describe(info: BundleInfo) -> str:
    """Return one line: configuration, size, folds.

    `3d_fullres-S, fold 0`
    """
    word = "fold" if len(info.folds) == 1 else "folds"
    apart = [fold for fold in info.fold_cards if is_full(fold) and fold not in info.folds]
    without = f" (without {' '.join(apart)}: -f {apart[0]} takes it)" if apart else ""
    return f"{info.configuration}-{info.size}, {word} {' '.join(info.folds)}{without}"
