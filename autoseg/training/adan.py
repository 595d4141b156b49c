"""Adan: Nesterov momentum for both moments of an adaptive step (Xie et al. 2022, algorithm 1).

The look ahead of Nesterov is made of differences of gradients, so that no gradient is taken twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

BETAS = (0.02, 0.08, 0.01)  # how much of a new gradient, difference, square is taken in
EPSILON = 1e-8
STATE = ("mean", "difference", "square", "previous")


class Adan(torch.optim.Optimizer):
    """Adan with decoupled weight decay.

    A step for which `found_inf` (a scalar tensor, 1 where a gradient is not finite) is set changes
    nothing, without waiting for the device; torch's GradScaler sets it too. Gradients must be
    unscaled already.
    """

    found_inf: Tensor | None = None  # of the class: GradScaler deletes what it has set
    _step_supports_amp_scaling = True  # GradScaler: no look at the device in every step

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float) -> None:
        # "fused": torch loads a "step" to the device of its parameter then, not to the CPU.
        defaults = {"lr": lr, "fused": True}
        super().__init__([group for group in groups if group["params"]], defaults)
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p] = {name: torch.zeros_like(p) for name in STATE}
                self.state[p]["step"] = torch.zeros((), device=p.device)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._move(p, p.grad, group["lr"], group["weight_decay"])

    def _move(self, p: nn.Parameter, gradient: Tensor, lr: float | Tensor, decay: float) -> None:
        state = self.state[p]
        finite = torch.ones((), device=p.device)
        if self.found_inf is not None:
            finite = 1.0 - self.found_inf.to(p.device)
        gradient = torch.where(finite > 0, gradient, 0.0)
        step = state["step"]
        taken = [
            finite * _at(step, begin, beta) for begin, beta in zip((0, 1, 0), BETAS, strict=True)
        ]
        change = torch.where(step > 0, gradient - state["previous"], 0.0)
        ahead = gradient + (1 - BETAS[1]) * change
        state["mean"].lerp_(gradient, taken[0])
        state["difference"].lerp_(change, taken[1])
        state["square"].lerp_(ahead.square(), taken[2])
        state["previous"].lerp_(gradient, finite)
        step.add_(finite)
        momentum = state["mean"] + (1 - BETAS[1]) * state["difference"]
        p.sub_(lr * finite * momentum / (state["square"].sqrt() + EPSILON))
        p.div_(1 + lr * decay * finite)


def _at(step: Tensor, begin: int, beta: float) -> Tensor:
    """Return `beta`, but 1 at step number `begin`: an average begins with its first value."""
    return torch.where(step == begin, 1.0, beta)
