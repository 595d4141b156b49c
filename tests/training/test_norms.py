"""Running means of batch normalisations in short trainings."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from autoseg.training.norms import batch_norms, settle


@pytest.mark.parametrize("steps", [1, 2, 5, 30, 300])
def test_nothing_is_left_of_the_zeros_and_ones_that_means_begin_with(steps: int) -> None:
    norm = nn.BatchNorm2d(1, momentum=0.01)
    norms = batch_norms(nn.Sequential(norm))
    generator = torch.Generator().manual_seed(0)
    for step in range(steps):
        settle(norms, step)
        norm(5 + 1e-3 * torch.randn(4, 1, 32, 32, generator=generator))
    assert float(norm.running_mean) == pytest.approx(5, abs=1e-3)
    assert float(norm.running_var) == pytest.approx(1e-6, rel=0.1)  # of 1, 0.05 would be left


def test_after_the_first_steps_each_has_its_own_share() -> None:
    slow, usual = nn.BatchNorm2d(1, momentum=0.01), nn.BatchNorm2d(1)
    norms = batch_norms(nn.Sequential(slow, usual))
    seen = []
    for step in (0, 2, 3, 15, 63, 64, 254, 255, 10_000):
        settle(norms, step)
        seen.append((slow.momentum, usual.momentum))
    assert seen == [
        *((1, 1), (1, 1), (1 / 4, 1 / 4), (1 / 16, 0.1), (1 / 64, 0.1), (1 / 64, 0.1)),
        *((1 / 64, 0.1), (0.01, 0.1), (0.01, 0.1)),
    ]


def test_those_without_means_or_with_plain_averages_are_left_alone() -> None:
    plain, average = nn.BatchNorm2d(1, track_running_stats=False), nn.BatchNorm2d(1, momentum=None)
    assert batch_norms(nn.Sequential(plain, average, nn.InstanceNorm2d(1))) == ()
