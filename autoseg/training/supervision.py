"""Deep supervision: one loss over the scores of every resolution, and the targets for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from autoseg.device import constant
from autoseg.labels import Labels
from autoseg.training.batch import Batch
from autoseg.training.losses import Loss


def deep_supervision_weights(resolutions: int) -> tuple[float, ...]:
    """Return one weight per decoder resolution, finest first: halved each time, the last one zero.

    >>> deep_supervision_weights(3)
    (0.6666666666666666, 0.3333333333333333, 0.0)
    """
    weights = [0.5**i for i in range(resolutions)]
    if resolutions > 1:
        weights[-1] = 0.0
    return tuple(weight / sum(weights) for weight in weights)


def deep_supervised(
    loss: Loss, weights: Sequence[float] | None = None
) -> Callable[[Sequence[Tensor], Batch, Labels, bool], Tensor]:
    """Return the weighted sum of `loss` over a list of scores, finest first.

    Targets are brought to each resolution by the nearest voxel. `weights` None: those of
    `deep_supervision_weights` for the length of the list; (1.0,) supervises the finest only.
    """

    def total(scores: Sequence[Tensor], batch: Batch, labels: Labels, batch_dice: bool) -> Tensor:
        chosen = weights or deep_supervision_weights(len(scores))
        terms = [
            weight * loss(score, downsampled(batch, score.shape[2:]), labels, batch_dice)
            for score, weight in zip(scores, chosen, strict=False)
            if weight
        ]
        return torch.stack(terms).sum()

    return total


def downsampled(batch: Batch, shape: Sequence[int]) -> Batch:
    """Return `batch` with its target (B, *P) on a coarser grid, by the nearest voxel."""
    target, coarser = batch.target, [1.0, 1.0, 1.0]
    for axis, (length, wanted) in enumerate(zip(target.shape[1:], shape, strict=True)):
        if length != wanted:
            index = torch.arange(wanted, device=target.device)
            target = target.index_select(axis + 1, ((2 * index + 1) * length) // (2 * wanted))
            coarser[axis] = length / wanted
    if target is batch.target:
        return batch
    spacing_mm = batch.spacing_mm * constant(np.asarray(coarser, np.float32), target.device)
    return dataclasses.replace(batch, target=target, spacing_mm=spacing_mm)
