"""Scores on the prepared grid as blocks of the scan's grid: a few rows of each operator at a time.

The operators are those of `preprocessing.resample`, applied on the device of the scores.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autoseg.preprocessing.prepare import Frame, restore_operators

# Voxels of one block along (z, y, x). A block of one target is 256 kB, within a core's own cache;
# an operator's non-zero weights lie around its diagonal, so short runs of rows skip its zeros.
BLOCK = (16, 64, 64)
GPU_BLOCK = (64, 256, 512)
GROUP_BYTES = 256 << 20  # of a block of all targets

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Band:
    """Some rows of an operator: the output they make, the input they need, and the weights."""

    rows: slice
    used: slice
    weights: Tensor | None  # (rows, used); None: the axis keeps its size, rows are used as they are


Bands = tuple[Band, Band, Band]


def block_size(device: torch.device, channels: int) -> Triple:
    """Return the voxels (z, y, x) of one block where all `channels` of it are held at once."""
    z, y, x = BLOCK if device.type == "cpu" else GPU_BLOCK
    return max(1, min(z, GROUP_BYTES // (8 * channels * y * x))), y, x


@dataclass(frozen=True)
class Source:
    """Scores on the prepared grid and the operators that bring blocks of them to the box."""

    scores: Tensor
    axes: tuple[list[Band], list[Band], list[Band]]

    @classmethod
    def of(cls, scores: Tensor, frame: Frame, block: Triple) -> Source:
        """Return `scores` (K, z, y, x) with what restores blocks of (Z, Y, X) voxels of them."""
        z, y, x = (
            _bands(matrix, size, step, scores.device)
            for matrix, size, step in zip(
                restore_operators(frame), frame.cropped_shape, block, strict=True
            )
        )
        return cls(scores, (z, y, x))

    def blocks(self) -> Iterator[Bands]:
        """Yield the bands (z, y, x) of every block; all sources of a scan have the same ones."""
        yield from itertools.product(*self.axes)

    def cut(self, bands: Bands) -> Tensor:
        """Return a copy of the scores (channels, z, y, x) that a block is made from."""
        z, y, x = (band.used for band in bands)
        return self.scores[:, z, y, x].contiguous()


def restored(part: Tensor, bands: Bands) -> Tensor:
    """Return the block (z, y, x) float32 that is made from `part`, the voxels it needs."""
    z, y, x = bands
    block = part.float()
    if x.weights is not None:
        block = torch.matmul(block, x.weights.T)
    if y.weights is not None:
        block = torch.matmul(y.weights, block)
    return block if z.weights is None else torch.tensordot(z.weights, block, 1)


def _bands(matrix: np.ndarray | None, size: int, step: int, device: torch.device) -> list[Band]:
    """Cut a banded operator (size, n) into blocks of `step` rows that skip its zeros."""
    bands = []
    for start in range(0, size, step):
        rows = slice(start, min(start + step, size))
        if matrix is None:
            bands.append(Band(rows, rows, None))
            continue
        nonzero = np.flatnonzero(matrix[rows].any(0))
        used = slice(int(nonzero[0]), int(nonzero[-1]) + 1)
        weights = torch.from_numpy(matrix[rows, used].astype(np.float32)).to(device)
        bands.append(Band(rows, used, weights))
    return bands
