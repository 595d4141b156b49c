"""Test-time mirroring: the mean over flips of a tile, each flipped back.

A left-right flip turns the left kidney into a right one: channels are exchanged on the way back.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor

import numpy as np
import torch
from torch import Tensor

from autoseg.device import constant
from autoseg.labels import Labels

Score = Callable[[Tensor], Tensor]
Job = tuple[int, tuple[int, ...]]  # a tile, and the axes it is flipped along


def all_flips(axes: Sequence[int]) -> list[tuple[int, ...]]:
    """Return every subset of `axes`, the empty one first.

    >>> all_flips((1, 2))
    [(), (1,), (2,), (1, 2)]
    """
    return [flip for n in range(len(axes) + 1) for flip in itertools.combinations(axes, n)]


def choose_flips(axes: Sequence[int], mirror: str) -> list[tuple[int, ...]]:
    """Return the flips along `axes` that are averaged: "all", "half" of them, or mirroring "off".

    Half means an even number of axes: every axis is still flipped in half of the images. (All flips
    of a scan flipped along one axis are the same set; of the even ones only along two.)

    >>> choose_flips((0, 1, 2), "half")
    [(), (0, 1), (0, 2), (1, 2)]
    """
    if mirror == "off":
        return [()]
    flips = all_flips(axes)
    # With one axis the even half would be no mirroring at all.
    return flips if mirror == "all" or len(axes) < 2 else [f for f in flips if len(f) % 2 == 0]


def mirrored(
    predict: Score,
    flips: Sequence[tuple[int, ...]],
    left_right_axis: int | None,
    labels: Labels,
    batch: int = 1,
    executor: Executor | None = None,
    entering: Sequence[int] | None = None,
) -> Score:
    """Return a function like `predict` that averages over `flips` along spatial axes (0, 1, 2).

    Flips of tiles (B, C, Z, Y, X) go through `predict` at most `batch` at a time; with an executor
    several such groups at once. The sum is made in a fixed order, so results do not depend on it.
    `entering` is the order of the channels of tiles whose left and right are exchanged (None: the
    same), for masks of targets among them.
    """

    def run(tiles: Tensor) -> Tensor:
        exchanged = constant(np.array(labels.mirrored_channels), tiles.device)
        entered = None if entering is None else constant(np.array(entering), tiles.device)
        jobs = [(index, flip) for index in range(len(tiles)) for flip in flips]
        groups = [jobs[i : i + batch] for i in range(0, len(jobs), batch)]

        def score(group: Sequence[Job]) -> Tensor:
            return predict(torch.stack([turned(tiles[index], flip) for index, flip in group]))

        def turned(tile: Tensor, flip: Sequence[int]) -> Tensor:
            if entered is not None and left_right_axis in flip:
                tile = tile[entered]
            return _flip(tile, flip)

        if executor is None or len(groups) == 1:
            results: Iterator[Tensor] = map(score, groups)
        else:
            results = executor.map(score, groups)
        total: list[Tensor | None] = [None] * len(tiles)
        for (index, flip), scores in zip(jobs, itertools.chain.from_iterable(results), strict=True):
            back = _flip(scores, flip)
            if left_right_axis in flip:
                back = back[exchanged]
            before = total[index]
            total[index] = back.float() if before is None else before.add_(back)
        return torch.stack([mean for mean in total if mean is not None]).div_(len(flips))

    return run


def _flip(volume: Tensor, axes: Sequence[int]) -> Tensor:
    """Return `volume` (C, Z, Y, X) flipped along spatial axes."""
    return volume.flip([axis + 1 for axis in axes]) if axes else volume
