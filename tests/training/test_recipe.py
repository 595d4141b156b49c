"""Laws of the recipe: length, optimiser, reasons."""

from __future__ import annotations

import dataclasses

import pytest

from autoseg.config import TrainConfig
from autoseg.errors import UsageError
from autoseg.training.recipe import choose_length, choose_recipe


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


def test_adam_decays_by_its_gradient_and_so_by_little():
    assert choose_recipe(TrainConfig(optimizer="adam"), 1500)[0].weight_decay == 3e-5
    assert choose_recipe(TrainConfig(optimizer="nadam"), 1500)[0].weight_decay == 1e-2


def test_names_and_numbers_that_cannot_be_meant_are_refused():
    for config, message in [
        (TrainConfig(recipe="balnced"), "did you mean 'balanced'"),
        (TrainConfig(optimizer="muonn"), "did you mean 'muon'"),
        (TrainConfig(sampler="nnunets"), "did you mean 'nnunet'"),
        (TrainConfig(schedule="cos"), "unknown schedule 'cos'"),
        (TrainConfig(learning_rate=-1.0), "learning_rate = -1.0"),
        (TrainConfig(ema=1.0), "below 1"),
    ]:
        with pytest.raises(UsageError, match=message):
            choose_recipe(config, 100)
