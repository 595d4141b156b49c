"""Labels are decided while scores are brought back to the scan's grid, slab by slab.

All K scores on the grid of a large scan may be twenty times larger than the scan. But only the best
one matters: each slab is restored target by target, and what is kept is one label and one score a
voxel. The operators are those of `preprocessing.resample`, applied on the device of the scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autoseg.labels import Labels
from autoseg.preprocessing.prepare import Frame, place, restore_operators

SLAB_VOXELS = 1 << 22  # of one target on the scan's grid: 16 MB
BLOCK = 64  # rows of an operator per product: its non-zero weights lie around the diagonal

Bands = list[tuple[int, int, Tensor]]  # first and last + 1 column used, weights (rows, columns)


def decode_restored(scores: Tensor, frame: Frame, labels: Labels) -> np.ndarray:
    """Return the label map (Z, Y, X) on the source grid of prepared `scores` (channels, z, y, x).

    Equals `labels.decode(restore(scores, frame))` without ever holding more than a slab of scores.
    Outside the frame's box everything is background.
    """
    return decode_mean([(scores, frame)], labels)


def decode_mean(members: Sequence[tuple[Tensor, Frame]], labels: Labels) -> np.ndarray:
    """Return the label map (Z, Y, X) of several models' scores of one scan.

    One member: its logits decide. Several: the mean of their probabilities. All frames are of the
    same scan, with the same box and axis order; each has its own prepared grid.
    """
    frame = members[0][1]
    if any((f.box, f.axis_order) != (frame.box, frame.axis_order) for _, f in members):
        raise ValueError("the members do not show the same part of one scan")
    label_map = np.empty(frame.cropped_shape, dtype=labels.dtype)
    sources = [_Source.of(scores, own) for scores, own in members]
    for rows in _slabs(frame.cropped_shape):
        if len(sources) == 1:
            targets: Iterator[Tensor] = sources[0].slab(rows)
            threshold = 0.0
        else:
            targets = iter(_mean_probability(sources, rows, labels))
            threshold = 0.5
        label_map[rows] = _decide(targets, labels, threshold)
    return place(label_map, frame)


def _slabs(shape: Sequence[int]) -> list[slice]:
    thick = max(1, SLAB_VOXELS // (shape[1] * shape[2]))
    return [slice(z, min(z + thick, shape[0])) for z in range(0, shape[0], thick)]


def _decide(targets: Iterator[Tensor], labels: Labels, threshold: float) -> np.ndarray:
    """Return the labels of a slab from its scores (z, y, x), channel by channel."""
    if not labels.exclusive:
        label_map: np.ndarray | None = None
        for value, score in zip(labels.written, targets, strict=True):
            present = (score > threshold).cpu().numpy()
            label_map = np.zeros(present.shape, labels.dtype) if label_map is None else label_map
            label_map[present] = value
        assert label_map is not None
        return label_map
    best = next(targets).clone()
    winner = torch.zeros(best.shape, dtype=torch.int16, device=best.device)
    for channel, score in enumerate(targets, start=1):
        # In a tie the first channel wins, as in argmax.
        winner[score > best] = channel
        torch.maximum(best, score, out=best)
    return labels.written[winner.cpu().numpy()]


def _mean_probability(sources: Sequence[_Source], rows: slice, labels: Labels) -> Tensor:
    total: Tensor | None = None
    for source in sources:
        logits = torch.stack(list(source.slab(rows)))
        own = logits.softmax(0) if labels.exclusive else logits.sigmoid()
        total = own if total is None else total.to(own.device) + own
    assert total is not None
    return total / len(sources)


@dataclass(frozen=True)
class _Source:
    """Scores on the prepared grid and the operators that bring slabs of them to the box."""

    scores: Tensor
    z: np.ndarray | None
    y: Bands | None
    x: Bands | None

    @classmethod
    def of(cls, scores: Tensor, frame: Frame) -> _Source:
        z, y, x = restore_operators(frame)
        return cls(scores, z, _bands(y, scores.device), _bands(x, scores.device))

    @torch.inference_mode()
    def slab(self, rows: slice) -> Iterator[Tensor]:
        """Yield the restored scores (z, y, x) of each channel for `rows` of the box."""
        planes, weights = rows, None
        if self.z is not None:
            used = np.flatnonzero(self.z[rows].any(0))
            planes = slice(int(used[0]), int(used[-1]) + 1)
            weights = torch.from_numpy(self.z[rows, planes].astype(np.float32))
            weights = weights.to(self.scores.device)
        for channel in self.scores:
            volume = channel[planes]
            # Across slices first where that leaves fewer of them, last where it makes more.
            shrinks = weights is not None and weights.shape[0] < weights.shape[1]
            if weights is not None and shrinks:
                volume = torch.tensordot(weights, volume, 1)
            volume = _along_y(_along_x(volume, self.x), self.y)
            if weights is not None and not shrinks:
                volume = torch.tensordot(weights, volume, 1)
            yield volume


def _bands(matrix: np.ndarray | None, device: torch.device) -> Bands | None:
    """Cut a banded operator into blocks of rows that skip its zeros."""
    if matrix is None:
        return None
    bands = []
    for start in range(0, len(matrix), BLOCK):
        block = matrix[start : start + BLOCK]
        used = np.flatnonzero(block.any(0))
        first, last = int(used[0]), int(used[-1]) + 1
        weights = torch.from_numpy(block[:, first:last].astype(np.float32))
        bands.append((first, last, weights.to(device)))
    return bands


def _along_x(volume: Tensor, bands: Bands | None) -> Tensor:
    if bands is None:
        return volume
    return torch.cat([volume[:, :, a:b] @ weights.T for a, b, weights in bands], 2)


def _along_y(volume: Tensor, bands: Bands | None) -> Tensor:
    if bands is None:
        return volume
    return torch.cat([torch.matmul(weights, volume[:, a:b]) for a, b, weights in bands], 1)
