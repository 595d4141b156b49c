"""The terms of a loss that look at regions: Dice and Tversky.

They know three sums (B, K) of each sample and target: `overlap`, of the target's probability over
its voxels; `volume`, of it over all voxels; `size`, its voxels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from autoseg.training.distributed import ALONE, Ranks
from autoseg.training.terms import NEARLY_ZERO, REGION_TERMS, TINY, Terms, with_slopes

Formula = Callable[[Tensor, Tensor], Tensor]  # (overlap, volume) -> loss


@dataclass(frozen=True)
class Mean:
    """How targets and samples are averaged."""

    counted: Tensor  # (B, K) 1 where the target was annotated, else 0
    batch_dice: bool  # sums of all samples are added up first
    importance: Tensor | None  # (K,) of the targets; None: all alike
    ranks: Ranks

    def pool(self, *sums: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        """Return sums (B, K), or (1, K) over all samples, and the share of each in the mean."""
        counted = self.counted
        if self.batch_dice:
            parts = [(x * counted).sum(0, keepdim=True) for x in sums]
            pooled = self.ranks.all_sum(torch.stack([*parts, counted.sum(0, keepdim=True)]))
            share = self._weighted((pooled[-1] > 0).to(counted.dtype))
            return pooled[:-1].unbind(), share / share.sum().clamp_min(TINY)
        share = self._weighted(counted)
        return sums, share / self.ranks.all_sum(share.sum()).clamp_min(TINY)

    def total(self, loss: Tensor) -> Tensor:
        """Return a loss of this rank's samples as that of the whole batch."""
        return loss if self.batch_dice else self.ranks.all_sum(loss)

    def _weighted(self, share: Tensor) -> Tensor:
        return share if self.importance is None else share * self.importance


def region_slopes(
    terms: Terms, overlap: Tensor, volume: Tensor, size: Tensor, annotated: Tensor | None,
    batch_dice: bool, ranks: Ranks = ALONE,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Return the region terms of sums (B, K), and their slopes (B, K) along overlap and volume.

    The loss is that of all `ranks`, the slopes are those of this rank's own sums.
    """
    mean = _mean(terms, overlap, annotated, batch_dice, ranks)
    loss, slopes = overlap.new_zeros(()), [torch.zeros_like(overlap)] * 2
    found: tuple[Tensor, ...]
    for name, factor, formula in _formulas(terms, size, mean):
        if name == "dice":
            found = dice_and_slopes(overlap, volume + size, mean, terms.config.dice_smooth)
        else:
            value, along = with_slopes(formula, overlap, volume)
            found = (value, *along)
        loss = loss + factor * found[0]
        slopes = [total + factor * slope for total, slope in zip(slopes, found[1:], strict=True)]
    return loss, slopes[0], slopes[1]


def region_loss(
    terms: Terms, overlap: Tensor, volume: Tensor, size: Tensor, annotated: Tensor | None,
    batch_dice: bool, ranks: Ranks = ALONE,
) -> Tensor:  # fmt: skip
    """Return the region terms of sums (B, K), for autograd to differentiate."""
    mean = _mean(terms, overlap, annotated, batch_dice, ranks)
    parts = _formulas(terms, size, mean)
    return torch.stack([factor * formula(overlap, volume) for _, factor, formula in parts]).sum()


def dice_and_slopes(
    overlap: Tensor, total: Tensor, mean: Mean, smooth: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return 1 - mean Dice of sums (B, K), and its slopes (B, K) along overlap and total."""
    (numerator, denominator), share = mean.pool(overlap, total)
    numerator, denominator = 2 * numerator + smooth, (denominator + smooth).clamp_min(TINY)
    loss = mean.total(share.sum() - (share * numerator / denominator).sum())
    to_overlap = -2 * share / denominator * mean.counted
    return loss, to_overlap, share * numerator / denominator.square() * mean.counted


def tversky(sums: Sequence[Tensor], weights: tuple[float, float], smooth: float) -> Tensor:
    """Return overlap / (overlap + alpha false positives + beta false negatives): Salehi 2017, eq 3.

    `sums`: overlap, volume and size; `weights`: alpha and beta. Both one half: that is the Dice.
    """
    overlap, volume, size = sums
    extra, missed = weights[0] * (volume - overlap), weights[1] * (size - overlap)
    return (overlap + smooth) / (overlap + extra + missed + smooth).clamp_min(TINY)


def _mean(
    terms: Terms, overlap: Tensor, annotated: Tensor | None, batch_dice: bool, ranks: Ranks
) -> Mean:
    counted = torch.ones_like(overlap) if annotated is None else annotated.to(overlap.dtype)
    weights = terms.weights_like(overlap)
    # Background, where there is one, comes first and is no region.
    importance = None if weights is None else weights[-overlap.shape[1] :]
    return Mean(counted, batch_dice, importance, ranks)


def _formulas(terms: Terms, size: Tensor, mean: Mean) -> list[tuple[str, float, Formula]]:
    """Return name, factor and formula of each region term."""
    config = terms.config

    def dice_loss(overlap: Tensor, volume: Tensor) -> Tensor:
        return dice_and_slopes(overlap, volume + size, mean, config.dice_smooth)[0]

    def tversky_loss(overlap: Tensor, volume: Tensor, power: float = 1.0) -> Tensor:
        sums, share = mean.pool(overlap, volume, size.to(volume.dtype))
        weights = config.tversky_alpha, config.tversky_beta
        index = tversky(sums, weights, config.dice_smooth)
        missing = 1 - index if power == 1 else (1 - index).clamp_min(NEARLY_ZERO) ** power
        return mean.total((share * missing).sum())

    known: dict[str, Formula] = {
        "dice": dice_loss,
        "tversky": tversky_loss,
        # Abraham 2019, equation 4
        "focal_tversky": partial(tversky_loss, power=1 / config.focal_tversky_gamma),
    }
    names = [name for name in REGION_TERMS if name in terms.factors]
    return [(name, terms.factors[name], known[name]) for name in names]
