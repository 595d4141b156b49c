"""Rotated and scaled samples: where each voxel comes from, and what is there."""

from __future__ import annotations

import dataclasses

from torch import Tensor
from torch.nn import functional

from autoseg.training.loader import Batch


def apply_warps(batch: Batch) -> Batch:
    """Fill the samples named in `batch.warps`: linear for the image, nearest for the labels.

    One set of coordinates serves all, so they cannot come apart. Outside the scan: 0, background.
    """
    if not batch.warps:
        return batch
    image, target = batch.image.clone(), batch.target.clone()
    previous = None if batch.previous is None else batch.previous.clone()
    for warp in batch.warps:
        z, y, x = warp.places.split(list(target.shape[1:]))
        grid = (z[:, None, None] + y[:, None] + x)[None]
        values = warp.image[None]
        image[warp.sample] = functional.grid_sample(values, grid, align_corners=False)[0]
        for whole, part in ((target, warp.target), (previous, warp.previous)):
            if whole is not None and part is not None:
                whole[warp.sample] = _nearest(part, grid).to(whole.dtype)
    return dataclasses.replace(batch, image=image, target=target, previous=previous, warps=())


def _nearest(indices: Tensor, grid: Tensor) -> Tensor:
    """Return value indices (*Q) at the places of `grid` as (*P) float32."""
    values = indices[None, None].float()
    return functional.grid_sample(values, grid, mode="nearest", align_corners=False)[0, 0]
