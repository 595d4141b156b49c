"""Images as a network wants them, and its scores back on their grid: `fit -> (x, place)`, `unfit`.

Networks that halve resolutions a fixed number of times take any size so: zeros go around the image,
and what they became is cut off the scores.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

Place = tuple[slice, ...]


def fit(image: Tensor, divisor: int, flat: bool) -> tuple[Tensor, Place]:
    """Return `image` (B, C, *P) with every axis a multiple of `divisor`, and where it lies in it.

    `flat`: P = (1, Y, X) loses its first axis. Zeros are added on both sides, one more at the end
    where their number is odd.
    """
    x = image.squeeze(2) if flat else image
    missing = [-size % divisor for size in x.shape[2:]]
    place = tuple(slice(m // 2, m // 2 + s) for m, s in zip(missing, x.shape[2:], strict=True))
    if any(missing):
        sides = [side for m in reversed(missing) for side in (m // 2, m - m // 2)]
        x = functional.pad(x, sides)
    return channels_last(x), place


def unfit(scores: Tensor, place: Place, flat: bool) -> Tensor:
    """Return the scores (B, K, *P) of an image that `fit` changed."""
    cut = scores[(slice(None), slice(None), *place)]
    return cut.unsqueeze(2) if flat else cut


def channels_last(x: Tensor) -> Tensor:
    """Return `x` (B, C, *S) in the layout in which CPUs convolve faster; layers hand it on."""
    if x.device.type != "cpu":
        return x
    last = torch.channels_last if x.ndim == 4 else torch.channels_last_3d
    # Not x.contiguous(memory_format=last): with one channel that changes nothing, and all that
    # follows would have the other layout.
    return torch.empty_like(x, memory_format=last).copy_(x)
