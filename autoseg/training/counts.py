"""True and false voxels of what scores decide, for the Dice that is shown while training."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from autoseg.labels import Labels

MANY = 20  # targets, whose every second voxel would take 3 % of a step


@torch.no_grad()
def hard_counts(
    scores: Tensor, target: Tensor, labels: Labels, annotated: Tensor | None = None
) -> Tensor:
    """Return (K, 3) int64 true positives, false positives, false negatives over the batch.

    `scores` (B, channels, *P) logits, `target` (B, *P) value indices, ignored voxels left out. With
    `annotated` (B, K) bool, samples where a target was not annotated do not count for it. Stays on
    the device of `scores` and does not wait for it.
    """
    valid = target != labels.ignored_index
    best = scores.argmax(1) if labels.exclusive else None
    counts = []
    for k, members in enumerate(labels.membership):
        counted = valid
        if annotated is not None:
            counted = valid & annotated[:, k].to(scores.device).view(-1, 1, 1, 1)
        predicted = (scores[:, k] > 0 if best is None else best == k + 1) & counted
        values = np.flatnonzero(members).tolist()
        reference = torch.stack([target == value for value in values]).any(0) & counted
        hits = (predicted & reference).sum()
        counts.append(torch.stack((hits, predicted.sum() - hits, reference.sum() - hits)))
    return torch.stack(counts)


def thinned_counts(scores: Tensor, target: Tensor, labels: Labels, annotated: Tensor) -> Tensor:
    """Return the `hard_counts` of every second voxel along each axis, of many targets every fourth.

    An eighth of the work, or less; over the patches of an epoch their Dice is that of all voxels.
    """
    every = slice(None, None, 2 if len(labels.names) < MANY else 4)
    thin = (..., every, every, every)
    return hard_counts(scores[thin], target[thin], labels, annotated)
