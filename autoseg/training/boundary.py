"""How near a voxel is to the surface of what is labelled, for the boundary term of a loss.

The surface lies between voxels that share a face and differ in value. Its distance is measured in
millimetres from the centre of a voxel to the centre of the nearest such face. Squares of distances
add up over the axes, so one pass along each axis is exact; it looks as far as the Gaussian reaches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

REACH = 3.0  # standard deviations; the Gaussian is 0.011 there, and counts as 0 beyond


def reach_voxels(sigma_mm: float, spacing_mm: Sequence[float | None]) -> tuple[int, ...]:
    """Return how many voxels of `spacing_mm` the Gaussian reaches along each axis.

    None is an axis of slices that know nothing of each other: 0.
    """
    return tuple(math.ceil(REACH * sigma_mm / step) if step else 0 for step in spacing_mm)


def nearness(
    values: Tensor, valid: Tensor | None, spacing_mm: Tensor, sigma_mm: float, reach: Sequence[int]
) -> Tensor:
    """Return exp(-d^2 / (2 sigma^2)) of each voxel of `values` (B, *P); 0 far from any surface.

    `spacing_mm` (B, 3); `reach` (3,) in voxels. What is beside a voxel that is not `valid` (B, *P)
    is unknown, so that no surface lies there.
    """
    squared = squared_distance(values, valid, spacing_mm, reach)
    far = squared > (REACH * sigma_mm) ** 2
    return torch.exp(squared / (-2 * sigma_mm**2)).masked_fill(far, 0.0)


def squared_distance(
    values: Tensor, valid: Tensor | None, spacing_mm: Tensor, reach: Sequence[int]
) -> Tensor:
    """Return the squared distance (B, *P) in mm^2 to the surface; inf where none is in reach."""
    steps = spacing_mm.to(values.device).view(-1, 3, 1, 1, 1)
    best = torch.full(values.shape, torch.inf, device=values.device)
    for axis in range(3):
        if values.shape[axis + 1] == 1:
            continue
        found = _to_faces(_faces(values, valid, axis), steps[:, axis], reach[axis], axis)
        for other in range(3):
            if other != axis:
                found = _spread(found, steps[:, other], reach[other], other)
        best = torch.minimum(best, found)
    return best


def _faces(values: Tensor, valid: Tensor | None, axis: int) -> Tensor:
    """Return which pairs of neighbours along `axis` differ (B, *P), one fewer along that axis."""
    length = values.shape[axis + 1]
    pairs = [x.narrow(axis + 1, 0, length - 1) for x in (values, valid) if x is not None]
    others = [x.narrow(axis + 1, 1, length - 1) for x in (values, valid) if x is not None]
    differ = pairs[0] != others[0]
    return differ if valid is None else differ & pairs[1] & others[1]


def _to_faces(faces: Tensor, step_mm: Tensor, reach: int, axis: int) -> Tensor:
    """Return the squared distance along `axis` from each voxel centre to the nearest face."""
    open_ = torch.where(faces, 0.0, torch.inf)
    shape = list(faces.shape)
    shape[axis + 1] += 1
    best = open_.new_full(shape, torch.inf)
    for n in range(min(reach, faces.shape[axis + 1])):
        found = open_ + ((n + 0.5) * step_mm).square()
        _lower(best, found, axis, n + 1, 0)
        _lower(best, found, axis, 0, n)
    return best


def _spread(squared: Tensor, step_mm: Tensor, reach: int, axis: int) -> Tensor:
    """Return the smallest of `squared` plus the squared distance to it along `axis`."""
    best = squared.clone()
    for n in range(1, min(reach, squared.shape[axis + 1] - 1) + 1):
        found = squared + (n * step_mm).square()
        _lower(best, found, axis, n, 0)
        _lower(best, found, axis, 0, n)
    return best


def _lower(best: Tensor, found: Tensor, axis: int, first: int, from_first: int) -> None:
    """Lower `best` from `first` on along `axis` to `found` from `from_first` on, in place."""
    count = min(best.shape[axis + 1] - first, found.shape[axis + 1] - from_first)
    here = best.narrow(axis + 1, first, count)
    torch.minimum(here, found.narrow(axis + 1, from_first, count), out=here)
