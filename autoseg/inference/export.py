"""Labels are decided while scores are brought back to the scan's grid, block by block.

All K scores on the grid of a large scan may be twenty times larger than the scan. But only the best
one matters: each block is restored target by target, and what is kept is one label and one score a
voxel. A block stays in the processor's cache from the first product to the last comparison. The
operators are those of `preprocessing.resample`, applied on the device of the scores.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autoseg.labels import Labels
from autoseg.preprocessing.prepare import Frame, place, restore_operators

BLOCK_VOXELS = 1 << 18  # of one target: 1 MB, a core's own cache
GPU_BLOCK_VOXELS = 1 << 23
BLOCK_ROWS = 64  # of an operator in one product: its non-zero weights lie around the diagonal
GROUP_BYTES = 256 << 20  # of probabilities of all targets, when several models are averaged


@dataclass(frozen=True)
class Band:
    """Some rows of an operator: the output they make, the input they need, and the weights."""

    rows: slice
    used: slice
    weights: Tensor | None  # (rows, used); None: the axis keeps its size, rows are used as they are


def decode_restored(scores: Tensor, frame: Frame, labels: Labels) -> np.ndarray:
    """Return the label map (Z, Y, X) on the source grid of prepared `scores` (channels, z, y, x).

    Equals `labels.decode(restore(scores, frame))` without ever holding more than a block of scores.
    Outside the frame's box everything is background.
    """
    return decode_mean([(scores, frame)], labels)


@torch.inference_mode()
def decode_mean(
    members: Sequence[tuple[Tensor, Frame]],
    labels: Labels,
    thresholds: Sequence[float] | None = None,
) -> np.ndarray:
    """Return the label map (Z, Y, X) of several models' scores of one scan.

    One member: its logits decide. Several: the mean of their probabilities. `thresholds` (K,) are
    the probabilities above which overlapping targets are present; None: 0.5. All frames are of the
    same scan, with the same orientation, axis order and box; each has its own prepared grid.
    """
    frame = members[0][1]
    shown = (frame.box, frame.axis_order, frame.orientation)
    if any((f.box, f.axis_order, f.orientation) != shown for _, f in members):
        raise ValueError("the members do not show the same part of one scan")
    voxels = BLOCK_VOXELS if members[0][0].device.type == "cpu" else GPU_BLOCK_VOXELS
    if len(members) > 1:
        voxels = min(voxels, GROUP_BYTES // (8 * labels.channels))
    rows = max(1, voxels // (BLOCK_ROWS * frame.cropped_shape[2]))
    sources = [_Source.of(scores, own, rows) for scores, own in members]
    limits = list(thresholds or [0.5] * len(labels.names))
    if len(sources) == 1:
        limits = [math.log(p / (1 - p)) for p in limits]
    label_map = np.empty(frame.cropped_shape, dtype=labels.dtype)
    for i, j in itertools.product(range(len(sources[0].z)), range(len(sources[0].y))):
        if len(sources) == 1:
            targets = sources[0].block(i, j)
        else:
            targets = iter(_mean_probability(sources, i, j, labels))
        where = sources[0].z[i].rows, sources[0].y[j].rows
        label_map[where] = _decide(targets, labels, limits)
    return place(label_map, frame)


def _decide(targets: Iterator[Tensor], labels: Labels, limits: Sequence[float]) -> np.ndarray:
    """Return the labels of a block from its scores (z, y, x), channel by channel."""
    first = next(targets)
    # Channels come in ascending order, so the one that counts last is the largest that ever won:
    # a maximum, which is five times faster than filling where a mask is set.
    if labels.exclusive:
        best, winner = first.clone(), torch.zeros_like(first, dtype=torch.int16)
        for channel, score in enumerate(targets, start=1):
            # In a tie the first channel wins, as in argmax.
            torch.maximum(winner, (score > best).to(torch.int16).mul_(channel), out=winner)
            torch.maximum(best, score, out=best)
    else:
        winner = (first > limits[0]).to(torch.int16)
        for channel, score in enumerate(targets, start=2):
            torch.maximum(
                winner, (score > limits[channel - 1]).to(torch.int16).mul_(channel), out=winner
            )
    background = [] if labels.exclusive else [0]
    return np.asarray([*background, *labels.written], labels.dtype)[winner.cpu().numpy()]


def _mean_probability(sources: Sequence[_Source], i: int, j: int, labels: Labels) -> Tensor:
    total: Tensor | None = None
    for source in sources:
        logits = torch.stack(list(source.block(i, j)))
        own = logits.softmax(0) if labels.exclusive else logits.sigmoid()
        total = own if total is None else total.add_(own)
    assert total is not None
    return total.div_(len(sources))


@dataclass(frozen=True)
class _Source:
    """Scores on the prepared grid and the operators that bring blocks of them to the box."""

    scores: Tensor
    z: list[Band]
    y: list[Band]
    x: list[Band]

    @classmethod
    def of(cls, scores: Tensor, frame: Frame, rows: int) -> _Source:
        z, y, x = (
            _bands(matrix, size, step, scores.device)
            for matrix, size, step in zip(
                restore_operators(frame),
                frame.cropped_shape,
                (rows, BLOCK_ROWS, BLOCK_ROWS),
                strict=True,
            )
        )
        return cls(scores, z, y, x)

    def block(self, i: int, j: int) -> Iterator[Tensor]:
        """Yield the restored scores (z, y, x) of each channel in z-band `i` and y-band `j`."""
        z, y = self.z[i], self.y[j]
        for channel in self.scores:
            block = self._along_x(channel[z.used, y.used])
            if y.weights is not None:
                block = torch.matmul(y.weights, block)
            if z.weights is not None:
                block = torch.tensordot(z.weights, block, 1)
            yield block

    def _along_x(self, block: Tensor) -> Tensor:
        if self.x[0].weights is None:
            return block
        out = block.new_empty((*block.shape[:2], self.x[-1].rows.stop))
        for band in self.x:
            assert band.weights is not None
            flat = block[..., band.used].reshape(-1, band.weights.shape[1])
            out[..., band.rows] = (flat @ band.weights.T).reshape(*block.shape[:2], -1)
        return out


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
