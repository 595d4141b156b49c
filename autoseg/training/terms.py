"""What a loss is the sum of: terms over voxels and terms over regions, each with a factor.

Voxel terms look at `entropy` h = -log(probability of the truth), and at a weight that is 0 where
nothing counts; region terms (`regions.py`) at sums over voxels. So one formula serves a softmax and
sigmoids alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autoseg.config import TrainConfig
from autoseg.device import constant
from autoseg.errors import UsageError, suggest
from autoseg.training.distributed import ALONE, Ranks

VOXEL_TERMS = ("ce", "bce", "boundary", "focal", "topk")
REGION_TERMS = ("dice", "tversky", "focal_tversky")
ALIASES = {"dice_ce": ("dice", "ce")}
TINY = 1e-8  # keeps a mean over nothing, or a Dice without smoothing, defined
NEARLY_ZERO = 1e-6  # where the slope of a power below 1 would be infinite


@dataclass(frozen=True)
class Terms:
    """A loss as numbers."""

    factors: Mapping[str, float]  # {"dice": 1.0, "ce": 1.0}
    config: TrainConfig  # parameters of the terms
    weights: tuple[float, ...] | None = None  # one per channel; None: all alike
    reach: tuple[int, ...] = ()  # in voxels, of the boundary term

    @property
    def curved(self) -> bool:
        """True when the slope of a voxel term depends on the entropy."""
        return not self.factors.keys().isdisjoint(("focal", "topk"))

    @property
    def has_regions(self) -> bool:
        """True when a term looks at sums over regions."""
        return not self.factors.keys().isdisjoint(REGION_TERMS)

    def weights_like(self, tensor: Tensor) -> Tensor | None:
        """Return the weights (channels,) with the type and on the device of `tensor`."""
        if self.weights is None:
            return None
        return constant(np.asarray(self.weights), tensor.device).to(tensor.dtype)


def parse_loss(text: str) -> dict[str, float]:
    """Return the factor of each term of a loss; raise UsageError for what is no sum of terms.

    >>> parse_loss("dice_ce"), parse_loss("0.65*dice + 0.35*focal")
    ({'dice': 1.0, 'ce': 1.0}, {'dice': 0.65, 'focal': 0.35})
    """
    factors: dict[str, float] = {}
    for part in text.split("+"):
        number, star, word = part.rpartition("*")
        name = word.strip()
        for term in ALIASES.get(name, (name,)):
            if term not in (*VOXEL_TERMS, *REGION_TERMS):
                known = suggest(name, [*ALIASES, *VOXEL_TERMS, *REGION_TERMS])
                remedy = f"{known} (or your own as package.module:function)"
                raise UsageError(f"unknown loss '{name}'", remedy=remedy)
            if term in factors:
                raise UsageError(f"loss={text}: '{term}' stands there twice")
            factors[term] = _factor(number, text) if star else 1.0
    return factors


def _factor(number: str, text: str) -> float:
    try:
        factor = float(number)
    except ValueError:
        factor = math.nan
    if not 0 < factor < math.inf:
        expected = "a number above 0 before each '*', as in 0.65*dice+0.35*focal"
        raise UsageError(f"loss={text}: '{number.strip()}' is no factor", expected=expected)
    return factor


# --- voxels --------------------------------------------------------------------------------------


def focal(entropy: Tensor, weight: Tensor, gamma: float, ranks: Ranks = ALONE) -> Tensor:
    """Return the mean of (1 - p)^gamma h: well-known voxels count less (Lin 2017, equation 4)."""
    doubt = (-torch.expm1(-entropy)).clamp_min(NEARLY_ZERO)
    total = ranks.all_sum(weight.sum()).clamp_min(TINY)
    return ranks.all_sum((weight * doubt**gamma * entropy).sum()) / total


def topk(entropy: Tensor, weight: Tensor, percent: float, ranks: Ranks = ALONE) -> Tensor:
    """Return the mean entropy (..., V) of the `percent` of counted voxels where it is largest.

    Of each row, so that it does not matter how samples are shared among ranks.
    """
    counted = weight > 0
    costs = torch.where(counted, weight * entropy, -1.0)
    wanted = (counted.sum(-1, keepdim=True) * percent / 100).ceil()
    # The number is known on the device only: a mask over sorted costs waits for nothing.
    costs, order = costs.sort(descending=True, stable=True)
    chosen = torch.arange(costs.shape[-1], device=costs.device) < wanted
    total = (weight.gather(-1, order) * chosen).sum()
    return ranks.all_sum((costs * chosen).sum()) / ranks.all_sum(total).clamp_min(TINY)


def curved_terms(terms: Terms, entropy: Tensor, weight: Tensor, ranks: Ranks) -> Tensor:
    """Return the sum of the voxel terms whose slope depends on the entropy."""
    config, loss = terms.config, entropy.new_zeros(())
    if "focal" in terms.factors:
        found = focal(entropy, weight, config.focal_gamma, ranks)
        loss = loss + terms.factors["focal"] * found
    if "topk" in terms.factors:
        found = topk(entropy, weight, config.topk_percent, ranks)
        loss = loss + terms.factors["topk"] * found
    return loss


def with_slopes(
    formula: Callable[..., Tensor], *inputs: Tensor
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return the value of a formula and its slope along each of its inputs."""
    with torch.enable_grad():
        leaves = [x.detach().requires_grad_() for x in inputs]
        value = formula(*leaves)
        slopes = torch.autograd.grad(value, leaves)
    return value.detach(), slopes
