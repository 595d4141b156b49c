"""Rotated and scaled samples: where each voxel comes from, and what is there."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from autoseg.training.batch import Batch


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
        maps = [(target, warp.target), (previous, warp.previous)]
        label_maps = [(whole[warp.sample], part) for whole, part in maps
                      if whole is not None and part is not None]  # fmt: skip
        if warp.first_slice is None:
            grid = (z[:, None, None] + y[:, None] + x)[None]
            _fill(image[warp.sample], warp.image, label_maps, grid)
        else:
            grid = (z[0] + y[:, None] + x)[None, ..., :2]
            _fill_slices(image[warp.sample], warp.image, label_maps, grid, warp.first_slice)
    return dataclasses.replace(batch, image=image, target=target, previous=previous, warps=())


Pairs = Sequence[tuple[Tensor, Tensor]]  # label maps of a sample (*P), and what was read (*Q)


def _fill(image: Tensor, read: Tensor, label_maps: Pairs, grid: Tensor) -> None:
    """Fill `image` (C, *P) from `read` (C, *Q), and the label maps, at the places of `grid`."""
    image.copy_(functional.grid_sample(read[None], grid, align_corners=False)[0])
    for whole, part in label_maps:
        values = part[None, None].float()
        whole.copy_(functional.grid_sample(values, grid, mode="nearest", align_corners=False)[0, 0])


def _fill_slices(image: Tensor, read: Tensor, label_maps: Pairs, grid: Tensor, first: int) -> None:
    """Do the same where each slice comes from one: all of them are channels of one picture.

    They share the places (1, Y, X, 2) and their weights: several times faster than in space.
    """
    channels, depth, own = len(read), read.shape[1], image.shape[1]
    start, stop = max(0, first), min(depth, first + own)
    if start >= stop:
        return
    to = slice(start - first, stop - first)
    stack = read[:, start:stop].flatten(0, 1)[None]
    moved = functional.grid_sample(stack, grid, align_corners=False)[0]
    image[:, to] = moved.unflatten(0, (channels, stop - start))
    for whole, part in label_maps:
        values = part[None, start:stop].float()
        moved = functional.grid_sample(values, grid, mode="nearest", align_corners=False)[0]
        whole[to] = moved.to(whole.dtype)
