"""Muon: momentum whose every matrix is made orthogonal before it is applied; AdamW for the rest.

A gradient's few large singular values drown what the others have to say. Replacing the momentum
G = U S V' by U V' gives all directions the same step, and a network learns in fewer steps: Jordan
et al. 2024, "Muon: an optimizer for hidden layers in neural networks". Scaled by 0.2 sqrt(longer
side), as in Liu et al. 2025 (arXiv 2502.16982, equation 4), an update is as large as AdamW's, so
that one learning rate serves both.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

MOMENTUM = 0.95
ADAM_BETAS, ADAM_EPSILON = (0.9, 0.999), 1e-8
UPDATE_RMS = 0.2  # what AdamW's updates have in the middle of a training
# Quintic whose iteration drives every singular value in (0, 1] to about 1 (Jordan et al. 2024).
QUINTIC, ITERATIONS = (3.4445, -4.7750, 2.0315), 5
TINY = 1e-30  # a gradient of zeros stays zeros
FEWEST = 16  # rows and columns: a narrower matrix has no directions to balance


class Muon(torch.optim.Optimizer):
    """Muon for the weights of inner convolutions, AdamW without decay for all other parameters.

    The momentum of a convolution (out, in, *kernel) is one matrix of `out` rows. A step for which
    `found_inf` (a scalar tensor, 1 where a gradient is not finite) is set changes nothing, without
    waiting for the device; torch's GradScaler sets it too. Gradients must be unscaled already. A
    group's "lr" may be a tensor on the device.
    """

    found_inf: Tensor | None = None  # of the class: GradScaler deletes what it has set
    _step_supports_amp_scaling = True  # GradScaler: no look at the device in every step

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float) -> None:
        everything = list(parameters)
        inner = [p for p in everything if p.ndim > 2 and min(p.shape[:2]) >= FEWEST]
        known = {id(p) for p in inner}
        others = [p for p in everything if id(p) not in known]
        groups: list[dict[str, Any]] = [
            {"params": inner, "weight_decay": weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        # "fused": torch loads a "step" to the device of its parameter then, not to the CPU.
        defaults = {"lr": lr, "fused": True}
        super().__init__([group for group in groups if group["params"]], defaults)
        for p in inner:
            self.state[p]["momentum"] = torch.zeros_like(p)
        for p in others:
            state = self.state[p]
            state["mean"], state["square"] = torch.zeros_like(p), torch.zeros_like(p)
            state["step"] = torch.zeros((), device=p.device)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            if not moved:
                continue
            states = [self.state[p] for p in moved]
            device, bad = moved[0].device, self.found_inf
            bad = torch.zeros((), device=device) if bad is None else bad.to(device)
            move = _move_orthogonally if "momentum" in states[0] else _move_with_adam
            move(moved, states, group, bad)


def _move_orthogonally(
    parameters: list[Tensor], states: list[dict[str, Tensor]], group: dict[str, Any], bad: Tensor
) -> None:
    finite = 1 - bad
    gradients = [torch.where(bad > 0, 0.0, p.grad) for p in parameters if p.grad is not None]
    momenta = [state["momentum"] for state in states]
    taken = (1 - MOMENTUM) * finite
    torch._foreach_mul_(momenta, 1 - taken)
    torch._foreach_add_(momenta, torch._foreach_mul(gradients, taken))
    torch._foreach_lerp_(gradients, momenta, MOMENTUM)  # Nesterov
    matrices = [ahead.reshape(len(ahead), -1) for ahead in gradients]
    moves = orthogonalised(matrices, group["lr"] * finite)
    torch._foreach_mul_(moves, [UPDATE_RMS * math.sqrt(max(x.shape)) for x in matrices])
    torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"] * finite)
    torch._foreach_sub_(
        parameters, [x.view(p.shape) for x, p in zip(moves, parameters, strict=True)]
    )


def _move_with_adam(
    parameters: list[Tensor], states: list[dict[str, Tensor]], group: dict[str, Any], bad: Tensor
) -> None:
    gradients = [p.grad for p in parameters if p.grad is not None]
    means, squares, steps = ([state[k] for state in states] for k in ("mean", "square", "step"))
    adamw(
        parameters, gradients, means, squares, [], steps, fused=True, found_inf=bad,
        amsgrad=False, maximize=False, lr=group["lr"], beta1=ADAM_BETAS[0], beta2=ADAM_BETAS[1],
        eps=ADAM_EPSILON, weight_decay=0.0,
    )  # fmt: skip


def orthogonalised(matrices: Sequence[Tensor], scale: float | Tensor = 1.0) -> list[Tensor]:
    """Return about `scale` U V' of each of `matrices` = U S V'.

    Singular values above a hundredth of the root of the sum of squares end between 0.7 and 1.2.
    The iteration X <- (a + b X X' + c (X X')^2) X only ever multiplies from the left with
    polynomials of X X', which commute. So it runs on that small square, and the long matrix is
    touched twice instead of ten times. Squares of one size are multiplied together: a GPU takes
    longer to be asked for such a product than to do it.

    >>> orthogonalised([torch.tensor([[3.0, 0.0], [0.0, 0.5]])])[0].diagonal().min() > 0.6
    tensor(True)
    """
    long = [x.float() if x.shape[0] <= x.shape[1] else x.float().T for x in matrices]
    sizes = defaultdict(list)
    for position, x in enumerate(long):
        sizes[len(x)].append(position)
    found = list(matrices)
    for positions in sizes.values():
        factors = _factors(torch.stack([long[i] @ long[i].T for i in positions]), scale)
        for i, factor in zip(positions, factors, strict=True):
            result = factor @ long[i]
            turned = result if matrices[i].shape == result.shape else result.T
            found[i] = turned.to(matrices[i].dtype)
    return found


def _factors(gram: Tensor, scale: float | Tensor) -> Tensor:
    """Return the polynomials (n, rows, rows) of the squares `gram` that the iteration ends with."""
    square_sum = gram.diagonal(dim1=1, dim2=2).sum(1).view(-1, 1, 1) + TINY
    gram = gram / square_sum
    one = torch.eye(gram.shape[1], device=gram.device)
    a, b, c = QUINTIC
    product = one * (scale / square_sum.sqrt())
    for left in reversed(range(ITERATIONS)):
        factor = torch.baddbmm(a * one + b * gram, gram, gram, alpha=c)
        product = factor @ product
        if left:
            gram = factor @ gram @ factor
    return product
