"""The pieces of a U-Net: convolution, normalisation with activation, residual block, upsampling.

Every piece works on (B, C, *S) with two or three axes S.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

SLOPE = 0.01  # of the leaky ReLU below zero
EPSILON = 1e-5  # added to the variance before the root

CONVOLUTION: dict[int, type[nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, type[nn.Module]] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
AVERAGE: dict[int, type[nn.Module]] = {2: nn.AvgPool2d, 3: nn.AvgPool3d}

Size = tuple[int, ...]


class Norm(nn.Module):
    """Instance normalisation with weight and bias per channel, then optionally a leaky ReLU."""

    def __init__(self, channels: int, activate: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.activate = activate
        self.exact = False  # on a CPU: variances without the rounding of the faster layout

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised (and activated) `x` (B, C, *S) in its own dtype."""
        exporting = torch.jit.is_tracing() or torch.compiler.is_compiling()
        if x.device.type == "cpu" and not (exporting or self.exact):
            normalised: Tensor = _SampleNorm.apply(x, self.weight, self.bias, self.activate)
            return normalised
        x = functional.instance_norm(x, weight=self.weight, bias=self.bias, eps=EPSILON)
        return functional.leaky_relu_(x, SLOPE) if self.activate else x


class _SampleNorm(torch.autograd.Function):
    """Instance normalisation and leaky ReLU that keep the channels-last layout, for CPUs.

    The instance of one sample is a batch of one: torch's batch normalisation, sample by sample,
    works on channels-last tensors as they are, where its instance normalisation copies to another
    layout and back. Statistics are float32 whatever the dtype.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, activate: bool) -> Tensor:
        y = torch.empty_like(x)
        mean = x.new_empty(x.shape[:2], dtype=torch.float32)
        scale = torch.empty_like(mean)
        for i in range(len(x)):
            torch.ops.aten.native_batch_norm.out(
                x[i : i + 1], weight, bias, None, None, True, 0.0, EPSILON,
                out=y[i : i + 1], save_mean=mean[i], save_invstd=scale[i],
            )  # fmt: skip
        if activate:
            functional.leaky_relu_(y, SLOPE)
        ctx.activate = activate
        ctx.save_for_backward(x, y if activate else x, weight, mean, scale)
        return y

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        x, y, weight, mean, scale = ctx.saved_tensors
        slope = outer[0]
        if ctx.activate:
            # The sign of the output is the sign of the input, so the output is enough.
            slope = torch.ops.aten.leaky_relu_backward(slope, y, SLOPE, True)
        to_x, to_weight, to_bias = (
            torch.empty_like(x),
            torch.empty_like(mean),
            torch.empty_like(mean),
        )
        for i in range(len(x)):
            torch.ops.aten.native_batch_norm_backward.out(
                slope[i : i + 1], x[i : i + 1], weight, None, None, mean[i], scale[i], True,
                EPSILON, [True, True, True],
                out0=to_x[i : i + 1], out1=to_weight[i], out2=to_bias[i],
            )  # fmt: skip
        return to_x, to_weight.sum(0), to_bias.sum(0), None


class ConvNorm(nn.Module):
    """Convolution, normalisation and, by default, activation.

    The convolution has no bias: the normalisation would subtract it again.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: Size, stride: Size, activate: bool = True
    ) -> None:
        super().__init__()
        padding = tuple(width // 2 for width in kernel)
        make = CONVOLUTION[len(kernel)]
        self.convolution = make(inputs, outputs, kernel, stride, padding, bias=False)
        self.norm = Norm(outputs, activate)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, *S / stride)."""
        return self.norm(self.convolution(x))


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut; their sum is activated.

    The shortcut averages where the block strides and projects where the number of channels changes.
    """

    def __init__(self, inputs: int, outputs: int, kernel: Size, stride: Size) -> None:
        super().__init__()
        one = (1,) * len(kernel)
        self.first = ConvNorm(inputs, outputs, kernel, stride)
        self.second = ConvNorm(outputs, outputs, kernel, one, activate=False)
        shortcut: list[nn.Module] = []
        if stride != one:
            pool = AVERAGE[len(kernel)]
            shortcut.append(pool(stride, stride))
        if inputs != outputs:
            shortcut.append(ConvNorm(inputs, outputs, one, one, activate=False))
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, *S / stride)."""
        return functional.leaky_relu_(self.second(self.first(x)) + self.shortcut(x), SLOPE)


def upsampling(inputs: int, outputs: int, stride: Size) -> nn.Module:
    """Return the transposed convolution that undoes the size change of `stride`."""
    return TRANSPOSED[len(stride)](inputs, outputs, stride, stride)


def initialise(network: nn.Module) -> None:
    """Draw He-normal weights for leaky ReLUs; close the residual branch of every residual block.

    A residual block starts as its shortcut: its last normalisation has weight zero.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            nn.init.kaiming_normal_(module.weight, a=SLOPE)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in network.modules():
        if isinstance(module, ResidualBlock):
            nn.init.zeros_(module.second.norm.weight)
