"""A large image through a network that sees patches: overlapping tiles, blended with a Gaussian.

Tiles lie on a regular grid, so the weight of a tile is a product of one weight per axis, and the
weights of all tiles at one voxel sum to one before anything is added: no second volume of weights,
no division afterwards. Along an axis with a single tile the weight is one.

Tiles that hold one value and nothing else, such as the air around a body, all get the same scores:
the network sees the first of them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

SIGMA = 1 / 8  # of the Gaussian, in tiles (nnU-Net)
GROWTH = 1.5  # a tile may be this much longer than the patch where that saves a second tile
TILE_BYTES = 2 << 30  # and its activations must stay below this
LIVE_ACTIVATIONS = 5  # feature maps of the finest stage that are alive at once
# Standard deviations (prepared images have one of about 1) that resampling makes of a single value.
ROUNDING = 1e-5

Triple = tuple[int, int, int]
Index = tuple[int, ...]  # of a tile, along each axis
Place = tuple[slice, ...]
Score = Callable[[Tensor], Tensor]


def choose_tile(shape: Sequence[int], patch_size: Triple, divisor: Triple, features: int) -> Triple:
    """Return the tile size for an image of `shape`: the patch, or longer where that is less work.

    An image that sticks out of the patch by a few voxels would need two tiles along that axis; one
    tile that is longer by a multiple of `divisor` is cheaper, and sees more. `features` of the
    finest stage bound the memory. The choice depends on nothing else, least of all on the machine.
    """
    options = []
    for size, patch, step in zip(shape, patch_size, divisor, strict=True):
        longer = math.ceil(size / step) * step
        grows = patch < longer <= GROWTH * patch and patch > 1
        options.append([patch, longer] if grows else [patch])
    tiles = [t for t in itertools.product(*options) if _fits(t, features) or t == patch_size]
    z, y, x = min(tiles, key=lambda tile: (_work(shape, tile), math.prod(tile)))
    return z, y, x


def _fits(tile: Sequence[int], features: int) -> bool:
    return math.prod(tile) * features * 4 * LIVE_ACTIVATIONS <= TILE_BYTES


def _work(shape: Sequence[int], tile: Sequence[int]) -> int:
    counts = [len(tile_starts(s, t, 0.5)) for s, t in zip(shape, tile, strict=True)]
    return math.prod(tile) * math.prod(counts)


def tile_starts(size: int, tile: int, step: float, from_end: bool = False) -> list[int]:
    """Return where tiles begin along one axis: evenly spaced, at most `step` tiles apart.

    Places are rounded to voxels; `from_end` as if the axis were counted from its other end.

    >>> tile_starts(101, 64, 0.5), tile_starts(101, 64, 0.5, from_end=True)
    ([0, 18, 37], [0, 19, 37])
    """
    if size <= tile:
        return [0]
    count = math.ceil((size - tile) / (tile * step)) + 1
    starts = [round((size - tile) / (count - 1) * index) for index in range(count)]
    return [size - tile - start for start in reversed(starts)] if from_end else starts


def tile_weights(size: int, tile: int, starts: Sequence[int]) -> Tensor:
    """Return (len(starts), tile) float32: Gaussian weights that sum to one at every voxel."""
    distance = torch.arange(tile, dtype=torch.float64) - (tile - 1) / 2
    gaussian = torch.exp(-0.5 * (distance / (tile * SIGMA)) ** 2)
    total = torch.zeros(max(size, tile), dtype=torch.float64)
    for start in starts:
        total[start : start + tile] += gaussian
    return torch.stack([gaussian / total[s : s + tile] for s in starts]).float()


def sliding_window(
    predict: Score,
    image: Tensor,
    patch_size: Triple,
    step: float = 0.5,
    tile_batch: int = 1,
    from_end: Sequence[int] = (),
    fewer: Callable[[], int] | None = None,
) -> Tensor:
    """Return the scores (channels, Z, Y, X) float32 of `image` (C, Z, Y, X), on its device.

    `predict` maps at most `tile_batch` tiles (B, C, *P) of P = `patch_size` to (B, channels, *P).
    An image smaller than a tile is padded with zeros on both sides, and the scores are cropped.
    Along axes `from_end` (0, 1, 2) margins and tiles are laid out from the other end: the scores
    are the mirror image of those of the image mirrored along these axes, to the voxel.
    `fewer` is called when memory was too small for a group of tiles; it says how many to go on
    with, or raises.
    """
    shape = image.shape[1:]
    padded, margins = _pad(image, patch_size, from_end)
    size = padded.shape[1:]
    starts = [
        tile_starts(s, t, step, axis in from_end)
        for axis, (s, t) in enumerate(zip(size, patch_size, strict=True))
    ]
    weights = [
        tile_weights(s, t, at).to(image.device, non_blocking=True)
        for s, t, at in zip(size, patch_size, starts, strict=True)
    ]
    places = {
        index: _place(index, starts, patch_size)
        for index in itertools.product(*(range(len(at)) for at in starts))
    }
    alike = _alike(padded, places)
    left, scores = list(alike), None
    while left:
        group = left[:tile_batch]
        tiles = torch.stack([padded[places[index]] for index in group])
        predicted = predict(tiles) if fewer is None else if_it_fits(predict, tiles)
        if predicted is None:
            assert fewer is not None
            tile_batch = fewer()
            continue
        left = left[len(group) :]
        if len(places) == 1:
            scores = predicted[0].float()
            break
        if scores is None:
            scores = predicted.new_zeros((predicted.shape[1], *size), dtype=torch.float32)
        for first, tile in zip(group, predicted.float(), strict=True):
            for index in alike[first]:
                scores[places[index]] += _weighted(tile, index, weights)
    assert scores is not None
    z, y, x = (slice(m, m + s) for m, s in zip(margins, shape, strict=True))
    return scores[:, z, y, x]


def if_it_fits(function: Score, tensor: Tensor) -> Tensor | None:
    """Return `function(tensor)`; None when memory was too small, with all it held free again."""
    try:
        return function(tensor)
    except torch.OutOfMemoryError:
        return None  # an error that is still held keeps all tensors on its way


def _alike(padded: Tensor, places: Mapping[Index, Place]) -> dict[Index, list[Index]]:
    """Return tiles to predict, each with those that get the same scores, itself first.

    The only look at a device's numbers before the scores are there.
    """
    if len(places) == 1:
        return {index: [index] for index in places}
    axes = (1, 2, 3)
    ends = [torch.stack([padded[p].amin(axes), padded[p].amax(axes)]) for p in places.values()]
    lowest, highest = torch.stack(ends, 1).cpu().numpy()  # (tiles, C) each
    uniform = (highest - lowest <= ROUNDING).all(1)
    alike: dict[Index, list[Index]] = {}
    seen: list[tuple[np.ndarray, Index]] = []  # the value of each kind, and the first tile of it
    for index, value, same in zip(places, lowest, uniform, strict=True):
        twins = [first for known, first in seen if np.abs(known - value).max() <= ROUNDING]
        if same and twins:
            alike[twins[0]].append(index)
            continue
        alike[index] = [index]
        if same:
            seen.append((value, index))
    return alike


def _pad(image: Tensor, patch_size: Triple, from_end: Sequence[int]) -> tuple[Tensor, list[int]]:
    missing = [max(0, p - s) for p, s in zip(patch_size, image.shape[1:], strict=True)]
    before = [(m + (axis in from_end)) // 2 for axis, m in enumerate(missing)]
    if not any(missing):
        return image, before
    sides = [side for m, b in zip(missing, before, strict=True) for side in (m - b, b)]
    return functional.pad(image, sides[::-1]), before


def _place(index: Index, starts: Sequence[Sequence[int]], patch_size: Triple) -> Place:
    begins = [at[i] for at, i in zip(starts, index, strict=True)]
    return (
        slice(None),
        *(slice(b, b + p) for b, p in zip(begins, patch_size, strict=True)),
    )


def _weighted(tile: Tensor, index: Index, weights: Sequence[Tensor]) -> Tensor:
    """Return `tile` (channels, *P) times its weights, axis by axis."""
    for axis, (i, weight) in enumerate(zip(index, weights, strict=True)):
        if len(weight) > 1:
            tile = tile * weight[i].reshape([-1 if a == axis else 1 for a in range(3)])
    return tile
