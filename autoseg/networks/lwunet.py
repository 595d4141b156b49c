"""A light 2-D U-Net: one dilated 3x3 convolution per stage, then a 3x1 and a 1x3 one.

As in the SegTHOR course project, without the sigmoid that its version ends in: scores are logits.
"""

from __future__ import annotations

import itertools

from torch import Tensor, cat, nn

from autoseg.architectures import options_of
from autoseg.network_options import LwunetOptions
from autoseg.networks.blocks import SLOPE, initialise, upsampling
from autoseg.networks.fitting import fit, unfit
from autoseg.plan import NetworkSpec

STAGES = 5
DIVISOR = 2 ** (STAGES - 1)


class LightUNet(nn.Module):
    """Five stages; their features double with every halved resolution."""

    def __init__(self, options: LwunetOptions, in_channels: int, out_channels: int) -> None:
        super().__init__()
        features = [options.features * 2**s for s in range(STAGES)]
        self.encoder, self.up, self.decoder = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        inputs = in_channels
        for s, outputs in enumerate(features):
            self.encoder.append(_stage(inputs, outputs, options.dilation, pooled=s > 0))
            inputs = outputs
        for finer, coarser in itertools.pairwise(features):  # finest first
            self.up.append(upsampling(coarser, finer, (2, 2)))
            self.decoder.append(_stage(2 * finer, finer, options.dilation))
        self.heads = nn.ModuleList([nn.Conv2d(features[0], out_channels, 1)])
        initialise(self)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return [scores (B, K, 1, Y, X)] of `image` (B, C, 1, Y, X)."""
        x, place = fit(image, DIVISOR, flat=True)
        skips = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        for s in reversed(range(STAGES - 1)):
            x = self.decoder[s](cat((self.up[s](x), skips[s]), 1))
        return [unfit(self.heads[0](x), place, flat=True)]


def _stage(inputs: int, outputs: int, dilation: int, pooled: bool = False) -> nn.Sequential:
    return nn.Sequential(
        *([nn.MaxPool2d(2)] if pooled else []),
        nn.Conv2d(inputs, outputs, 3, 1, dilation, dilation, bias=False),
        *_finished(outputs),
        nn.Conv2d(outputs, outputs, (3, 1), padding=(1, 0), bias=False),
        nn.Conv2d(outputs, outputs, (1, 3), padding=(0, 1), bias=False),
        *_finished(outputs),
    )


def _finished(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.LeakyReLU(SLOPE)]


def lwunet(spec: NetworkSpec, in_channels: int, out_channels: int) -> LightUNet:
    """Return the light U-Net of a spec, whose features are those of the finest stage."""
    return LightUNet(options_of(spec, LwunetOptions), in_channels, out_channels)
