"""Terms of losses by hand."""

import math

import pytest
import torch

from autoseg.config import TrainConfig
from autoseg.training.regions import region_slopes, tversky
from autoseg.training.terms import Terms, focal, parse_loss, topk

ONES = torch.ones(1, 1)


def test_a_loss_is_read_as_factors() -> None:
    assert parse_loss("dice_ce") == {"dice": 1, "ce": 1}
    assert parse_loss("ce + 10*boundary") == {"ce": 1, "boundary": 10}
    assert parse_loss("0.5*dice_ce+topk") == {"dice": 0.5, "ce": 0.5, "topk": 1}


def test_focal_by_hand() -> None:
    p = torch.tensor([[0.9, 0.5]])
    expected = (0.01 * -math.log(0.9) + 0.25 * -math.log(0.5)) / 2
    assert focal(-p.log(), torch.ones(1, 2), 2.0).item() == pytest.approx(expected, rel=1e-5)


def test_topk_takes_the_hardest_of_each_row() -> None:
    entropy = torch.tensor([[5.0, 1, 3, 4], [9, 8, 7, 0]])
    assert topk(entropy, torch.ones(2, 4), 50.0).item() == (5 + 4 + 9 + 8) / 4
    known = torch.tensor([[0.0, 1, 1, 1], [1, 1, 1, 1]])
    assert topk(entropy, known, 25.0).item() == (4 + 9) / 2  # one of three: rounded up
    assert topk(entropy, torch.zeros(2, 4), 50.0).item() == 0


def test_tversky_by_hand() -> None:
    sums = torch.tensor([6.0]), torch.tensor([10.0]), torch.tensor([8.0])  # 4 extra, 2 missed
    assert tversky(sums, (0.3, 0.7), 0.0).item() == pytest.approx(6 / (6 + 1.2 + 1.4))
    assert tversky(sums, (0.5, 0.5), 0.0).item() == pytest.approx(12 / 18)


def test_focal_tversky_by_hand() -> None:
    terms = Terms({"focal_tversky": 1.0}, TrainConfig(dice_smooth=0.0))
    found, *_ = region_slopes(terms, 6 * ONES, 10 * ONES, 8 * ONES, None, False)
    assert found.item() == pytest.approx((1 - 6 / 8.6) ** 0.75)


def test_a_perfect_focal_tversky_has_finite_slopes() -> None:
    terms = Terms({"focal_tversky": 1.0}, TrainConfig())
    _, *slopes = region_slopes(terms, 8 * ONES, 8 * ONES, 8 * ONES, None, False)
    assert all(torch.isfinite(slope).all() for slope in slopes)


def test_without_smoothing_an_empty_target_stays_finite() -> None:
    terms = Terms({"dice": 1.0, "tversky": 1.0}, TrainConfig(dice_smooth=0.0))
    found, *slopes = region_slopes(terms, 0 * ONES, 0 * ONES, 0 * ONES, None, True)
    assert found.item() == 2
    assert all(torch.isfinite(slope).all() for slope in slopes)


def test_weights_of_targets_weigh_their_regions() -> None:
    terms = Terms({"dice": 1.0}, TrainConfig(dice_smooth=0.0), weights=(5.0, 1.0, 3.0))
    overlap, volume = torch.tensor([[2.0, 1.0]]), torch.tensor([[4.0, 4.0]])
    found, *_ = region_slopes(terms, overlap, volume, volume, None, False)
    assert found.item() == pytest.approx((1 * 0.5 + 3 * 0.75) / 4)
