"""Schedules against their closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from autoseg.config import TrainConfig
from autoseg.training.schedules import count_plateaus, learning_rate
from autoseg.training.tracking import Epoch


def rates(*progress: float, **changes: object) -> list[float]:
    config = TrainConfig(learning_rate=2.0, **changes)
    return [learning_rate(config, p) for p in progress]


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


def test_the_power_of_poly_and_the_swings_of_the_cosine_are_settings():
    assert rates(0.5, schedule="poly", poly_power=2.0) == [0.5]
    assert rates(0.25, 0.5, 1, schedule="cosine", cosine_cycles=1.0) == pytest.approx([1, 0, 2])
    expected = 1 + math.cos(7 * math.pi * 0.1)
    assert rates(0.1, schedule="cosine", cosine_cycles=3.5) == pytest.approx([expected])


def test_steps_multiply_after_each_share():
    found = rates(0, 0.33, 0.34, 0.66, 0.67, 0.99, schedule="step")
    assert found == pytest.approx([2, 2, 0.4, 0.4, 0.08, 0.08])
    tenths = rates(0.29, 0.3, schedule="step", step_every=0.1, step_factor=0.5)
    assert tenths == pytest.approx([0.5, 0.25])


def epochs(losses: list[float | None], train_loss: float | None = 9.0) -> list[Epoch]:
    return [Epoch(n + 1, n, train_loss, loss, {}, 0.1, 1.0) for n, loss in enumerate(losses)]


def test_the_rate_falls_after_each_plateau_as_pytorch_has_it():
    losses = [1.0, 0.5, 0.6, 0.5, 0.55, 0.49999, 0.7, 0.4, 0.41, 0.42, 0.43, 0.44, 0.45, 0.46, 0.47]
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=2.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=2)
    config = TrainConfig(learning_rate=2.0, schedule="plateau", step_factor=0.5, plateau_epochs=2)
    for number, loss in enumerate(losses):
        theirs.step(loss)
        ours = learning_rate(config, 0.3, epochs(losses[: number + 1]))
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"])
    assert ours == 2.0 / 2**3


def test_without_validation_the_plateau_is_that_of_the_training():
    assert count_plateaus(epochs([None] * 9, train_loss=0.5), 3) == 2
    assert count_plateaus(epochs([None] * 9, train_loss=None), 3) == 2
    assert count_plateaus([], 3) == 0


def test_a_floor_is_where_a_schedule_ends():
    assert rates(0, 0.5, 1, schedule="cosine", rate_floor=0.5) == pytest.approx([2, 1.5, 1])
    assert rates(0, 1, schedule="poly", rate_floor=0.1) == pytest.approx([2, 0.2])
    assert rates(1, schedule="constant", rate_floor=0.5) == [2]


def test_constant_stays_after_its_warm_up():
    assert rates(0, 0.05, 0.1, 0.7, 1, schedule="constant", warmup=0.1) == [0, 1, 2, 2, 2]


def test_ones_own_schedule_sees_the_progress_only():
    assert rates(0.5, schedule="tests.training.test_schedules:squared") == [0.5]


def squared(progress: float) -> float:
    return progress**2
