"""How often each axis is halved, which kernels are flat, and the patch these allow (as nnU-Net).

Works in two dimensions (Y, X) and in three (Z, Y, X): functions take as many axes as they get.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

SMALLEST_EDGE = 4  # voxels an axis keeps in the coarsest stage
SMALLEST_EDGE_ALONE = 12  # an axis that is halved alone must still have so many voxels before
SIMILAR_SPACING = 2.0  # axes whose spacings differ by less are treated alike


@dataclass(frozen=True)
class Topology:
    """Strides and kernels of every stage, finest first, and a patch that the strides divide."""

    patch_size: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    kernels: tuple[tuple[int, ...], ...]
    divisors: tuple[int, ...]  # per axis, the product of its strides

    @property
    def stages(self) -> int:
        """Number of resolutions, the coarsest included."""
        return len(self.strides)


def make_topology(spacing: Sequence[float], size: Sequence[float]) -> Topology:
    """Return the topology for a patch of about `size` voxels; it is padded up to whole strides.

    Halve, stage by stage, every axis that is still large enough and, among those, finer than twice
    the finest spacing. An axis is convolved (kernel 3) from the stage on where its spacing is
    similar to the finest; the coarsest stage convolves all.
    """
    axes = range(len(spacing))
    spacing_now, size_now = [float(s) for s in spacing], [float(s) for s in size]
    kernel = [1] * len(spacing)
    strides, kernels = [(1,) * len(spacing)], []
    while halved := _axes_to_halve(spacing_now, size_now):
        finest = min(spacing_now)
        for axis in axes:
            if spacing_now[axis] / finest < SIMILAR_SPACING:
                kernel[axis] = 3  # and stays 3
        kernels.append(tuple(kernel))
        strides.append(tuple(2 if axis in halved else 1 for axis in axes))
        for axis in halved:
            spacing_now[axis] *= 2
            size_now[axis] = ceil(size_now[axis] / 2)
    kernels.append((3,) * len(spacing))
    divisors = tuple(2 ** sum(stride[axis] == 2 for stride in strides) for axis in axes)
    patch = tuple(ceil(edge / d) * d for edge, d in zip(size, divisors, strict=True))
    return Topology(patch, tuple(strides), tuple(kernels), divisors)


def _axes_to_halve(spacing: Sequence[float], size: Sequence[float]) -> list[int]:
    large = [axis for axis, edge in enumerate(size) if edge >= 2 * SMALLEST_EDGE]
    if not large:
        return []
    finest = min(spacing[axis] for axis in large)
    similar = [axis for axis in large if spacing[axis] / finest < SIMILAR_SPACING]
    if len(similar) == 1 and size[similar[0]] < SMALLEST_EDGE_ALONE:
        return []
    return similar


def shrink_to_fit(
    spacing: Sequence[float],
    median_shape: Sequence[float],
    start: Sequence[float],
    too_large: Callable[[Topology], bool],
) -> Topology:
    """Return the first topology that is not `too_large`, taking edges off a patch of about `start`.

    The edge that is largest relative to the median case gives way, by one step of its stride.
    """
    topology = make_topology(spacing, start)
    while too_large(topology) and max(topology.patch_size) > 1:
        patch = list(topology.patch_size)
        cover = [edge / median for edge, median in zip(patch, median_shape, strict=True)]
        axis = max(range(len(patch)), key=lambda a: (cover[a], a))  # of equals the last
        # A smaller edge may be halved less often: step by its new divisor, or 224 between 256 and
        # 192 would be skipped.
        trial = list(patch)
        trial[axis] = max(1, trial[axis] - topology.divisors[axis])
        patch[axis] = max(1, patch[axis] - make_topology(spacing, trial).divisors[axis])
        topology = make_topology(spacing, patch)
    return topology
