"""Random changes of a whole batch, on the device it is on, that keep image and labels aligned.

What is done to a sample, and how strongly, is drawn on the host from the generator that is passed:
no step waits for the device, and a sample that is not chosen costs nothing.

- "default": kinds, probabilities and ranges are nnU-Net's.
- "light": mirrored, with noise, other brightness and contrast; nothing that costs time.
- "strong": what nnU-Net calls DA5, with more of everything and some kinds more.
- "none".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from autoseg.bundle import mirrored_axes
from autoseg.config import TrainConfig
from autoseg.device import constant, send
from autoseg.errors import UsageError, suggest
from autoseg.labels import Labels
from autoseg.plan import Design
from autoseg.registry import resolve
from autoseg.training import intensities, strong
from autoseg.training.batch import Batch
from autoseg.training.geometry import KINDS as TRANSFORM_KINDS
from autoseg.training.geometry import added_kinds, keeps_slices_apart, kinds_of
from autoseg.training.intensities import Draw, Step
from autoseg.training.warps import apply_warps

Augmentation = Callable[[Batch, torch.Generator], Batch]

MIRROR_PROBABILITY = 0.5  # per axis


@dataclass(frozen=True)
class Change:
    """What happens to a sample with some probability."""

    name: str  # for `augmentation_without`
    probability: float
    step: Step


CHANGES: dict[str, tuple[Change, ...]] = {
    "default": (
        Change("noise", 0.1, intensities.add_noise),
        Change("blur", 0.2, intensities.blur),
        Change("brightness", 0.15, intensities.change_brightness),
        Change("contrast", 0.15, intensities.change_contrast),
        Change("low_resolution", 0.25, intensities.lower_resolution),
        Change("gamma_inverted", 0.1, intensities.change_gamma_inverted),
        Change("gamma", 0.3, intensities.change_gamma),
    ),
    "light": (
        Change("noise", 0.1, intensities.add_noise),
        Change("brightness", 0.15, intensities.change_brightness),
        Change("contrast", 0.15, intensities.change_contrast),
    ),
    "strong": (
        Change("median", 0.1, strong.median_filter),
        Change("blur", 0.1, partial(intensities.blur, least=0.3, most=1.5)),
        Change("noise", 0.1, intensities.add_noise),
        Change("brightness", 0.1, strong.shift_brightness),
        Change("contrast", 0.1, partial(intensities.change_contrast, least=0.5, most=2.0)),
        Change(
            "contrast",
            0.1,
            partial(intensities.change_contrast, least=0.5, most=2.0, clipped=False),
        ),
        Change("low_resolution", 0.15, partial(intensities.lower_resolution, least=0.25)),
        Change("gamma_inverted", 0.1, intensities.change_gamma_inverted),
        Change("gamma", 0.1, intensities.change_gamma),
        Change("blank", 0.4, strong.blank_boxes),
        Change("gradient", 0.3, strong.add_gradient),
        Change("local_gamma", 0.3, strong.change_gamma_locally),
        Change("sharpening", 0.2, strong.sharpen),
    ),
}
# What `augmentation_with` may add: kinds of the sets above, the first set that has one says how
# likely it is, and these.
FURTHER = (Change("salt_and_pepper", 0.1, intensities.add_salt_and_pepper),)
KINDS = {change.name: change for changes in reversed(CHANGES.values()) for change in changes} | {
    change.name: change for change in FURTHER
}


def build_augmentation(
    design: Design, config: TrainConfig, labels: Labels, left_right_axis: int | None
) -> Augmentation:
    """Return `(Batch, generator) -> Batch` by the name in `config.augmentation`.

    `left_right_axis` (0, 1, 2) is the axis of prepared arrays along which mirroring exchanges
    sides.
    """
    make = resolve("augmentation", config.augmentation, AUGMENTATIONS)
    if config.augmentation == "none" and config.augmentation_with:
        make = make_chain
    augmentation: Augmentation = make(design, config, labels, left_right_axis)
    return (
        augmentation
        if config.augmentation in AUGMENTATIONS
        else of_each_rank(augmentation, config.augmentation)
    )


def of_each_rank(augmentation: Augmentation, name: str) -> Augmentation:
    """Return one that draws other random numbers on every rank, and must give a batch.

    A function of the user's draws for the samples that it sees: with the same numbers, the first
    sample of every rank would be changed alike.
    """

    def augment(batch: Batch, generator: torch.Generator) -> Batch:
        if batch.ranks.rank > 0:
            generator.manual_seed(generator.initial_seed() + batch.ranks.rank)
        changed = augmentation(batch, generator)
        if not isinstance(changed, Batch):
            fact = f"augmentation '{name}' returned a {type(changed).__name__}"
            raise UsageError(fact, expected="a Batch")
        return changed

    return augment


def make_chain(
    design: Design, config: TrainConfig, labels: Labels, left_right_axis: int | None
) -> Augmentation:
    """Rotate and scale as the loader has drawn it, change intensities, mirror."""
    steps = [
        (min(1.0, change.probability * config.augmentation_strength), change.step)
        for change in changes_of(config)
    ]
    axes = mirrored_axes(config, design)
    apart = keeps_slices_apart(config, design)
    partner = labels.mirrored_indices if labels.pairs else None

    def augment(batch: Batch, generator: torch.Generator) -> Batch:
        rng = host_rng(generator)
        batch = apply_warps(batch)
        image = batch.image.clone()
        for probability, step in steps:
            chosen, here = choose_samples(batch, probability, rng)
            if len(chosen):
                draw = Draw(rng, generator, apart, len(chosen), here)
                index = send(chosen[here] - batch.first, image.device)
                image[index] = step(image[index], draw)
        target = batch.target.clone()
        previous = None if batch.previous is None else batch.previous.clone()
        reversed_axes: list[list[int]] = [[] for _ in image]
        for axis in axes:
            chosen, here = choose_samples(batch, MIRROR_PROBABILITY, rng)
            for sample in chosen[here] - batch.first:
                reversed_axes[sample].append(axis)
        maps = [target] if previous is None else [target, previous]
        for sample, own in enumerate(reversed_axes):
            exchanged = partner if left_right_axis in own else None
            mirror(image[sample], [label_map[sample] for label_map in maps], own, exchanged)
        return dataclasses.replace(batch, image=image, target=target, previous=previous)

    return augment


def changes_of(config: TrainConfig) -> list[Change]:
    """Return the changes of intensities that `config` asks for, in the order of the sets."""
    added = added_kinds(config)
    without = {*config.augmentation_without, *added}
    changes = [c for c in CHANGES.get(config.augmentation, ()) if c.name not in without]
    for name, probability in added.items():
        if name in KINDS:
            known = KINDS[name]
            chance = known.probability if probability is None else probability
            changes.append(dataclasses.replace(known, probability=chance))
    return changes


def make_none(
    design: Design, config: TrainConfig, labels: Labels, left_right_axis: int | None
) -> Augmentation:
    """Leave every batch as it is."""
    return lambda batch, generator: batch


AUGMENTATIONS: dict[str, Callable[[Design, TrainConfig, Labels, int], Augmentation]] = {
    **dict.fromkeys(CHANGES, make_chain),
    "none": make_none,
}


def check_augmentation(config: TrainConfig) -> None:
    """Raise UsageError for an augmentation that does not exist, or kinds that it does not have."""
    resolve("augmentation", config.augmentation, AUGMENTATIONS)
    if config.augmentation not in AUGMENTATIONS:
        return
    known = {*KINDS, *TRANSFORM_KINDS}
    for name in added_kinds(config):
        if name not in known:
            remedy = suggest(name, known)
            raise UsageError(f"augmentation_with={name}: there is no such kind", remedy=remedy)
    known = {change.name for change in CHANGES.get(config.augmentation, ())}
    known |= set(kinds_of(config.augmentation))
    for name in config.augmentation_without:
        if name not in known:
            raise UsageError(
                f"augmentation_without={name}: {config.augmentation} has no such kind",
                remedy=suggest(name, known),
            )


def choose_samples(
    batch: Batch, probability: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of the chosen samples in the whole batch, and which of them are here."""
    count = len(batch.image)
    whole = count if batch.whole is None else batch.whole
    chosen = np.flatnonzero(rng.random(whole) < probability)
    return chosen, np.flatnonzero((chosen >= batch.first) & (chosen < batch.first + count))


def host_rng(generator: torch.Generator) -> np.random.Generator:
    """Return random numbers on the host that follow from the state of `generator`, and move it on.

    A GPU's state is known to the host, so that this does not wait for the GPU.
    """
    if generator.device.type == "cpu":
        return np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
    state = generator.get_state().numpy()
    torch.rand(1, generator=generator, device=generator.device)
    return np.random.default_rng(state)


def mirror(
    image: Tensor, label_maps: Sequence[Tensor], axes: Sequence[int], partner: np.ndarray | None
) -> None:
    """Reverse `axes` of one sample in place: of its image (C, *P) and its label maps (*P).

    `partner` exchanges value indices.
    """
    if not axes:
        return
    image.copy_(image.flip([axis + 1 for axis in axes]))
    for label_map in label_maps:
        mirrored = label_map.flip(list(axes))
        if partner is not None:
            mirrored = constant(partner, image.device)[mirrored.long()]
        label_map.copy_(mirrored)
