"""Any sum of terms behind a softmax, its gradient written out: less memory, fewer passes.

`losses.py` says which voxels, samples and targets count, `terms.py` what is summed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from autoseg.training.distributed import Ranks
from autoseg.training.regions import region_slopes
from autoseg.training.terms import TINY, Terms, curved_terms, with_slopes

SMALLEST = 1e-38  # probability whose logarithm is still finite in float32


class SoftmaxLoss(torch.autograd.Function):
    """A loss of logits (B, 1 + K, V) with one buffer of that size and no one-hot.

    A sum over voxels of "probability times one-hot target" is a sum of the true class's probability
    over the voxels of that class, so beside the softmax only O(V) is needed; the softmax then
    becomes the gradient.
    """

    @staticmethod
    def forward(
        ctx: Any, scores: Tensor, channel: Tensor, valid: Tensor | None, annotated: Tensor | None,
        nearness: Tensor | None, batch_dice: bool, terms: Terms, ranks: Ranks,
    ) -> Tensor:  # fmt: skip
        p = torch.softmax(scores, 1, dtype=torch.promote_types(scores.dtype, torch.float32))
        true_p = p.gather(1, channel.unsqueeze(1)).squeeze(1)
        ones = torch.ones_like(true_p) if valid is None else valid.to(p.dtype)
        entropy = -true_p.clamp_min(SMALLEST).log()
        smoothing = terms.config.label_smoothing
        if smoothing:
            known = _known(annotated, p)
            entropy = torch.lerp(entropy, _mean_entropy(p, known), smoothing)
        loss, each = _voxel_terms(entropy, ones, channel, nearness, terms, ranks)
        if valid is not None:
            p.mul_(ones.unsqueeze(1))
            true_p.mul_(ones)
        to_overlap = to_volume = p.new_zeros(len(p), p.shape[1] - 1)
        if terms.has_regions:
            overlap, size = _sums_per_channel((true_p, ones), channel, p.shape[1])
            sums = (overlap, p[:, 1:].sum(2), size)
            regions, to_overlap, to_volume = region_slopes(
                terms, *sums, annotated, batch_dice, ranks
            )
            loss = loss + regions
        if ctx.needs_input_grad[0]:
            gradient = _through_softmax(p, true_p, channel, each, to_overlap, to_volume)
            if smoothing:
                _move_truth(gradient, channel, each * smoothing, known)
            ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return (gradient * outer[0], None, None, None, None, None, None, None)


def _voxel_terms(
    entropy: Tensor, ones: Tensor, channel: Tensor, nearness: Tensor | None, terms: Terms,
    ranks: Ranks,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return the voxel terms of entropies (B, V) and their slope (B, V) along them."""
    weights = terms.weights_like(ones)
    weight = ones if weights is None else ones * weights[channel]
    # What is linear in the entropy is its slope times it.
    slope = weight * (terms.factors.get("ce", 0.0) / ranks.all_sum(weight.sum()).clamp_min(TINY))
    if nearness is not None:
        voxels = ranks.all_sum(ones.sum()).clamp_min(TINY)
        slope = slope + weight * nearness * (terms.factors["boundary"] / voxels)
    loss = ranks.all_sum((entropy * slope).sum())
    if terms.curved:
        value, (bend,) = with_slopes(lambda h: curved_terms(terms, h, weight, ranks), entropy)
        loss, slope = loss + value, slope + bend
    return loss, slope


def _known(annotated: Tensor | None, p: Tensor) -> Tensor:
    """Return one number per channel (B, C, 1), equal and with sum 1, 0 where not annotated."""
    known = torch.ones_like(p[:, :, :1])
    if annotated is not None:
        known[:, 1:, 0] = annotated.to(p.dtype)
    return known / known.sum(1, keepdim=True)


def _mean_entropy(p: Tensor, known: Tensor) -> Tensor:
    """Return the mean of -log p over the known channels (B, V), for a smoothed label."""
    return -(p.clamp_min(SMALLEST).log() * known).sum(1)


def _move_truth(gradient: Tensor, channel: Tensor, amount: Tensor, known: Tensor) -> None:
    """Take `amount` (B, V) of the truth from the true channel and spread it, in place."""
    gradient.scatter_add_(1, channel.unsqueeze(1), amount.unsqueeze(1))
    gradient.sub_(amount.unsqueeze(1) * known)


def _sums_per_channel(
    values: Sequence[Tensor], channel: Tensor, channels: int
) -> tuple[Tensor, ...]:
    """Return, for each of `values` (B, V), the sums (B, K) over the voxels of channels 1, 2, ...

    One class at a time: a scatter would add in any order, and thousands of voxels to one address.
    """
    sums: list[list[Tensor]] = [[] for _ in values]
    for c in range(1, channels):
        here = channel == c
        for found, value in zip(sums, values, strict=True):
            found.append((value * here).sum(1))
    return tuple(torch.stack(found, 1) for found in sums)


def _through_softmax(
    p: Tensor, true_p: Tensor, channel: Tensor, each: Tensor, to_overlap: Tensor, to_volume: Tensor
) -> Tensor:
    """Turn the softmax `p` (B, C, V) into the gradient with respect to the logits, in place.

    With dL/dp_c = a_c [c = t] + b_c at true class t, the chain rule gives
    dL/ds_c = p_c (b_c - m) + [c = t] a_t p_t, where m = a_t p_t + sum_j b_j p_j.
    """
    a = functional.pad(to_overlap, (1, 0))  # background has no Dice
    b = functional.pad(to_volume, (1, 0)).unsqueeze(2)
    at_truth = a.gather(1, channel).mul_(true_p)
    common = each - at_truth
    for c in range(1, p.shape[1]):
        common.addcmul_(p[:, c], b[:, c], value=-1)
    for c in range(p.shape[1]):
        p[:, c].mul_(common + b[:, c])
    return p.scatter_add_(1, channel.unsqueeze(1), (at_truth - each).unsqueeze(1))
