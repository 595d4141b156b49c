"""Dice and cross-entropy behind a softmax, its gradient written out: less memory, fewer passes.

`losses.py` says which voxels, samples and targets count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from autoseg.training.distributed import ALONE, Ranks

SMOOTH = 1e-5  # keeps the Dice of an empty target defined
SMALLEST = 1e-38  # probability whose logarithm is still finite in float32


class SoftmaxDiceCE(torch.autograd.Function):
    """Dice + cross-entropy of logits (B, 1 + K, V) with one buffer of that size and no one-hot.

    A sum over voxels of "probability times one-hot target" is a sum of the true class's probability
    over the voxels of that class, so beside the softmax only O(V) is needed; the softmax then
    becomes the gradient.
    """

    @staticmethod
    def forward(
        ctx: Any, scores: Tensor, channel: Tensor, valid: Tensor | None, annotated: Tensor | None,
        batch_dice: bool, dice: float, ce: float, ranks: Ranks = ALONE,
    ) -> Tensor:  # fmt: skip
        p = torch.softmax(scores, 1, dtype=torch.float32)
        true_p = p.gather(1, channel.unsqueeze(1)).squeeze(1)
        ones = torch.ones_like(true_p) if valid is None else valid.to(p.dtype)
        voxels = ranks.all_sum(ones.sum())
        each = ones * (ce / voxels.clamp_min(1))  # weight of one voxel's cross-entropy
        loss = -(true_p.clamp_min(SMALLEST).log() * each).sum()
        if valid is not None:
            p.mul_(ones.unsqueeze(1))
            true_p.mul_(ones)
        overlap, size = _sums_per_channel((true_p, ones), channel, p.shape[1])
        total = p[:, 1:].sum(2) + size
        dice_loss, to_overlap, to_volume = dice_and_slopes(
            overlap, total, annotated, batch_dice, ranks
        )
        if ctx.needs_input_grad[0]:
            slopes = (to_overlap * dice, to_volume * dice)
            ctx.save_for_backward(_through_softmax(p, true_p, channel, each, *slopes))
        return ranks.all_sum(loss) + dice * dice_loss

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return (gradient * outer[0], None, None, None, None, None, None, None)


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


def dice_and_slopes(
    overlap: Tensor, total: Tensor, annotated: Tensor | None, batch_dice: bool,
    ranks: Ranks = ALONE,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Return 1 - mean Dice of sums (B, K), and its slopes (B, K) along overlap and total.

    The mean is that of all `ranks`, the slopes are those of this rank's own sums.
    """
    counted = torch.ones_like(overlap) if annotated is None else annotated.to(overlap.dtype)
    if batch_dice:
        sums = [x.sum(0, keepdim=True) for x in (overlap * counted, total * counted, counted)]
        numerator, denominator, samples = ranks.all_sum(torch.stack(sums))
        share = (samples > 0).to(overlap.dtype)
        share = share / share.sum().clamp_min(1)
    else:
        numerator, denominator, share = overlap, total, counted
        share = share / ranks.all_sum(share.sum()).clamp_min(1)
    numerator, denominator = 2 * numerator + SMOOTH, denominator + SMOOTH
    loss = share.sum() - (share * numerator / denominator).sum()
    if not batch_dice:
        loss = ranks.all_sum(loss)
    to_overlap = -2 * share / denominator * counted
    return loss, to_overlap, share * numerator / denominator.square() * counted
