"""Attention of Roy 2018 (arXiv 1803.02579): gates for channels, and gates for places."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autoseg.networks.blocks import CONVOLUTION


class Scse(nn.Module):
    """Weighs each channel by the means of all channels, each place by its own channels; adds both.

    Every gate is between 0 and 1.
    """

    def __init__(self, channels: int, reduction: int, axes: int) -> None:
        super().__init__()
        make, fewer = CONVOLUTION[axes], max(1, channels // reduction)
        self.channel = nn.Sequential(
            make(channels, fewer, 1), nn.ReLU(), make(fewer, channels, 1), nn.Sigmoid()
        )
        self.place = nn.Sequential(make(channels, 1, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` (B, channels, *S), weighed."""
        means = torch.mean(x, dim=list(range(2, x.ndim)), keepdim=True)
        weighed: Tensor = x * self.channel(means) + x * self.place(x)
        return weighed
