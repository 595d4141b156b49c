"""Adan: its paper's algorithm, step by step, and what a bad gradient must not move."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from autoseg.training.adan import Adan
from autoseg.training.checkpoint import pack_optimizer

RATE, DECAY = 0.01, 0.1


def gradients(steps: int) -> Tensor:
    return torch.randn(steps, 4, 3, generator=torch.Generator().manual_seed(0))


def make(weight: Tensor) -> tuple[nn.Parameter, Adan]:
    parameter = nn.Parameter(weight.clone())
    return parameter, Adan([{"params": [parameter], "weight_decay": DECAY}], RATE)


def by_the_paper(weight: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Algorithm 1 of Xie et al. 2022: m_0 = g_0, v_1 = g_1 - g_0, n_0 = g_0 squared."""
    b1, b2, b3 = 0.02, 0.08, 0.01
    m = v = n = before = np.zeros_like(weight)
    for k, g in enumerate(gradients):
        if k == 0:
            m, n = g, g**2
        else:
            difference = g - before
            m = (1 - b1) * m + b1 * g
            v = difference if k == 1 else (1 - b2) * v + b2 * difference
            n = (1 - b3) * n + b3 * (g + (1 - b2) * difference) ** 2
        before = g
        rate = RATE / (np.sqrt(n) + 1e-8)
        weight = (weight - rate * (m + (1 - b2) * v)) / (1 + DECAY * RATE)
    return weight


def test_it_is_the_algorithm_of_the_paper():
    weight = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    parameter, optimizer = make(weight)
    for gradient in gradients(6):
        parameter.grad = gradient.clone()
        optimizer.step()
    expected = by_the_paper(weight.double().numpy(), gradients(6).double().numpy())
    np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-5, atol=1e-6)


def test_a_step_that_is_not_finite_changes_nothing_even_the_first():
    for good in (0, 3):
        parameter, optimizer = make(torch.ones(4, 3))
        for gradient in gradients(good):
            parameter.grad = gradient.clone()
            optimizer.step()
        before, state = parameter.detach().clone(), dict(pack_optimizer(optimizer))
        state = {name: value.clone() for name, value in state.items()}
        parameter.grad = torch.full((4, 3), torch.nan)
        optimizer.found_inf = torch.ones(())
        optimizer.step()
        assert torch.equal(parameter, before)
        assert all(torch.equal(v, state[k]) for k, v in pack_optimizer(optimizer).items())


def test_a_parameter_without_gradient_stays():
    parameter, optimizer = make(torch.ones(4, 3))
    optimizer.step()
    assert torch.equal(parameter, torch.ones(4, 3))


def test_a_grad_scaler_skips_overflows_without_looking_at_the_device(monkeypatch):
    parameter, optimizer = make(torch.ones(4, 3))
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    monkeypatch.setattr(scaler, "_maybe_opt_step", lambda *_: 1 / 0)
    moved = []
    for factor in (1.0, torch.inf, 1.0):
        before = parameter.detach().clone()
        optimizer.zero_grad()
        scaler.scale((parameter * factor).sum()).backward()
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        moved.append(not torch.equal(parameter, before))
    assert moved == [True, False, True]
