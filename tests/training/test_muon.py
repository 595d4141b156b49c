"""Muon: what orthogonal means, what a step moves, and what a bad gradient must not move."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from autoseg.training import muon
from autoseg.training.checkpoint import pack_optimizer, unpack_optimizer
from autoseg.training.muon import MOMENTUM, QUINTIC, UPDATE_RMS, Muon

SHAPES = [(16, 16), (16, 432), (64, 32), (1, 7)]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def orthogonalised(matrix: Tensor, scale: float = 1.0) -> Tensor:
    return muon.orthogonalised([matrix], scale)[0]


def iterated(matrix: Tensor) -> Tensor:
    """The iteration as its authors write it down: on the long matrix, in double precision."""
    a, b, c = QUINTIC
    x = matrix.double() / matrix.double().norm()
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


def iterated_any(matrix: Tensor) -> Tensor:
    return iterated(matrix) if len(matrix) <= matrix.shape[1] else iterated(matrix.T).T


@pytest.mark.parametrize("shape", SHAPES)
def test_it_equals_the_iteration_on_the_long_matrix(shape: tuple[int, int]):
    matrix = random(*shape)
    assert torch.allclose(orthogonalised(matrix).double(), iterated(matrix), atol=1e-4)


def test_matrices_of_one_size_do_not_know_of_each_other():
    matrices = [random(16, 20), random(20, 16, seed=1) * 1e3, random(16, 16, seed=2), random(8, 9)]
    for found, matrix in zip(muon.orthogonalised(matrices, 0.3), matrices, strict=True):
        assert torch.allclose(found.double(), 0.3 * iterated_any(matrix), atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_vectors_stay_and_singular_values_become_about_one(shape: tuple[int, int]):
    result = orthogonalised(random(*shape) * 1e-3)
    assert ((torch.linalg.svdvals(result) - 0.95).abs() < 0.3).all()
    u, _, v = torch.linalg.svd(random(*shape), full_matrices=False)
    core = u.T @ result @ v.T
    assert (core - core.diagonal().diag()).abs().max() < 1e-3


def test_it_scales_and_turns_with_its_argument():
    matrix = random(16, 48)
    assert torch.allclose(orthogonalised(matrix * 1e4), orthogonalised(matrix), atol=1e-4)
    assert torch.allclose(orthogonalised(matrix.T), orthogonalised(matrix).T, atol=1e-6)
    assert torch.allclose(orthogonalised(matrix, 2.5), 2.5 * orthogonalised(matrix), atol=1e-5)


def test_a_gradient_of_zeros_moves_nothing():
    assert (orthogonalised(torch.zeros(16, 20)) == 0).all()


def test_a_first_step_by_hand():
    weight = nn.Parameter(random(16, 16, 3, 3, 3))
    before, weight.grad = weight.detach().clone(), random(16, 16, 3, 3, 3, seed=1)
    ahead = weight.grad * (1 - MOMENTUM + MOMENTUM * (1 - MOMENTUM))
    Muon([weight], lr=0.1, weight_decay=0.5).step()
    scale = UPDATE_RMS * (16 * 27) ** 0.5
    expected = before * 0.95 - 0.1 * scale * orthogonalised(ahead.reshape(16, -1)).view_as(before)
    assert torch.allclose(weight, expected, atol=1e-5)


def test_an_update_is_as_large_as_that_of_adamw():
    weight = nn.Parameter(torch.zeros(32, 32, 3, 3, 3))
    weight.grad = random(32, 32, 3, 3, 3)
    Muon([weight], lr=1.0, weight_decay=0.0).step()
    assert float(weight.detach().square().mean().sqrt()) == pytest.approx(UPDATE_RMS, rel=0.15)


def test_narrow_weights_biases_and_norms_move_as_with_adam():
    shapes = [(8, 1, 3, 3, 3), (16,), (3, 16, 1, 1, 1)]
    ours = [nn.Parameter(random(*shape)) for shape in shapes]
    theirs = [nn.Parameter(p.detach().clone()) for p in ours]
    optimizer = Muon(ours, lr=0.01, weight_decay=0.3)
    oracle = torch.optim.AdamW(theirs, lr=0.01, weight_decay=0.0)
    for seed in range(5):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = random(*p.shape, seed=seed)
            q.grad = p.grad.clone()
        optimizer.step()
        oracle.step()
    for p, q in zip(ours, theirs, strict=True):
        assert torch.allclose(p, q, atol=1e-6)


def test_a_step_that_is_not_finite_changes_nothing():
    parameters = [nn.Parameter(random(16, 16, 3, 3, 3)), nn.Parameter(random(16))]
    optimizer = Muon(parameters, lr=0.1, weight_decay=0.5)
    for p in parameters:
        p.grad = random(*p.shape, seed=1)
    optimizer.step()
    weights = [p.detach().clone() for p in parameters]
    state = {k: v.clone() for k, v in pack_optimizer(optimizer).items()}
    for p in parameters:
        p.grad = torch.full_like(p, torch.nan)
    optimizer.found_inf = torch.ones(())
    optimizer.step()
    assert all(torch.equal(p, w) for p, w in zip(parameters, weights, strict=True))
    assert all(torch.equal(v, state[k]) for k, v in pack_optimizer(optimizer).items())


def test_a_parameter_without_gradient_stays():
    parameters = [nn.Parameter(random(16, 16, 3, 3, 3)), nn.Parameter(random(16))]
    before = [p.detach().clone() for p in parameters]
    Muon(parameters, lr=0.1, weight_decay=0.5).step()
    assert all(torch.equal(p, w) for p, w in zip(parameters, before, strict=True))


def test_a_checkpoint_holds_all_of_its_state():
    def stepped(optimizer: Muon, parameters: list[nn.Parameter], seed: int) -> None:
        for p in parameters:
            p.grad = random(*p.shape, seed=seed)
        optimizer.step()

    ours = [nn.Parameter(random(16, 16, 3, 3, 3)), nn.Parameter(random(16))]
    optimizer = Muon(ours, lr=0.1, weight_decay=0.5)
    stepped(optimizer, ours, 1)
    theirs = [nn.Parameter(p.detach().clone()) for p in ours]
    other = Muon(theirs, lr=0.1, weight_decay=0.5)
    unpack_optimizer(other, {k: v.clone() for k, v in pack_optimizer(optimizer).items()})
    stepped(optimizer, ours, 2)
    stepped(other, theirs, 2)
    assert all(torch.equal(p, q) for p, q in zip(ours, theirs, strict=True))


def test_a_loaded_state_goes_to_the_device_of_its_parameters():
    ours = nn.Parameter(random(16))
    ours.grad = random(16, seed=1)
    optimizer = Muon([ours], lr=0.1, weight_decay=0.5)
    optimizer.step()
    elsewhere = nn.Parameter(torch.zeros(16, device="meta"))
    elsewhere.grad = torch.zeros(16, device="meta")
    other = Muon([elsewhere], lr=0.1, weight_decay=0.5)
    unpack_optimizer(other, pack_optimizer(optimizer))
    other.step()
    assert {t.device.type for t in other.state[elsewhere].values()} == {"meta"}


def test_a_grad_scaler_skips_overflows_without_looking_at_the_device(monkeypatch):
    parameters = [nn.Parameter(random(16, 16, 3, 3, 3)), nn.Parameter(random(16))]
    optimizer = Muon(parameters, lr=0.1, weight_decay=0.5)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    monkeypatch.setattr(scaler, "_maybe_opt_step", lambda *_: pytest.fail("a look at the device"))
    moved = []
    for factor in (1.0, torch.inf, 1.0):
        before = [p.detach().clone() for p in parameters]
        optimizer.zero_grad()
        scaler.scale(sum((p * factor).sum() for p in parameters)).backward()
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        moved.append([not torch.equal(p, b) for p, b in zip(parameters, before, strict=True)])
    assert moved == [[True, True], [False, False], [True, True]]
