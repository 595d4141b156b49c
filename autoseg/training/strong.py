"""Changes of intensities that only the augmentation "strong" makes, after nnU-Net's DA5.

Steps as in `intensities.py`. Each changes half of the channels of a chosen sample.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from autoseg.device import send
from autoseg.training.intensities import TINY, Draw, half_of_channels, padded

MEDIAN_SIZES = (3, 5, 7)  # voxels
BOXES, BOX_EDGES = (1, 5), (0.1, 1 / 3)  # how many, and their edges in patches
FIELD_CENTRES, FIELD_WIDTHS = (-0.5, 1.5), (1 / 6, 1.0)  # in patches: some lie outside
GRADIENT = (1.0, 5.0)  # at the highest place of the field
WEAKER, STRONGER = (0.01, 0.8), (1.5, 4.0)  # powers
SHARPNESS = (0.1, 1.0)


def median_filter(x: Tensor, draw: Draw) -> Tensor:
    """Replace voxels by the median of 3, 5 or 7 in a row, along one axis after another."""
    where, y, draw = half_of_channels(x, draw)
    sizes = draw.uniform(0, len(MEDIAN_SIZES), 1)[:, 0].astype(int)
    for channel, size in enumerate(sizes):
        part, width = y[channel : channel + 1], MEDIAN_SIZES[size]
        for axis in range(2 if draw.flat else 1, 4):
            part = padded(part, width // 2, axis).unfold(axis, width, 1).median(-1).values
        y[channel] = part[0]
    x[where] = y
    return x


def shift_brightness(x: Tensor, draw: Draw) -> Tensor:
    """Add a number with a standard deviation of one half."""
    where, y, draw = half_of_channels(x, draw)
    x[where] = y + _column(draw.rng.normal(0, 0.5, draw.count)[draw.here], y)
    return x


def blank_boxes(x: Tensor, draw: Draw) -> Tensor:
    """Fill one to five boxes with the mean of the channel."""
    where, y, draw = half_of_channels(x, draw)
    counts = draw.uniform(BOXES[0], BOXES[1] + 1, 1)[:, 0].astype(int)
    numbers = draw.uniform(0, 1, 2 * 3 * BOXES[1]).reshape(-1, BOXES[1], 2, 3)
    size = np.asarray(y.shape[1:])
    least, most = np.maximum(1, size * BOX_EDGES[0]), np.maximum(1, size * BOX_EDGES[1])
    for channel, count, drawn in zip(y, counts, numbers, strict=True):
        mean = channel.mean()
        for edge, place in drawn[:count]:
            edges = np.floor(least + edge * (most - least)).astype(int)
            start = np.floor(place * (size - edges + 1)).astype(int)
            channel[tuple(map(slice, start, start + edges))] = mean
    x[where] = y
    return x


def add_gradient(x: Tensor, draw: Draw) -> Tensor:
    """Add a smooth field that rises to 1 to 5, or falls to -1 to -5."""
    where, y, draw = half_of_channels(x, draw)
    height = draw.uniform(*GRADIENT, 1)[:, 0]
    sign = np.where(draw.uniform(0, 1, 1)[:, 0] < 0.5, -1.0, 1.0)
    x[where] = y.addcmul(_field(y, draw), _column(sign * height, y))
    return x


def change_gamma_locally(x: Tensor, draw: Draw) -> Tensor:
    """Raise intensities, scaled to 0..1, to a power where a smooth field is high."""
    where, y, draw = half_of_channels(x, draw)
    weaker = draw.uniform(0, 1, 1)[:, 0] < 0.5
    low_power, high_power = draw.uniform(*WEAKER, 1)[:, 0], draw.uniform(*STRONGER, 1)[:, 0]
    field = _field(y, draw)
    low, high = y.amin((1, 2, 3), keepdim=True), y.amax((1, 2, 3), keepdim=True)
    scaled = ((y - low) / (high - low + TINY)).clamp(0, 1)
    power = _column(np.where(weaker, low_power, high_power), y)
    x[where] = torch.lerp(scaled, scaled**power, field) * (high - low) + low
    return x


def sharpen(x: Tensor, draw: Draw) -> Tensor:
    """Add the difference to the mean of the neighbours, and clip to the range there was."""
    where, y, draw = half_of_channels(x, draw)
    strength = _column(draw.uniform(*SHARPNESS, 1)[:, 0], y)
    axes = [axis for axis in range(2 if draw.flat else 1, 4) if y.shape[axis] > 1]
    difference = torch.zeros_like(y)
    for axis in axes:
        around, length = padded(y, 1, axis), y.shape[axis]
        both = around.narrow(axis, 0, length) + around.narrow(axis, 2, length)
        difference += (y - both / 2) / len(axes)
    low, high = y.amin((1, 2, 3), keepdim=True), y.amax((1, 2, 3), keepdim=True)
    x[where] = y.addcmul(difference, strength).clamp(low, high)
    return x


def _field(y: Tensor, draw: Draw) -> Tensor:
    """Return Gaussian hills (m, *P) somewhere in or near the patch, 1 at their highest voxel."""
    field = torch.ones_like(y)
    for axis, length in enumerate(y.shape[1:]):
        centre = draw.uniform(*FIELD_CENTRES, 1) * length
        narrow, wide = (math.log(width) for width in FIELD_WIDTHS)
        width = np.exp(draw.uniform(narrow, wide, 1)) * length
        values = np.exp(-0.5 * ((np.arange(length) - centre) / width) ** 2)
        shape = [-1, *(length if a == axis else 1 for a in range(3))]
        field *= send(values, y.device, y.dtype).view(shape)
    return field / field.amax((1, 2, 3), keepdim=True)


def _column(values: np.ndarray, like: Tensor) -> Tensor:
    """Return one number per channel as (m, 1, 1, 1), on the device of `like`."""
    return send(values, like.device, like.dtype).view(-1, 1, 1, 1)
