"""Losses for exclusive targets (softmax) and overlapping ones (a sigmoid each).

A loss is `(scores (B, channels, *P), Batch, Labels, batch_dice) -> scalar`, and built-in ones are
sums of `terms.py`. Four rules hold for all:

- Arithmetic is float32, whatever the precision of the network.
- Voxels with value index `Labels.ignored_index` count nowhere.
- A target that was not annotated in a sample teaches nothing there. Exclusive: its probability is
  added to background's, since its voxels carry the label background, and regions (Dice, Tversky)
  leave it out. Overlapping: its channel is left out.
- Where several ranks share a batch, each sees its own samples: whatever is summed or counted over
  voxels or samples goes through `batch.ranks.all_sum` before a quotient is made of it, and so does
  a sum of losses. Every rank then returns the loss of the whole batch, and its gradient is the
  part of the rank's own samples; the trainer adds those up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from autoseg.config import TrainConfig
from autoseg.device import constant
from autoseg.errors import UsageError
from autoseg.labels import Labels
from autoseg.registry import resolve
from autoseg.training.batch import Batch
from autoseg.training.boundary import nearness, reach_voxels
from autoseg.training.distributed import ALONE, Ranks
from autoseg.training.regions import region_loss
from autoseg.training.softmax_loss import SoftmaxLoss
from autoseg.training.target_weights import channel_weights
from autoseg.training.terms import TINY, Terms, curved_terms, parse_loss

Loss = Callable[[Tensor, Batch, Labels, bool], Tensor]


def build_loss(
    config: TrainConfig, labels: Labels, spacing_mm: Sequence[float | None] = (1.0, 1.0, 1.0)
) -> Loss:
    """Return the loss that `config` names: a sum of terms, or "package.module:function".

    `spacing_mm` is that of the prepared data; the boundary term wants to know how far to look.
    Raises UsageError for a name, a weight or a combination that cannot be meant with these labels.
    """
    weights = channel_weights(config.target_weights, labels)
    if ":" in config.loss:
        return averaged_over_ranks(_one_number(resolve("loss", config.loss, {}), config.loss))
    factors = parse_loss(config.loss)
    if "bce" in factors and labels.exclusive and len(factors) > 1:
        raise UsageError(
            f"loss={config.loss}: no target overlaps another, so all terms but bce see a softmax",
            expected="bce alone, or ce in its place",
        )
    terms = Terms(factors, config, weights, reach_voxels(config.boundary_sigma_mm, spacing_mm))

    def loss(scores: Tensor, batch: Batch, labels: Labels, batch_dice: bool) -> Tensor:
        annotated = batch.annotated.to(scores.device) if batch.partial else None
        # Sums over a whole patch need float32: bfloat16 has three digits.
        with torch.autocast(scores.device.type, enabled=False):
            if not labels.exclusive:
                return _overlapping(scores, batch, annotated, labels, batch_dice, terms)
            if "bce" in factors:
                return _one_against_all(scores, batch, annotated, labels, terms)
            return _exclusive(scores, batch, annotated, labels, batch_dice, terms)

    return loss


def _one_number(loss: Loss, name: str) -> Loss:
    """Return a loss of the user's own that is refused, by its name, where it gives no number."""

    def checked(scores: Tensor, batch: Batch, labels: Labels, batch_dice: bool) -> Tensor:
        value = loss(scores, batch, labels, batch_dice)
        if not isinstance(value, Tensor) or value.numel() != 1:
            shape = f" of shape {tuple(value.shape)}" if isinstance(value, Tensor) else ""
            fact = f"loss '{name}' returned a {type(value).__name__}{shape}"
            raise UsageError(fact, expected="a tensor with one number")
        return value

    return checked


def averaged_over_ranks(loss: Loss) -> Loss:
    """Return a loss of the whole batch from one that sees the samples of its own rank only.

    It is the mean over the ranks, weighted by their samples: exact for a mean over samples.
    """

    def total(scores: Tensor, batch: Batch, labels: Labels, batch_dice: bool) -> Tensor:
        ranks = batch.ranks
        if ranks.alone:
            return loss(scores, batch, labels, batch_dice)
        ours = dataclasses.replace(batch, ranks=ALONE, first=0, whole=None)
        samples = torch.full((), float(len(batch.target)), device=scores.device)
        share = samples / ranks.all_sum(samples)
        return ranks.all_sum(loss(scores, ours, labels, batch_dice) * share)

    return total


def _exclusive(
    scores: Tensor, batch: Batch, annotated: Tensor | None, labels: Labels, batch_dice: bool,
    terms: Terms,
) -> Tensor:  # fmt: skip
    """Return the terms of a softmax over logits (B, 1 + K, *P)."""
    if annotated is not None:
        scores = _merge_unannotated(_at_least_float32(scores), annotated)
    channel = _channels(batch.target, annotated, labels)
    valid = _valid(batch, labels)
    near = _nearness(channel, valid, batch, terms)
    valid = None if valid is None else valid.flatten(1)
    near = None if near is None else near.flatten(1)
    arguments = (channel.flatten(1), valid, annotated, near, batch_dice, terms, batch.ranks)
    return SoftmaxLoss.apply(scores.flatten(2), *arguments)


def _overlapping(
    scores: Tensor, batch: Batch, annotated: Tensor | None, labels: Labels, batch_dice: bool,
    terms: Terms,
) -> Tensor:  # fmt: skip
    """Return the terms of sigmoids of logits (B, K, *P), each target on its own."""
    valid = _valid(batch, labels)
    near = _nearness(batch.target, valid, batch, terms)
    voxels = None if valid is None else valid.flatten(1).unsqueeze(1)
    near = None if near is None else near.flatten(1).unsqueeze(1)
    scores = _at_least_float32(scores).flatten(2)
    truth = _members(batch.target, labels).flatten(2)
    p = torch.sigmoid(scores)
    loss = _sigmoid_terms(scores, truth, voxels, annotated, near, terms, batch.ranks)
    if not terms.has_regions:
        return loss
    if voxels is not None:
        p, truth = p * voxels, truth & voxels
    sums = (p.masked_fill(~truth, 0).sum(2), p.sum(2), truth.sum(2))
    return loss + region_loss(terms, *sums, annotated, batch_dice, batch.ranks)


def _one_against_all(
    scores: Tensor, batch: Batch, annotated: Tensor | None, labels: Labels, terms: Terms
) -> Tensor:
    """Return the cross-entropy of a sigmoid for each channel (B, 1 + K, *P), background's too.

    The largest score wins, as with a softmax. Where a target was not annotated, its channel is left
    out, and background's in the voxels labelled so: they may be that target.
    """
    channel = _channels(batch.target, annotated, labels).flatten(1)
    truth = torch.stack([channel == c for c in range(labels.channels)], 1)
    voxels = torch.ones_like(truth)
    valid = _valid(batch, labels)
    if valid is not None:
        voxels &= valid.flatten(1).unsqueeze(1)
    if annotated is not None:
        voxels[:, 1:] &= annotated.unsqueeze(2)
        voxels[:, 0] &= annotated.all(1, keepdim=True) | (channel != 0)
    scores = _at_least_float32(scores).flatten(2)
    return _sigmoid_terms(scores, truth, voxels, None, None, terms, batch.ranks)


def _sigmoid_terms(
    scores: Tensor, truth: Tensor, voxels: Tensor | None, annotated: Tensor | None,
    near: Tensor | None, terms: Terms, ranks: Ranks,
) -> Tensor:  # fmt: skip
    """Return the voxel terms of logits (B, K, V); only `voxels` (B, 1 or K, V) count, if given."""
    entropy = functional.softplus(scores) - scores.masked_fill(~truth, 0)
    if terms.config.label_smoothing:
        # the truth as (1 - smoothing) truth + smoothing / 2
        moved = torch.where(truth, scores, -scores) * (terms.config.label_smoothing / 2)
        entropy = entropy + moved
    known = torch.ones_like(scores[:, :, 0]) if annotated is None else annotated.to(scores.dtype)
    weights = terms.weights_like(scores)
    share = known if weights is None else known * weights  # (B, K)
    counted = scores.shape[2] if voxels is None else voxels.sum(2)
    costs = entropy if voxels is None else entropy * voxels
    if annotated is not None or weights is not None:
        costs = costs * share.unsqueeze(2)
    ce = terms.factors.get("ce", 0.0) + terms.factors.get("bce", 0.0)
    pairs = ranks.all_sum((counted * share).sum()).clamp_min(TINY)
    loss = ce * ranks.all_sum(costs.sum()) / pairs
    if near is not None:
        pairs = ranks.all_sum((counted * known).sum()).clamp_min(TINY)
        loss = loss + terms.factors["boundary"] * ranks.all_sum((costs * near).sum()) / pairs
    if terms.curved:
        weight = share.unsqueeze(2) if voxels is None else share.unsqueeze(2) * voxels
        loss = loss + curved_terms(terms, entropy, weight.expand_as(entropy), ranks)
    return loss


def _valid(batch: Batch, labels: Labels) -> Tensor | None:
    """Return which voxels (B, *P) count; None: all."""
    return None if labels.ignore is None else batch.target != labels.ignored_index


def _nearness(values: Tensor, valid: Tensor | None, batch: Batch, terms: Terms) -> Tensor | None:
    """Return the weight (B, *P) of the boundary term; None where that is no part of the loss."""
    if "boundary" not in terms.factors:
        return None
    sigma_mm = terms.config.boundary_sigma_mm
    return nearness(values, valid, batch.spacing_mm, sigma_mm, terms.reach)


def _at_least_float32(scores: Tensor) -> Tensor:
    return scores.to(torch.promote_types(scores.dtype, torch.float32))


def _merge_unannotated(scores: Tensor, annotated: Tensor) -> Tensor:
    """Return logits (B, 1 + K, *P) whose softmax has the missing targets' share in background."""
    missing = functional.pad(~annotated, (1, 0)).view(*scores.shape[:2], 1, 1, 1)
    others = ~missing
    others[:, 0] = False
    background = scores.masked_fill(others, -torch.inf).logsumexp(1, keepdim=True)
    return torch.cat((background, scores[:, 1:].masked_fill(missing[:, 1:], -torch.inf)), 1)


def _channels(target: Tensor, annotated: Tensor | None, labels: Labels) -> Tensor:
    """Return the softmax channel (B, *P) of value indices; 0 where ignored or not annotated."""
    lookup = constant(labels.by_index(labels.channel_of_value), target.device)
    if annotated is None:
        return lookup[target.long()]
    known = functional.pad(annotated, (1, 0), value=True)
    per_sample = lookup * known[:, lookup]
    return per_sample.gather(1, target.flatten(1).long()).view(target.shape)


def _members(target: Tensor, labels: Labels) -> Tensor:
    """Return (B, K, *P) bool: which targets value indices (B, *P) belong to; none where ignored."""
    lookup = constant(labels.by_index(labels.membership.T), target.device)
    return torch.stack([column[target.long()] for column in lookup.unbind(1)], 1)
