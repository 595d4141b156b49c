"""The network that scores a mirror image as the original scores the image, exactly.

A program that turns scans another way shows our networks a mirror image. Flipping every kernel is
not enough: a convolution of stride 2 reads voxels 0, 2, 4, ... from one end, and an even number of
voxels has other ones from the other end. With x' the mirror image of N voxels, stride s, kernel k =
2 p + 1 and weights w, output j of the mirrored convolution must be

    sum_t w[t] x'[s j + (s - 1) + p - t],    t = 0, ..., k - 1,

the flipped kernel, moved by s - 1 voxels. A kernel of k + 2 (s - 1), half of it zeros, does that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor
from torch.nn import functional

from autoseg.plan import NetworkSpec


def mirror_network(
    spec: NetworkSpec, state: Mapping[str, Tensor], axes: Sequence[int]
) -> tuple[NetworkSpec, dict[str, Tensor]]:
    """Return spec and state dict of the U-Net that sees what is mirrored along `axes` (0, 1, 2).

    Exact wherever the size of an axis is a multiple of the product of its strides.
    """
    spread = [
        [step - 1 if axis in axes else 0 for axis, step in enumerate(stride)]
        for stride in spec.strides
    ]
    kernels = tuple(
        (kernel[0] + 2 * more[0], kernel[1] + 2 * more[1], kernel[2] + 2 * more[2])
        for kernel, more in zip(spec.kernels, spread, strict=True)
    )
    mirrored = {name: _mirror(name, tensor, spread, axes) for name, tensor in state.items()}
    return replace(spec, kernels=kernels), mirrored


def _mirror(
    name: str, tensor: Tensor, spread: Sequence[Sequence[int]], axes: Sequence[int]
) -> Tensor:
    if tensor.ndim < 4:
        return tensor  # biases and normalisation
    flat = 5 - tensor.ndim
    flipped = tensor.flip([axis + 2 - flat for axis in axes if axis >= flat])
    stage = re.fullmatch(r"(encoder|decoder)\.(\d+)\.(\d+)(\.first|\.second)?\..*", name)
    if stage is None or ".shortcut." in name:
        return flipped  # kernels as large as their stride, or of one voxel; the stem
    strided = (stage[1], stage[3]) == ("encoder", "0") and stage[4] != ".second"
    sides: list[int] = []
    for more in reversed(spread[int(stage[2])][flat:]):
        sides += [2 * more, 0] if strided else [more, more]
    return functional.pad(flipped, sides)
