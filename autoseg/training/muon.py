"""Muon: momentum whose every matrix is made orthogonal before it is applied; AdamW for the rest.

A gradient's few large singular values drown what the others have to say. Replacing the momentum
G = U S V' by U V' gives all directions the same step, and a network learns in fewer steps: Jordan
et al. 2024, "Muon: an optimizer for hidden layers in neural networks". Scaled by 0.2 sqrt(longer
side), as in Liu et al. 2025 (arXiv 2502.16982, equation 4), an update is as large as AdamW's, so
that one learning rate serves both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

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
    waiting for the device; torch's GradScaler sets it too. Gradients must be unscaled already.
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
        super().__init__([group for group in groups if group["params"]], {"lr": lr})
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
            for p in group["params"]:
                if p.grad is None:
                    continue
                finite = torch.ones((), device=p.device)
                if self.found_inf is not None:
                    finite = 1.0 - self.found_inf.to(p.device)
                gradient = torch.where(finite > 0, p.grad, 0.0)
                state = self.state[p]
                move = _orthogonal if "momentum" in state else _adam
                p.mul_(1 - group["lr"] * group["weight_decay"] * finite)
                p.sub_(move(gradient, state, finite, group["lr"] * finite))


def _orthogonal(gradient: Tensor, state: dict[str, Tensor], finite: Tensor, rate: Tensor) -> Tensor:
    momentum = state["momentum"]
    momentum.lerp_(gradient, (1 - MOMENTUM) * finite)
    ahead = gradient.lerp_(momentum, MOMENTUM)  # Nesterov
    matrix = ahead.reshape(len(ahead), -1)
    scale = UPDATE_RMS * math.sqrt(max(matrix.shape))
    return orthogonalised(matrix, rate * scale).reshape(gradient.shape)


def _adam(gradient: Tensor, state: dict[str, Tensor], finite: Tensor, rate: Tensor) -> Tensor:
    # torch leaves the "step" of a loaded state on the CPU.
    state["step"] = state["step"].to(finite.device) + finite
    state["mean"].lerp_(gradient, (1 - ADAM_BETAS[0]) * finite)
    state["square"].lerp_(gradient.square(), (1 - ADAM_BETAS[1]) * finite)
    step = state["step"].clamp_min(1)
    mean = state["mean"] / (1 - ADAM_BETAS[0] ** step)
    square = state["square"] / (1 - ADAM_BETAS[1] ** step)
    return mean / (square.sqrt() + ADAM_EPSILON) * rate


def orthogonalised(matrix: Tensor, scale: float | Tensor = 1.0) -> Tensor:
    """Return about `scale` U V' of `matrix` = U S V'.

    Singular values above a hundredth of the root of the sum of squares end between 0.7 and 1.2.
    The iteration X <- (a + b X X' + c (X X')^2) X only ever multiplies from the left with
    polynomials of X X', which commute. So it runs on that small square, and the long matrix is
    touched twice instead of ten times.

    >>> orthogonalised(torch.tensor([[3.0, 0.0], [0.0, 0.5]])).diagonal().min() > 0.6
    tensor(True)
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonalised(matrix.T, scale).T
    x = matrix.float()
    gram = x @ x.T
    square_sum = gram.trace() + TINY
    gram = gram / square_sum
    one = torch.eye(len(gram), device=gram.device)
    a, b, c = QUINTIC
    product = one * (scale / square_sum.sqrt())
    for _ in range(ITERATIONS):
        factor = torch.addmm(a * one + b * gram, gram, gram, alpha=c)
        product = factor @ product
        gram = factor @ gram @ factor
    return (product @ x).to(matrix.dtype)
