"""What batch normalisations remember of a training: its activations, not what they began with.

A running mean that moves by a share m a step holds after n steps (1 - m)^n of its first value, zero
or one. Where activations are small that share outweighs them: with the EfficientNet's m of 0.01 a
network that had learnt for 436 steps, seen with a Dice of 0.42 in its own batches, predicted
nothing, as 0.0125 of the first variance were left beside 0.001 of the true ones. So the first steps
move the means by more: the very first by all.
"""

from __future__ import annotations

import math

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

Norms = tuple[tuple[_BatchNorm, float], ...]
# By a power of four, so that a compiled step, which knows the share as a constant, is compiled a
# few times and not a hundred.
POWER = 4


def batch_norms(network: nn.Module) -> Norms:
    """Return the batch normalisations of a network that keep means, each with its own share."""
    return tuple(
        (module, float(module.momentum))
        for module in network.modules()
        if isinstance(module, _BatchNorm) and module.momentum and module.track_running_stats
    )


def settle(norms: Norms, step: int) -> None:
    """Let the means move by at least a `step + 1`-th in the step from `step` to the next one."""
    share = POWER ** -math.floor(math.log(step + 1, POWER) + 1e-9)
    for norm, own in norms:
        norm.momentum = max(own, share)
