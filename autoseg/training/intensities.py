"""Random changes of intensities. Every step gets the chosen samples (n, C, *P) of a batch.

It may change them in place. What is drawn is drawn on the host: no step waits for the device.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from autoseg.device import send

BLUR_REACH = 3  # standard deviations
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


def add_noise(x: Tensor, draw: Draw) -> Tensor:
    """Add Gaussian noise with a standard deviation of up to 0.1, the same in all channels."""
    strength = parameters(draw.uniform(0, 0.1, 1), x)
    shape = (draw.count, *x.shape[1:])
    noise = torch.randn(shape, generator=draw.noise, device=x.device, dtype=x.dtype)
    if len(x) < draw.count:
        noise = noise[send(draw.here, x.device)]
    return x.addcmul_(noise, strength)


def add_salt_and_pepper(x: Tensor, draw: Draw, most: float = 0.02) -> Tensor:
    """Put the highest or the lowest value of its channel into up to `most` of the voxels."""
    share = parameters(draw.uniform(0, most, 1), x)
    noise = torch.rand((draw.count, *x.shape[1:]), generator=draw.noise, device=x.device)
    if len(x) < draw.count:
        noise = noise[send(draw.here, x.device)]
    low, high = x.amin((2, 3, 4), keepdim=True), x.amax((2, 3, 4), keepdim=True)
    x = torch.where(noise < share / 2, low, x)
    return torch.where(noise > 1 - share / 2, high, x)


def blur(x: Tensor, draw: Draw, least: float = 0.5, most: float = 1.0) -> Tensor:
    """Smooth half of the channels with a Gaussian of `least` to `most` voxels, drawn per axis."""
    radius = math.ceil(BLUR_REACH * most)
    where, y, draw = half_of_channels(x, draw)
    for axis in range(1, y.ndim):
        sigma = draw.uniform(least, most, 1)
        if y.shape[axis] == 1:
            continue
        offsets = np.arange(-radius, radius + 1)
        weights = np.exp(-0.5 * (offsets / sigma) ** 2)
        weights /= weights.sum(1, keepdims=True)
        y = _weighted_neighbours(y, send(weights, y.device, y.dtype), axis)
    x[where] = y
    return x


def change_brightness(x: Tensor, draw: Draw) -> Tensor:
    """Multiply each channel by a factor around 1."""
    return x.mul_(parameters(around_one(draw, 0.75, 1.25, x.shape[1]), x))


def change_contrast(
    x: Tensor, draw: Draw, least: float = 0.75, most: float = 1.25, clipped: bool = True
) -> Tensor:
    """Stretch each channel about its mean; `clipped` to the range it had."""
    factor = parameters(around_one(draw, least, most, x.shape[1]), x)
    mean = x.mean((2, 3, 4), keepdim=True)
    low, high = x.amin((2, 3, 4), keepdim=True), x.amax((2, 3, 4), keepdim=True)
    stretched = torch.lerp(mean, x, factor)
    return stretched.clamp_(low, high) if clipped else stretched


def lower_resolution(x: Tensor, draw: Draw, least: float = 0.5) -> Tensor:
    """Take half of the channels through a grid of `least` to full resolution.

    Never across the slices of flat patches.
    """
    where, y, draw = half_of_channels(x, draw)
    for channel, scale in zip(y, draw.uniform(least, 1.0, 1)[:, 0], strict=True):
        size = [max(1, round(length * scale)) for length in channel.shape]
        if draw.flat:
            size[0] = channel.shape[0]
        coarse = functional.interpolate(channel[None, None], size, mode="nearest-exact")
        channel.copy_(functional.interpolate(coarse, channel.shape, mode="trilinear")[0, 0])
    x[where] = y
    return x


def change_gamma(x: Tensor, draw: Draw) -> Tensor:
    """Raise each channel, scaled to 0..1, to a power around 1; keep its mean and deviation."""
    gamma = parameters(around_one(draw, 0.7, 1.5, x.shape[1]), x)
    if not len(x):
        return x  # all on other ranks; the numbers had to be drawn
    mean = x.mean((2, 3, 4), keepdim=True)
    std = _deviation(x - mean)
    low, high = x.amin((2, 3, 4), keepdim=True), x.amax((2, 3, 4), keepdim=True)
    y = ((x - low) / (high - low + TINY)).clamp_(0, 1).pow_(gamma)
    y -= y.mean((2, 3, 4), keepdim=True)
    return y.mul_(std / (_deviation(y) + TINY)).add_(mean)


def _deviation(centred: Tensor) -> Tensor:
    """Return the deviation of each channel (n, C, 1, 1, 1) of `centred`, whose means are zero.

    Ten times faster than torch.std on a CPU, which goes through the voxels one after the other.
    """
    return centred.square().mean((2, 3, 4), keepdim=True).sqrt_()


def change_gamma_inverted(x: Tensor, draw: Draw) -> Tensor:
    """Do `change_gamma` on the negative."""
    return change_gamma(x.neg_(), draw).neg_()


def parameters(values: np.ndarray, like: Tensor) -> Tensor:
    """Return one number per sample and channel as (n, C, 1, 1, 1), on the device of `like`."""
    return send(values, like.device, like.dtype)[:, :, None, None, None]


def around_one(draw: Draw, low: float, high: float, columns: int) -> np.ndarray:
    """Draw factors (n, columns): half of them between `low` and 1, half between 1 and `high`."""
    below = draw.uniform(0, 1, columns) < 0.5
    return np.where(below, draw.uniform(low, 1, columns), draw.uniform(1, high, columns))


def half_of_channels(x: Tensor, draw: Draw) -> tuple[tuple[Tensor, Tensor], Tensor, Draw]:
    """Choose channels of `x` (n, C, *P): their index, the channels (m, *P), and a draw for them."""
    samples, channels = np.nonzero(draw.rng.random((draw.count, x.shape[1])) < 0.5)
    here = np.flatnonzero(np.isin(samples, draw.here))
    rows = np.searchsorted(draw.here, samples[here])
    where = send(rows, x.device), send(channels[here], x.device)
    return where, x[where], dataclasses.replace(draw, count=len(samples), here=here)


def padded(y: Tensor, radius: int, axis: int) -> Tensor:
    """Return `y` (m, *P) longer by `radius` at both ends of `axis`, the edges repeated."""
    index = torch.arange(-radius, y.shape[axis] + radius, device=y.device)
    return y.index_select(axis, index.clamp_(0, y.shape[axis] - 1))


def _weighted_neighbours(y: Tensor, weights: Tensor, axis: int) -> Tensor:
    """Return the sums over neighbours along `axis` of (m, *P), with `weights` (m, 2 radius + 1)."""
    around, total = padded(y, weights.shape[1] // 2, axis), torch.zeros_like(y)
    for k in range(weights.shape[1]):
        part = around.narrow(axis, k, y.shape[axis])
        total.addcmul_(part, weights[:, k].view(-1, 1, 1, 1))
    return total
