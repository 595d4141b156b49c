"""Laws of optimisers and averages."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from autoseg.config import TrainConfig
from autoseg.training.checkpoint import pack_optimizer, unpack_optimizer
from autoseg.training.optim import OPTIMIZERS, Average, make_optimizer


def test_adamw_does_not_decay_norms_and_sgd_decays_all():
    network = nn.Sequential(nn.Conv3d(1, 2, 3), nn.InstanceNorm3d(2, affine=True))
    adamw = make_optimizer(network, TrainConfig(optimizer="adamw", weight_decay=0.1))
    assert [group["weight_decay"] for group in adamw.param_groups] == [0.1, 0.0]
    assert [len(group["params"]) for group in adamw.param_groups] == [1, 3]
    sgd = make_optimizer(network, TrainConfig(optimizer="sgd", weight_decay=0.1))
    assert [group["weight_decay"] for group in sgd.param_groups] == [0.1]


def test_sgd_with_prepared_momentum_equals_plain_nesterov():
    torch.manual_seed(0)
    ours, theirs = nn.Linear(3, 1), nn.Linear(3, 1)
    theirs.load_state_dict(ours.state_dict())
    config = TrainConfig(optimizer="sgd", learning_rate=0.1, momentum=0.9, weight_decay=0.01)
    optimizer = make_optimizer(ours, config)
    reference = torch.optim.SGD(
        theirs.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=0.01
    )
    for _ in range(5):
        x = torch.randn(4, 3)
        for network, steps in ((ours, optimizer), (theirs, reference)):
            steps.zero_grad()
            network(x).pow(2).mean().backward()
            steps.step()
    torch.testing.assert_close(ours.weight, theirs.weight)


def test_the_average_equals_the_slow_formula_with_its_warm_up():
    network = nn.Linear(2, 1)
    average, expected = Average(network, 0.9), network.weight.detach().clone()
    for update in range(1, 30):
        with torch.no_grad():
            network.weight += 0.1
        average.update(network)
        decay = min(0.9, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * network.weight.detach()
    torch.testing.assert_close(average.weights["weight"], expected)


# --- all of them ---------------------------------------------------------------------------------


def begin(name: str) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv3d(1, 16, 3), nn.Conv3d(16, 16, 3))
    config = TrainConfig(optimizer=name, learning_rate=0.01, weight_decay=0.1)
    return network, make_optimizer(network, config)


def move(network: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for p in network.parameters():
        p.grad = torch.randn(p.shape, generator=generator)
    optimizer.step()


def weights(network: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_checkpoint_goes_on_bit_for_bit(name: str):
    network, optimizer = begin(name)
    for seed in range(7):  # RAdam begins to adapt after five steps
        move(network, optimizer, seed)
    other, resumed = begin(name)
    other.load_state_dict(network.state_dict())
    unpack_optimizer(resumed, {k: v.clone() for k, v in pack_optimizer(optimizer).items()})
    for seed in range(7, 10):
        move(network, optimizer, seed)
        move(other, resumed, seed)
    assert torch.equal(weights(network), weights(other))


@pytest.mark.parametrize("name", ["adam", "adamw", "amsgrad", "radam", "nadam", "adan"])
def test_the_adaptive_ones_go_downhill(name: str):
    weight = nn.Parameter(torch.tensor([[3.0, -2.0]]))
    config = TrainConfig(learning_rate=0.1)
    optimizer = OPTIMIZERS[name]([weight], config)
    for _ in range(300):
        optimizer.zero_grad()
        height = (weight * torch.tensor([1.0, 2.0])).square().sum()
        height.backward()
        optimizer.step()
    assert height.item() < 0.01 * (3**2 + 4**2)


def test_betas_are_a_setting_of_adam_and_its_kin():
    config = TrainConfig(betas=(0.5, 0.9))
    for name in ("adam", "adamw", "amsgrad", "radam", "nadam"):
        optimizer = OPTIMIZERS[name]([nn.Parameter(torch.zeros(2, 2))], config)
        assert optimizer.param_groups[0]["betas"] == (0.5, 0.9)
        assert optimizer.param_groups[0].get("amsgrad", False) is (name == "amsgrad")
