"""Laws of optimisers, schedules, averages and the recipe."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from autoseg.config import TrainConfig
from autoseg.errors import UsageError
from autoseg.training.optim import (
    Average,
    choose_length,
    choose_recipe,
    learning_rate,
    make_optimizer,
)


def test_few_steps_get_muon_annealed_and_many_get_sgd_with_reasons():
    short, reasons = choose_recipe(TrainConfig(), 1500)
    assert (short.optimizer, short.learning_rate, short.schedule) == ("muon", 3e-3, "cosine")
    assert reasons[0].startswith("1,500 steps -> Muon at 0.003, annealed to zero")
    long, reasons = choose_recipe(TrainConfig(), 250_000)
    assert (long.optimizer, long.learning_rate, long.schedule) == ("sgd", 1e-2, "poly")
    assert (long.momentum, long.weight_decay) == (0.99, 3e-5)
    assert "250,000 steps -> SGD" in reasons[0]


def test_between_the_two_the_rate_falls_with_the_root_of_the_steps():
    rates = [choose_recipe(TrainConfig(), n)[0].learning_rate for n in (4000, 16000, 64000)]
    assert rates == [3e-3, 1.5e-3, 7.5e-4]


def test_what_the_user_sets_is_kept_and_named():
    config, reasons = choose_recipe(TrainConfig(optimizer="sgd", learning_rate=0.1), 1500)
    assert (config.optimizer, config.learning_rate, config.schedule) == ("sgd", 0.1, "poly")
    assert reasons[1] == "set by hand: learning_rate=0.1, optimizer=sgd"


def test_recipe_nnunet_is_the_reference_whatever_the_length():
    config, _ = choose_recipe(TrainConfig(recipe="nnunet"), 1000)
    assert (config.optimizer, config.sampler, config.weight_decay) == ("sgd", "nnunet", 3e-5)
    steps, reason = choose_length(TrainConfig(recipe="nnunet"), 5, 1, 2, on_gpu=False)
    assert (steps, reason) == (250_000, "1000 epochs of 250 steps, as nnU-Net does")


def test_length_follows_the_data_within_limits_and_says_so():
    def length(cases: int, patches: float, batch: int, gpu: bool = True, **changes: object):
        config = dataclasses.replace(TrainConfig(), **changes)
        return choose_length(config, cases, patches, batch, gpu)

    assert length(160, 0.9, 4)[0] == 8000  # 200 visits * 160 cases / batches of 4
    assert length(5, 1, 2)[0] == 2500
    assert "too few to learn from" in length(5, 1, 2)[1]
    assert length(1000, 30, 2)[0] == 75_000
    assert length(1000, 30, 2, gpu=False)[0] == 10_000
    assert "stops at 10,000 without a GPU" in length(1000, 30, 2, gpu=False)[1]
    assert length(160, 1, 4, recipe="fast")[0] == 2000
    assert length(160, 1, 4, epochs=3, steps_per_epoch=10)[0] == 30
    assert length(160, 1, 4, steps=77)[0] == 77


def test_schedules_start_at_the_rate_and_end_at_zero():
    for schedule in ("poly", "cosine", "linear"):
        config = TrainConfig(learning_rate=2.0, schedule=schedule)
        values = [learning_rate(config, p / 20) for p in range(21)]
        assert values[0] == 2.0
        assert values[-1] == pytest.approx(0, abs=1e-12)
        assert values == sorted(values, reverse=True)
    assert learning_rate(TrainConfig(learning_rate=1.0, schedule="poly"), 0.5) == 0.5**0.9


def test_warm_up_climbs_from_zero():
    config = TrainConfig(learning_rate=1.0, schedule="linear", warmup=0.1)
    assert learning_rate(config, 0.0) == 0
    assert learning_rate(config, 0.05) == pytest.approx(0.5 * 0.95)
    assert learning_rate(config, 0.1) == pytest.approx(0.9)


def test_names_and_numbers_that_cannot_be_meant_are_refused():
    for config, message in [
        (TrainConfig(recipe="balnced"), "did you mean 'balanced'"),
        (TrainConfig(optimizer="adamv"), "did you mean 'adamw'"),
        (TrainConfig(schedule="cos"), "unknown schedule 'cos'"),
        (TrainConfig(learning_rate=-1.0), "learning_rate = -1.0"),
        (TrainConfig(ema=1.0), "below 1"),
    ]:
        with pytest.raises(UsageError, match=message):
            choose_recipe(config, 100)


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
