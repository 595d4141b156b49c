"""Rotated and scaled samples: where each voxel comes from, and what is there."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from autoseg.training.loader import Batch, Warp


def apply_warps(batch: Batch) -> Batch:
    """Fill the samples named in `batch.warps`: linear for the image, nearest for the labels.

    One set of coordinates serves all, so they cannot come apart. Outside the scan: 0, background.
    """
    if not batch.warps:
        return batch
    image, target = batch.image.clone(), batch.target.clone()
    previous = None if batch.previous is None else batch.previous.clone()
    for warp in batch.warps:
        grid = warp_grid(warp, tuple(target.shape[1:])).to(image.device)
        values = warp.image.to(image.device)
        image[warp.sample] = functional.grid_sample(values[None], grid, align_corners=False)[0]
        for whole, part in ((target, warp.target), (previous, warp.previous)):
            if whole is not None and part is not None:
                whole[warp.sample] = _nearest(part.to(image.device), grid).to(whole.dtype)
    return dataclasses.replace(batch, image=image, target=target, previous=previous, warps=())


def _nearest(indices: Tensor, grid: Tensor) -> Tensor:
    """Return value indices (*Q) at the places of `grid` as (*P) float32."""
    values = indices[None, None].float()
    return functional.grid_sample(values, grid, mode="nearest", align_corners=False)[0, 0]


def warp_grid(warp: Warp, patch_size: Sequence[int]) -> Tensor:
    """Return where each voxel of the patch comes from: (1, *P, 3), as `grid_sample` wants it.

    That is (x, y, z) between -1 and 1, the outer faces of the first and the last voxel.
    """
    size = torch.tensor(warp.target.shape)
    grid = (2 * warp.centre + 1) / size - 1
    for axis, length in enumerate(patch_size):
        offsets = torch.arange(length) - (length - 1) / 2
        step = offsets[:, None] * (2 * warp.matrix[:, axis] / size)
        grid = grid + step.view([-1 if a == axis else 1 for a in range(3)] + [3])
    return grid.flip(-1)[None]
