"""Schedules against their closed forms."""

from __future__ import annotations

import math

import pytest

from autoseg.config import TrainConfig
from autoseg.training.schedules import learning_rate


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


def test_constant_stays_after_its_warm_up():
    assert rates(0, 0.05, 0.1, 0.7, 1, schedule="constant", warmup=0.1) == [0, 1, 2, 2, 2]


def test_ones_own_schedule_sees_the_progress_only():
    assert rates(0.5, schedule="tests.training.test_schedules:squared") == [0.5]


def squared(progress: float) -> float:
    return progress**2
