"""Random changes of a whole batch, on the device it is on, that keep image and labels aligned.

What is done to a sample, and how strongly, is drawn on the host from the generator that is passed:
no step waits for the device, and a sample that is not chosen costs nothing. Kinds, probabilities
and ranges are nnU-Net's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from autoseg.config import TrainConfig
from autoseg.labels import Labels
from autoseg.plan import Design
from autoseg.registry import resolve
from autoseg.training.loader import Batch, Warp

Augmentation = Callable[[Batch, torch.Generator], Batch]

BLUR_RADIUS = 3  # voxels; three standard deviations of the widest blur
TINY = 1e-7  # keeps the contrast of a constant image defined


@dataclass(frozen=True)
class Draw:
    """Where the random numbers of a step come from, and whether slices are kept apart.

    They are drawn for all samples of the batch that the step was chosen for, here and on other
    ranks, so that a sample becomes the same wherever it is.
    """

    rng: np.random.Generator  # on the host: what is done, and how strongly
    noise: torch.Generator  # on the device
    flat: bool
    count: int  # of chosen samples in the whole batch
    here: np.ndarray  # which of them are in this batch: (n,) ascending

    def uniform(self, low: float, high: float, columns: int) -> np.ndarray:
        """Return numbers (n, columns) for the samples that are here."""
        return self.rng.uniform(low, high, (self.count, columns))[self.here]


Step = Callable[[Tensor, Draw], Tensor]  # (n, C, *P) -> (n, C, *P)


def build_augmentation(
    design: Design, config: TrainConfig, labels: Labels, left_right_axis: int | None
) -> Augmentation:
    """Return `(Batch, generator) -> Batch` by the name in `config.augmentation`.

    `left_right_axis` (0, 1, 2) is the axis of prepared arrays along which mirroring exchanges
    sides.
    """
    make = resolve("augmentation", config.augmentation, AUGMENTATIONS)
    augmentation: Augmentation = make(design, config, labels, left_right_axis)
    return augmentation if config.augmentation in AUGMENTATIONS else of_each_rank(augmentation)


def of_each_rank(augmentation: Augmentation) -> Augmentation:
    """Return one that draws other random numbers on every rank.

    A function of the user's draws for the samples that it sees: with the same numbers, the first
    sample of every rank would be changed alike.
    """

    def augment(batch: Batch, generator: torch.Generator) -> Batch:
        if batch.ranks.rank > 0:
            generator.manual_seed(generator.initial_seed() + batch.ranks.rank)
        return augmentation(batch, generator)

    return augment


def make_default(
    design: Design, config: TrainConfig, labels: Labels, left_right_axis: int | None
) -> Augmentation:
    """Rotate and scale, blur and add noise, change intensities, mirror."""
    axes = config.mirror_axes
    axes = ((1, 2) if design.is_2d else (0, 1, 2)) if axes is None else axes
    partner = torch.from_numpy(labels.mirrored_indices.copy()) if labels.pairs else None

    def augment(batch: Batch, generator: torch.Generator) -> Batch:
        rng = host_rng(generator)
        batch = apply_warps(batch)
        image = batch.image.clone()
        for probability, step in STEPS:
            chosen, here = choose_samples(batch, probability, rng)
            if len(chosen):
                draw = Draw(rng, generator, design.dummy_2d, len(chosen), here)
                index = torch.from_numpy(chosen[here] - batch.first).to(image.device)
                image[index] = step(image[index], draw)
        target = batch.target.clone()
        previous = None if batch.previous is None else batch.previous.clone()
        for axis in axes:
            chosen, here = choose_samples(batch, MIRROR_PROBABILITY, rng)
            exchanged = partner if axis == left_right_axis else None
            mine = chosen[here] - batch.first
            mirror_samples(image, (target, previous), mine, axis, exchanged)
        return dataclasses.replace(batch, image=image, target=target, previous=previous)

    return augment


def make_none(
    design: Design, config: TrainConfig, labels: Labels, left_right_axis: int | None
) -> Augmentation:
    """Leave every batch as it is."""
    return lambda batch, generator: batch


AUGMENTATIONS: dict[str, Callable[[Design, TrainConfig, Labels, int], Augmentation]] = {
    "default": make_default,
    "none": make_none,
}


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


# --- geometry ------------------------------------------------------------------------------------


def apply_warps(batch: Batch) -> Batch:
    """Fill the samples named in `batch.warps`: linear for the image, nearest for the labels.

    One set of coordinates serves all, so they cannot come apart. Outside the scan: 0, background.
    """
    if not batch.warps:
        return batch
    image, target = batch.image.clone(), batch.target.clone()
    previous = None if batch.previous is None else batch.previous.clone()
    for warp in batch.warps:
        grid = warp_grid(warp, tuple(target.shape[1:])).to(image.device)
        values = warp.image.to(image.device)
        image[warp.sample] = functional.grid_sample(values[None], grid, align_corners=False)[0]
        for whole, part in ((target, warp.target), (previous, warp.previous)):
            if whole is not None and part is not None:
                whole[warp.sample] = _nearest(part.to(image.device), grid).to(whole.dtype)
    return dataclasses.replace(batch, image=image, target=target, previous=previous, warps=())


def _nearest(indices: Tensor, grid: Tensor) -> Tensor:
    """Return value indices (*Q) at the places of `grid` as (*P) float32."""
    values = indices[None, None].float()
    return functional.grid_sample(values, grid, mode="nearest", align_corners=False)[0, 0]


def warp_grid(warp: Warp, patch_size: Sequence[int]) -> Tensor:
    """Return where each voxel of the patch comes from: (1, *P, 3), as `grid_sample` wants it.

    That is (x, y, z) between -1 and 1, the outer faces of the first and the last voxel.
    """
    size = torch.tensor(warp.target.shape)
    grid = (2 * warp.centre + 1) / size - 1
    for axis, length in enumerate(patch_size):
        offsets = torch.arange(length) - (length - 1) / 2
        step = offsets[:, None] * (2 * warp.matrix[:, axis] / size)
        grid = grid + step.view([-1 if a == axis else 1 for a in range(3)] + [3])
    return grid.flip(-1)[None]


def mirror_samples(
    image: Tensor,
    label_maps: Sequence[Tensor | None],
    chosen: np.ndarray,
    axis: int,
    partner: Tensor | None,
) -> None:
    """Reverse `axis` of the chosen samples in place, of `image` and of every label map there is.

    `partner` exchanges value indices.
    """
    if not len(chosen):
        return
    index = torch.from_numpy(chosen).to(image.device)
    image[index] = image[index].flip(axis + 2)
    for label_map in label_maps:
        if label_map is None:
            continue
        mirrored = label_map[index].flip(axis + 1)
        if partner is not None:
            mirrored = partner.to(image.device)[mirrored.long()]
        label_map[index] = mirrored


# --- intensities: every step gets the chosen samples (n, C, *P) and may change them in place ------


def add_noise(x: Tensor, draw: Draw) -> Tensor:
    """Add Gaussian noise with a standard deviation of up to 0.1, the same in all channels."""
    strength = _parameters(draw.uniform(0, 0.1, 1), x)
    shape = (draw.count, *x.shape[1:])
    noise = torch.randn(shape, generator=draw.noise, device=x.device, dtype=x.dtype)
    if len(x) < draw.count:
        noise = noise[torch.from_numpy(draw.here).to(x.device)]
    return x.addcmul_(noise, strength)


def blur(x: Tensor, draw: Draw) -> Tensor:
    """Smooth half of the channels with a Gaussian of 0.5 to 1 voxels, drawn per axis."""
    where, y, draw = _half_of_channels(x, draw)
    for axis in range(1, y.ndim):
        sigma = draw.uniform(0.5, 1.0, 1)
        if y.shape[axis] == 1:
            continue
        offsets = np.arange(-BLUR_RADIUS, BLUR_RADIUS + 1)
        weights = np.exp(-0.5 * (offsets / sigma) ** 2)
        weights /= weights.sum(1, keepdims=True)
        y = _weighted_neighbours(y, torch.from_numpy(weights).to(y), axis)
    x[where] = y
    return x


def change_brightness(x: Tensor, draw: Draw) -> Tensor:
    """Multiply each channel by a factor around 1."""
    return x.mul_(_parameters(_around_one(draw, 0.75, 1.25, x.shape[1]), x))


def change_contrast(x: Tensor, draw: Draw) -> Tensor:
    """Stretch each channel about its mean, and clip to the range it had."""
    factor = _parameters(_around_one(draw, 0.75, 1.25, x.shape[1]), x)
    mean = x.mean((2, 3, 4), keepdim=True)
    low, high = x.amin((2, 3, 4), keepdim=True), x.amax((2, 3, 4), keepdim=True)
    return torch.lerp(mean, x, factor).clamp_(low, high)


def lower_resolution(x: Tensor, draw: Draw) -> Tensor:
    """Take half of the channels through a grid of half to full resolution, never across slices
    of flat patches.
    """
    where, y, draw = _half_of_channels(x, draw)
    for channel, scale in zip(y, draw.uniform(0.5, 1.0, 1)[:, 0], strict=True):
        size = [max(1, round(length * scale)) for length in channel.shape]
        if draw.flat:
            size[0] = channel.shape[0]
        coarse = functional.interpolate(channel[None, None], size, mode="nearest-exact")
        channel.copy_(functional.interpolate(coarse, channel.shape, mode="trilinear")[0, 0])
    x[where] = y
    return x


def change_gamma(x: Tensor, draw: Draw) -> Tensor:
    """Raise each channel, scaled to 0..1, to a power around 1; keep its mean and deviation."""
    gamma = _parameters(_around_one(draw, 0.7, 1.5, x.shape[1]), x)
    if not len(x):
        return x  # all on other ranks; the numbers had to be drawn
    std, mean = torch.std_mean(x, (2, 3, 4), keepdim=True)
    low, high = x.amin((2, 3, 4), keepdim=True), x.amax((2, 3, 4), keepdim=True)
    y = ((x - low) / (high - low + TINY)).clamp_(0, 1).pow_(gamma)
    new_std, new_mean = torch.std_mean(y, (2, 3, 4), keepdim=True)
    return y.sub_(new_mean).mul_(std / (new_std + TINY)).add_(mean)


def change_gamma_inverted(x: Tensor, draw: Draw) -> Tensor:
    """Do `change_gamma` on the negative."""
    return change_gamma(x.neg_(), draw).neg_()


MIRROR_PROBABILITY = 0.5  # per axis
STEPS: tuple[tuple[float, Step], ...] = (
    (0.1, add_noise),
    (0.2, blur),
    (0.15, change_brightness),
    (0.15, change_contrast),
    (0.25, lower_resolution),
    (0.1, change_gamma_inverted),
    (0.3, change_gamma),
)


def _parameters(values: np.ndarray, like: Tensor) -> Tensor:
    """Return one number per sample and channel as (n, C, 1, 1, 1), on the device of `like`."""
    return torch.from_numpy(values).to(like)[:, :, None, None, None]


def _around_one(draw: Draw, low: float, high: float, columns: int) -> np.ndarray:
    """Draw factors (n, columns): half of them between `low` and 1, half between 1 and `high`."""
    below = draw.uniform(0, 1, columns) < 0.5
    return np.where(below, draw.uniform(low, 1, columns), draw.uniform(1, high, columns))


def _half_of_channels(x: Tensor, draw: Draw) -> tuple[tuple[Tensor, Tensor], Tensor, Draw]:
    """Choose channels of `x` (n, C, *P): their index, the channels (m, *P), and a draw for them."""
    samples, channels = np.nonzero(draw.rng.random((draw.count, x.shape[1])) < 0.5)
    here = np.flatnonzero(np.isin(samples, draw.here))
    rows = np.searchsorted(draw.here, samples[here])
    where = torch.from_numpy(rows).to(x.device), torch.from_numpy(channels[here]).to(x.device)
    return where, x[where], dataclasses.replace(draw, count=len(samples), here=here)


def _weighted_neighbours(y: Tensor, weights: Tensor, axis: int) -> Tensor:
    """Return the sums over neighbours along `axis` of (m, *P), with `weights` (m, 2 radius + 1)."""
    length, radius = y.shape[axis], weights.shape[1] // 2
    index = torch.arange(-radius, length + radius, device=y.device).clamp_(0, length - 1)
    padded = y.index_select(axis, index)  # the edge repeated
    total = torch.zeros_like(y)
    for k in range(weights.shape[1]):
        total.addcmul_(padded.narrow(axis, k, length), weights[:, k].view(-1, 1, 1, 1))
    return total
