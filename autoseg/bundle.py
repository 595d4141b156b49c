"""A model as a folder that can be mailed: JSON and safetensors, every file listed with its hash.

    bundle/  plan.json  train.json  card.json  MODEL_CARD.md      what all folds share
             fold_0/  weights.safetensors  card.json  test.json   one folder per trained fold
             previous/                            of a cascade: the bundle of its first stage

Nothing in it is a pickle, names a path of the author's machine, or imports code without `trust`.
It is written by `bundle_writer.py` and read by `bundle_reader.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoseg.architectures import for_patch
from autoseg.card import ModelCard
from autoseg.config import TrainConfig
from autoseg.image import CANONICAL
from autoseg.members import is_full
from autoseg.plan import Configuration, Design, Plan
from autoseg.records import fingerprint_of, to_json

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
    for name in ("sizes", "preset", "recipe", "train"):  # how it came about and how to learn
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


def describe(info: BundleInfo) -> str:
    """Return one line: configuration, size, folds.

    `3d_fullres-S, fold 0`
    """
    word = "fold" if len(info.folds) == 1 else "folds"
    apart = [fold for fold in info.fold_cards if is_full(fold) and fold not in info.folds]
    without = f" (without {' '.join(apart)}: -f {apart[0]} takes it)" if apart else ""
    return f"{info.configuration}-{info.size}, {word} {' '.join(info.folds)}{without}"
