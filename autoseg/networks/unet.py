"""U-Nets from a `NetworkSpec`: plain (Ronneberger 2015, Isensee 2021), residual, with attention.

Encoder: stages of convolutions, the first one strided. Decoder: transposed convolution, beside it
the encoder's features of that resolution, convolutions. A 1x1 head scores every decoder resolution.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from autoseg.architectures import options_of
from autoseg.errors import CorruptError
from autoseg.network_options import ScseOptions
from autoseg.networks.blocks import (
    CONVOLUTION,
    ConvNorm,
    ResidualBlock,
    Size,
    initialise,
    upsampling,
)
from autoseg.networks.fitting import channels_last
from autoseg.networks.scse import Scse
from autoseg.plan import NetworkSpec


class UNet(nn.Module):
    """A U-Net; `residual` chooses the kind of its encoder.

    With a `reduction`, every decoder stage ends in gates for channels and places (`scse.py`).

    A spec whose kernels and strides are 1 along the first axis everywhere is built from 2-D
    convolutions; input and output keep that axis, with length one.

    With `checkpointing` a stage's activations are not kept for the backward pass but computed
    again: same gradients, a quarter less memory at the peak, nearly half more time.
    """

    checkpointing = False

    def __init__(
        self,
        spec: NetworkSpec,
        in_channels: int,
        out_channels: int,
        residual: bool,
        reduction: int | None = None,
    ) -> None:
        super().__init__()
        _check(spec)
        self.flat = all(size[0] == 1 for size in (*spec.kernels, *spec.strides))
        kernels: list[Size] = [size[self.flat :] for size in spec.kernels]
        strides: list[Size] = [size[self.flat :] for size in spec.strides]
        features, stages = spec.features, range(len(spec.features))
        make_stage = _residual_stage if residual else _plain_stage
        inputs = in_channels
        self.stem: nn.Module = nn.Identity()
        if residual:
            self.stem = ConvNorm(in_channels, features[0], kernels[0], (1,) * len(kernels[0]))
            inputs = features[0]
        self.encoder = nn.ModuleList()
        for s in stages:
            self.encoder.append(
                make_stage(inputs, features[s], kernels[s], strides[s], spec.encoder_blocks[s])
            )
            inputs = features[s]
        self.up, self.decoder, self.heads = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for s in stages[:-1]:  # finest first, like every list of this class
            blocks = spec.decoder_blocks[s]
            one = (1,) * len(kernels[s])
            self.up.append(upsampling(features[s + 1], features[s], strides[s + 1]))
            stage = _plain_stage(2 * features[s], features[s], kernels[s], one, blocks)
            if reduction is not None:
                stage.append(Scse(features[s], reduction, len(one)))
            self.decoder.append(stage)
            self.heads.append(CONVOLUTION[len(one)](features[s], out_channels, one))
        initialise(self)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return scores of `image` (B, C, *P), finest first: [(B, K, *P), (B, K, *P / 2), ...].

        The coarser ones exist for the loss only, so outside training the list holds the finest.
        """
        x = self.stem(channels_last(image.squeeze(2) if self.flat else image))
        skips = []
        for stage in self.encoder:
            x = self._stage(stage, x)
            skips.append(x)
        scores: list[Tensor] = []
        for s in reversed(range(len(self.decoder))):
            x = self._stage(self._decode, s, x, skips[s])
            if self.training or s == 0:
                scores.insert(0, self.heads[s](x))
        return [score.unsqueeze(2) for score in scores] if self.flat else scores

    def _decode(self, s: int, x: Tensor, skip: Tensor) -> Tensor:
        decoded: Tensor = self.decoder[s](torch.cat((self.up[s](x), skip), 1))
        return decoded

    def _stage(self, stage: Callable[..., Tensor], *inputs: Any) -> Tensor:
        if self.checkpointing and self.training and torch.is_grad_enabled():
            recomputed: Tensor = checkpoint(stage, *inputs, use_reentrant=False)
            return recomputed
        return stage(*inputs)


def plain_unet(spec: NetworkSpec, in_channels: int, out_channels: int) -> UNet:
    """Return a U-Net whose `encoder_blocks` and `decoder_blocks` count convolutions."""
    return UNet(spec, in_channels, out_channels, residual=False)


def residual_unet(spec: NetworkSpec, in_channels: int, out_channels: int) -> UNet:
    """Return a U-Net whose `encoder_blocks` count residual blocks, after a stem convolution."""
    return UNet(spec, in_channels, out_channels, residual=True)


def scse_unet(spec: NetworkSpec, in_channels: int, out_channels: int) -> UNet:
    """Return a plain U-Net whose decoder weighs channels and places."""
    reduction = options_of(spec, ScseOptions).reduction
    return UNet(spec, in_channels, out_channels, residual=False, reduction=reduction)


def _plain_stage(
    inputs: int, outputs: int, kernel: Size, stride: Size, blocks: int
) -> nn.Sequential:
    one = (1,) * len(kernel)
    rest = [ConvNorm(outputs, outputs, kernel, one) for _ in range(blocks - 1)]
    return nn.Sequential(ConvNorm(inputs, outputs, kernel, stride), *rest)


def _residual_stage(
    inputs: int, outputs: int, kernel: Size, stride: Size, blocks: int
) -> nn.Module:
    one = (1,) * len(kernel)
    rest = [ResidualBlock(outputs, outputs, kernel, one) for _ in range(blocks - 1)]
    return nn.Sequential(ResidualBlock(inputs, outputs, kernel, stride), *rest)


def _check(spec: NetworkSpec) -> None:
    if len(spec.features) < 2:
        raise CorruptError(f"network.features {spec.features}", expected="two stages at least")
    if any(step != 1 for step in spec.strides[0]):
        raise CorruptError(f"network.strides[0] = {spec.strides[0]}", expected="(1, 1, 1)")
    if any(width % 2 == 0 for kernel in spec.kernels for width in kernel):
        raise CorruptError(f"network.kernels {spec.kernels}", expected="odd sizes")
