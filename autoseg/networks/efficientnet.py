"""A U-Net on an EfficientNet (Tan 2019, arXiv 1905.11946): MONAI's encoder, a decoder of ours.

The decoder doubles the resolution five times, from a 32nd; beside each step are the encoder's
features of that resolution, and around its two convolutions gates for channels and places.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from autoseg.architectures import options_of
from autoseg.network_options import EfficientnetOptions
from autoseg.networks.blocks import CONVOLUTION, initialise
from autoseg.networks.fitting import fit, unfit
from autoseg.networks.library import monai_networks
from autoseg.networks.scse import Scse
from autoseg.plan import NetworkSpec

STEPS = 5
DIVISOR = 2**STEPS
NORM: dict[int, type[nn.Module]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class EfficientUNet(nn.Module):
    """Scores at the full resolution from features of a half, a fourth, ... a 32nd."""

    def __init__(self, spec: NetworkSpec, in_channels: int, out_channels: int) -> None:
        super().__init__()
        options = options_of(spec, EfficientnetOptions)
        self.flat = spec.kernels[0][0] == 1
        axes = 2 if self.flat else 3
        library = monai_networks("efficientnet_unet")
        self.encoder = library.EfficientNetBNFeatures(
            options.encoder, pretrained=False, spatial_dims=axes, in_channels=in_channels
        )
        # Less memory than the plain activation, but nothing that can be exported or compiled.
        self.encoder.set_swish(memory_efficient=False)
        del self.encoder._conv_head, self.encoder._bn1, self.encoder._fc  # of the classifier
        del self.encoder._conv_head_padding, self.encoder._avg_pooling, self.encoder._dropout
        known = library.EfficientNetEncoder
        place = known.get_encoder_names().index(options.encoder)
        found = known.num_channels_per_output()[place]
        self.decoder, inputs = nn.ModuleList(), found[-1]
        for step in range(STEPS):
            skip = found[-2 - step] if step < STEPS - 1 else 0
            width = options.features * 2 ** (STEPS - 1 - step)
            self.decoder.insert(0, Step(inputs, skip, width, axes, options.reduction))
            inputs = width
        initialise(self.decoder)
        self.heads = nn.ModuleList([CONVOLUTION[axes](inputs, out_channels, 3, padding=1)])

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return [scores (B, K, *P)] of `image` (B, C, *P)."""
        x, place = fit(image, DIVISOR, self.flat)
        *skips, x = self.encoder(x)
        for step in reversed(range(STEPS)):
            x = self.decoder[step](x, skips[step - 1] if step else None)
        return [unfit(self.heads[0](x), place, self.flat)]


class Step(nn.Module):
    """Twice the resolution: nearest neighbours, the skipped features, two convolutions."""

    def __init__(self, inputs: int, skip: int, outputs: int, axes: int, reduction: int) -> None:
        super().__init__()
        make, norm = CONVOLUTION[axes], NORM[axes]
        self.gates = nn.ModuleList([nn.Identity(), nn.Identity()])
        if reduction:
            self.gates = nn.ModuleList(
                [Scse(channels, reduction, axes) for channels in (inputs + skip, outputs)]
            )
        self.convolutions = nn.Sequential(
            make(inputs + skip, outputs, 3, padding=1, bias=False), norm(outputs), nn.ReLU(),
            make(outputs, outputs, 3, padding=1, bias=False), norm(outputs), nn.ReLU(),
        )  # fmt: skip

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        """Return (B, outputs, *2 S) of `x` (B, inputs, *S)."""
        x = functional.interpolate(x, scale_factor=2, mode="nearest")
        if skip is not None:
            x = torch.cat((x, skip), 1)
        gated: Tensor = self.gates[1](self.convolutions(self.gates[0](x)))
        return gated


def efficientnet_unet(spec: NetworkSpec, in_channels: int, out_channels: int) -> EfficientUNet:
    """Return the network of a spec, whose features are those of the last decoder step."""
    return EfficientUNet(spec, in_channels, out_channels)
