"""ENet (Paszke 2016, arXiv 1606.02147): a narrow 2-D network for speed, of dilated bottlenecks.

An eighth of the resolution after three strided stages, then dilated and 5x1, 1x5 convolutions; the
way up puts values back where the maxima were on the way down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from autoseg.architectures import options_of
from autoseg.network_options import EnetOptions
from autoseg.networks.blocks import initialise
from autoseg.networks.fitting import fit, unfit
from autoseg.plan import NetworkSpec

DIVISOR = 8
TAPS = 5  # of the factorised convolutions
FACTORISED = 0
CONTEXT = (1, 2, FACTORISED, 4, 1, 8, FACTORISED, 16)  # dilations of stages two and three
WEAKER = 10  # times less dropout in stage one
ACTIVATIONS: dict[str, Callable[[int], nn.Module]] = {
    "prelu": nn.PReLU,
    "relu": lambda channels: nn.ReLU(),
    "leaky_relu": lambda channels: nn.LeakyReLU(0.01),
    "gelu": lambda channels: nn.GELU(),
}


class ENet(nn.Module):
    """Its paper's network, with a 1x1 head after the last transposed convolution."""

    def __init__(self, options: EnetOptions, in_channels: int, out_channels: int) -> None:
        super().__init__()
        fine, middle, coarse = (options.features * n for n in (1, 4, 8))
        weak = options.dropout / WEAKER
        self.stem = Stem(in_channels, fine, options)
        self.encoder = nn.ModuleList(
            [
                Down(fine, middle, options, weak),
                nn.Sequential(*(Bottleneck(middle, options, 1, weak) for _ in range(4))),
                Down(middle, coarse, options, options.dropout),
                nn.Sequential(*(Bottleneck(coarse, options, d) for d in CONTEXT)),
                nn.Sequential(*(Bottleneck(coarse, options, d) for d in CONTEXT)),
            ]
        )
        self.up = nn.ModuleList([Up(middle, fine, options), Up(coarse, middle, options)])
        last = [nn.ConvTranspose2d(fine, fine, 2, 2, bias=False), *_finished(fine, options)]
        self.decoder = nn.ModuleList(  # finest first, like every list of this class
            [
                nn.Sequential(Bottleneck(fine, options), *last),
                nn.Sequential(Bottleneck(middle, options), Bottleneck(middle, options)),
            ]
        )
        self.heads = nn.ModuleList([nn.Conv2d(fine, out_channels, 1)])
        initialise(self)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return [scores (B, K, 1, Y, X)] of `image` (B, C, 1, Y, X)."""
        x, place = fit(image, DIVISOR, flat=True)
        x, fine_maxima = self.encoder[0](self.stem(x))
        x, maxima = self.encoder[2](self.encoder[1](x))
        x = self.encoder[4](self.encoder[3](x))
        x = self.decoder[1](self.up[1](x, maxima))
        x = self.decoder[0](self.up[0](x, fine_maxima))
        return [unfit(self.heads[0](x), place, flat=True)]


class Stem(nn.Module):
    """A strided convolution, and the image itself, pooled, as further channels."""

    def __init__(self, inputs: int, outputs: int, options: EnetOptions) -> None:
        super().__init__()
        self.kept = min(inputs, outputs // 2)  # there may be more channels than features
        self.convolution = nn.Conv2d(inputs, outputs - self.kept, 3, 2, 1, bias=False)
        self.norm = nn.Sequential(*_finished(outputs, options))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, Y / 2, X / 2)."""
        pooled = functional.max_pool2d(x[:, : self.kept], 2)
        normalised: Tensor = self.norm(torch.cat((self.convolution(x), pooled), 1))
        return normalised


class Bottleneck(nn.Module):
    """A narrow branch with one 3x3 (dilated) or factorised convolution, beside the identity."""

    def __init__(
        self, channels: int, options: EnetOptions, dilation: int = 1, dropout: float | None = None
    ) -> None:
        super().__init__()
        narrow = channels // options.factor
        if dilation == FACTORISED:
            half = TAPS // 2
            main = [
                nn.Conv2d(narrow, narrow, (TAPS, 1), padding=(half, 0), bias=False),
                nn.Conv2d(narrow, narrow, (1, TAPS), padding=(0, half), bias=False),
            ]
        else:
            main = [nn.Conv2d(narrow, narrow, 3, 1, dilation, dilation, bias=False)]
        lost = options.dropout if dropout is None else dropout
        first = nn.Conv2d(channels, narrow, 1, bias=False)
        self.branch = _branch(first, main, channels, options, lost)
        self.activation = ACTIVATIONS[options.activation](channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, channels, Y, X)."""
        activated: Tensor = self.activation(x + self.branch(x))
        return activated


class Down(nn.Module):
    """A bottleneck that strides; its shortcut pools, and says where the maxima were."""

    def __init__(self, inputs: int, outputs: int, options: EnetOptions, dropout: float) -> None:
        super().__init__()
        self.added = outputs - inputs
        narrow = outputs // options.factor
        first = nn.Conv2d(inputs, narrow, 2, 2, bias=False)
        main = [nn.Conv2d(narrow, narrow, 3, padding=1, bias=False)]
        self.branch = _branch(first, main, outputs, options, dropout)
        self.activation = ACTIVATIONS[options.activation](outputs)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, outputs, Y / 2, X / 2) and, per pooled value, its place in the plane."""
        pooled, maxima = functional.max_pool2d(x, 2, return_indices=True)
        padded = functional.pad(pooled, (0, 0, 0, 0, 0, self.added))
        return self.activation(padded + self.branch(x)), maxima


class Up(nn.Module):
    """A bottleneck that doubles the resolution; its shortcut puts values where maxima were."""

    def __init__(self, inputs: int, outputs: int, options: EnetOptions) -> None:
        super().__init__()
        narrow = outputs // options.factor
        first = nn.Conv2d(inputs, narrow, 1, bias=False)
        main = [nn.ConvTranspose2d(narrow, narrow, 3, 2, 1, 1, bias=False)]
        self.branch = _branch(first, main, outputs, options, options.dropout)
        self.shortcut = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        )
        self.activation = ACTIVATIONS[options.activation](outputs)

    def forward(self, x: Tensor, maxima: Tensor) -> Tensor:
        """Return (B, outputs, 2 Y, 2 X)."""
        activated: Tensor = self.activation(spread(self.shortcut(x), maxima) + self.branch(x))
        return activated


def spread(x: Tensor, maxima: Tensor) -> Tensor:
    """Return (B, C, 2 Y, 2 X): each value of `x` at its place in the plane, zeros elsewhere.

    As torch's max_unpool2d, which cannot be exported.
    """
    batch, channels, height, width = x.shape
    plane = x.new_zeros(batch, channels, 4 * height * width)
    filled = plane.scatter(2, maxima.flatten(2), x.flatten(2))
    return filled.reshape(batch, channels, 2 * height, 2 * width)


def _branch(
    first: nn.Conv2d, main: Sequence[nn.Module], outputs: int, options: EnetOptions, dropout: float
) -> nn.Sequential:
    narrow = first.out_channels
    return nn.Sequential(
        first, *_finished(narrow, options), *main, *_finished(narrow, options),
        nn.Conv2d(narrow, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.Dropout2d(dropout),
    )  # fmt: skip


def _finished(channels: int, options: EnetOptions) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), ACTIVATIONS[options.activation](channels)]


def enet(spec: NetworkSpec, in_channels: int, out_channels: int) -> ENet:
    """Return the ENet of a spec, whose features are those of the first stage."""
    return ENet(options_of(spec, EnetOptions), in_channels, out_channels)
