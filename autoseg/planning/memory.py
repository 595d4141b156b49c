"""What a network costs, by arithmetic: elements its convolutions put out, and its weights.

The first number stands for training memory (nnU-Net's measure: every convolution's output is kept
for the backward pass), the second for capacity. No network is built.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from autoseg.plan import NetworkSpec

Size = tuple[int, ...]


def conv_output_elements(network: NetworkSpec, patch_size: Sequence[int], out_channels: int) -> int:
    """Return how many numbers all convolutions put out for one patch, without deep supervision."""
    sizes = list(_stage_sizes(network, patch_size))
    elements = out_channels * prod(sizes[0])
    if network.name == "residual_unet":
        elements += network.features[0] * prod(patch_size)  # the stem
    for stage, size in enumerate(sizes):
        elements += _encoder_convolutions(network, stage) * network.features[stage] * prod(size)
    for stage, convolutions in enumerate(network.decoder_blocks):
        # one more for the transposed convolution that brings the coarser stage up
        elements += (convolutions + 1) * network.features[stage] * prod(sizes[stage])
    return elements


def weight_count(network: NetworkSpec, in_channels: int, out_channels: int) -> int:
    """Return the number of trainable weights, heads for deep supervision included."""
    residual = network.name == "residual_unet"
    features, kernels = network.features, [prod(kernel) for kernel in network.kernels]
    total = _conv(in_channels, features[0], kernels[0]) if residual else 0
    before = features[0] if residual else in_channels
    for stage, width in enumerate(features):
        for _ in range(network.encoder_blocks[stage]):
            total += _conv(before, width, kernels[stage])
            if residual:
                total += _conv(width, width, kernels[stage])
                if before != width:
                    total += before * width + 2 * width  # the skip's own convolution
            before = width
    for stage, convolutions in enumerate(network.decoder_blocks):
        width, below = features[stage], features[stage + 1]
        total += below * width * prod(network.strides[stage + 1]) + width
        total += _conv(2 * width, width, kernels[stage])
        total += (convolutions - 1) * _conv(width, width, kernels[stage])
        total += width * out_channels + out_channels
    return total


def _conv(before: int, after: int, kernel: int) -> int:
    """Weights of one convolution, and of the normalisation that follows and makes a bias idle."""
    return before * after * kernel + 2 * after


def _encoder_convolutions(network: NetworkSpec, stage: int) -> int:
    blocks = network.encoder_blocks[stage]
    if network.name != "residual_unet":
        return blocks
    widens = stage > 0 and network.features[stage] != network.features[stage - 1]
    shrinks = prod(network.strides[stage]) > 1
    return 2 * blocks + (1 if widens or shrinks else 0)  # the first block's skip needs its own


def _stage_sizes(network: NetworkSpec, patch_size: Sequence[int]) -> Iterator[Size]:
    size = tuple(patch_size)
    for stride in network.strides:
        size = tuple(edge // step for edge, step in zip(size, stride, strict=True))
        yield size
