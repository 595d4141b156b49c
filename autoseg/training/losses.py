"""Dice and cross-entropy for exclusive targets (softmax) and overlapping ones (a sigmoid each).

A loss is `(scores (B, channels, *P), Batch, Labels, batch_dice) -> scalar`. Four rules hold for
all:

- Arithmetic is float32, whatever the precision of the network.
- Voxels with value index `Labels.ignored_index` count nowhere.
- A target that was not annotated in a sample teaches nothing there. Exclusive: its probability is
  added to background's, since its voxels carry the label background, and its Dice is left out.
  Overlapping: its channel is left out.
- Where several ranks share a batch, each sees its own samples: whatever is summed or counted over
  voxels or samples goes through `batch.ranks.all_sum` before a quotient is made of it, and so does
  a sum of losses. Every rank then returns the loss of the whole batch, and its gradient is the
  part of the rank's own samples; the trainer adds those up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from autoseg.labels import Labels
from autoseg.registry import resolve
from autoseg.training.distributed import ALONE
from autoseg.training.loader import Batch
from autoseg.training.softmax_dice import SoftmaxDiceCE, dice_and_slopes

Loss = Callable[[Tensor, Batch, Labels, bool], Tensor]


def dice_and_ce(
    scores: Tensor, batch: Batch, labels: Labels, batch_dice: bool, dice: float = 1, ce: float = 1
) -> Tensor:
    """Return `dice * (1 - mean soft Dice) + ce * mean cross-entropy` of logits (B, channels, *P).

    Soft Dice leaves background out; `batch_dice` takes one Dice over all samples of the batch.
    """
    annotated = batch.annotated.to(scores.device) if batch.partial else None
    # Sums over a whole patch need float32: bfloat16 has three digits.
    with torch.autocast(scores.device.type, enabled=False):
        if not labels.exclusive:
            return _overlapping(scores, batch, annotated, labels, batch_dice, dice, ce)
        if annotated is not None:
            scores = _merge_unannotated(scores.float(), annotated)
        channel = _channels(batch.target, annotated, labels).flatten(1)
        valid = None
        if labels.ignore is not None:
            valid = (batch.target != labels.ignored_index).flatten(1)
        arguments = (channel, valid, annotated, batch_dice, dice, ce, batch.ranks)
        return SoftmaxDiceCE.apply(scores.flatten(2), *arguments)


LOSSES: dict[str, Loss] = {
    "dice_ce": dice_and_ce,
    "dice": partial(dice_and_ce, ce=0),
    "ce": partial(dice_and_ce, dice=0),
}


def build_loss(name: str) -> Loss:
    """Return the loss of that name: one of `LOSSES` or "package.module:function"."""
    loss: Loss = resolve("loss", name, LOSSES)
    return loss if name in LOSSES else averaged_over_ranks(loss)


def averaged_over_ranks(loss: Loss) -> Loss:
    """Return a loss of the whole batch from one that sees the samples of its own rank only.

    It is the mean over the ranks, weighted by their samples: exact for a mean over samples.
    """

    def total(scores: Tensor, batch: Batch, labels: Labels, batch_dice: bool) -> Tensor:
        ranks = batch.ranks
        if ranks.alone:
            return loss(scores, batch, labels, batch_dice)
        ours = dataclasses.replace(batch, ranks=ALONE, first=0, whole=None)
        samples = torch.tensor(float(len(batch.target)), device=scores.device)
        share = samples / ranks.all_sum(samples)
        return ranks.all_sum(loss(scores, ours, labels, batch_dice) * share)

    return total


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
    target = batch.target
    for axis, (length, wanted) in enumerate(zip(target.shape[1:], shape, strict=True), start=1):
        if length != wanted:
            index = torch.arange(wanted, device=target.device)
            target = target.index_select(axis, ((2 * index + 1) * length) // (2 * wanted))
    return batch if target is batch.target else dataclasses.replace(batch, target=target)


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


def _overlapping(
    scores: Tensor, batch: Batch, annotated: Tensor | None, labels: Labels, batch_dice: bool,
    dice: float, ce: float,
) -> Tensor:  # fmt: skip
    """Sigmoid cross-entropy + Dice of logits (B, K, *P), each target on its own."""
    scores, target, ranks = scores.float().flatten(2), batch.target, batch.ranks
    truth = _members(target, labels).flatten(2)
    p = torch.sigmoid(scores)
    entropy = functional.softplus(scores) - scores.masked_fill(~truth, 0)
    voxels = torch.ones_like(target).flatten(1).unsqueeze(1)
    if labels.ignore is not None:
        voxels = (target != labels.ignored_index).flatten(1).unsqueeze(1)
        p, entropy, truth = p * voxels, entropy * voxels, truth & voxels
    pairs = voxels.sum() * scores.shape[1]
    if annotated is not None:
        entropy = entropy * annotated.unsqueeze(2)
        pairs = (voxels.sum(2) * annotated).sum()
    overlap, total = p.masked_fill(~truth, 0).sum(2), p.sum(2) + truth.sum(2)
    dice_loss, _, _ = dice_and_slopes(overlap, total, annotated, batch_dice, ranks)
    voxels = ranks.all_sum(pairs).clamp_min(1)
    return dice * dice_loss + ce * ranks.all_sum(entropy.sum()) / voxels


def _merge_unannotated(scores: Tensor, annotated: Tensor) -> Tensor:
    """Return logits (B, 1 + K, *P) whose softmax has the missing targets' share in background."""
    missing = functional.pad(~annotated, (1, 0)).view(*scores.shape[:2], 1, 1, 1)
    others = ~missing
    others[:, 0] = False
    background = scores.masked_fill(others, -torch.inf).logsumexp(1, keepdim=True)
    return torch.cat((background, scores[:, 1:].masked_fill(missing[:, 1:], -torch.inf)), 1)


def _channels(target: Tensor, annotated: Tensor | None, labels: Labels) -> Tensor:
    """Return the softmax channel (B, *P) of value indices; 0 where ignored or not annotated."""
    lookup = torch.from_numpy(labels.by_index(labels.channel_of_value)).to(target.device)
    if annotated is None:
        return lookup[target.long()]
    known = functional.pad(annotated, (1, 0), value=True)
    per_sample = lookup * known[:, lookup]
    return per_sample.gather(1, target.flatten(1).long()).view(target.shape)


def _members(target: Tensor, labels: Labels) -> Tensor:
    """Return (B, K, *P) bool: which targets value indices (B, *P) belong to; none where ignored."""
    lookup = torch.from_numpy(labels.by_index(labels.membership.T)).to(target.device)
    return torch.stack([column[target.long()] for column in lookup.unbind(1)], 1)
