"""What is given up, in which order, and what a user's own settings keep."""

from __future__ import annotations

import pytest

from autoseg.config import PredictConfig
from autoseg.errors import UsageError
from autoseg.inference.effort import Effort, describe_effort, effort_json, efforts, expected_loss

ACCURATE = PredictConfig(speed="accurate")


def cost(effort: Effort) -> float:
    flips = {"all": 8, "half": 4, "off": 1}[effort.mirror]
    return effort.folds * flips * effort.step**-3 * (0.86 if effort.grow else 1)


def fitting(folds: int, budget: float, config: PredictConfig = ACCURATE) -> Effort:
    return next(effort for effort in efforts(config, folds) if cost(effort) <= budget * 8)


def test_the_first_is_what_the_speed_says_and_the_cheapest_is_there():
    for speed, first in (
        ("accurate", Effort(5, "all", 0.5, False)),
        ("balanced", Effort(5, "half", 0.5, True)),
        ("fast", Effort(5, "off", 0.75, True)),
    ):
        options = efforts(PredictConfig(speed=speed), 5)
        assert options[0] == first
        assert max(options, key=cost) == first
        assert min(options, key=cost) == Effort(1, "off", 0.75, True)
        assert len(set(options)) == len(options)


def test_the_most_accurate_comes_first_by_what_was_measured():
    losses = [expected_loss(effort, 5) for effort in efforts(ACCURATE, 5)]
    assert losses == sorted(losses)
    for folds, measured in ((4, 0.0004), (3, 0.0009), (2, 0.0016), (1, 0.0049)):
        loss = expected_loss(Effort(folds, "all", 0.5, False), 5)
        assert loss == pytest.approx(measured, abs=0.0003)


def test_half_of_the_mirror_images_go_first_then_folds_and_all_mirroring_last():
    assert fitting(5, 40) == Effort(5, "all", 0.5, False)
    assert fitting(5, 20) == Effort(5, "half", 0.5, False)
    assert fitting(5, 13) == Effort(3, "half", 0.5, False)
    assert fitting(5, 8) == Effort(2, "half", 0.5, False)
    assert fitting(5, 5) == Effort(5, "off", 0.5, False)
    assert fitting(5, 3) == Effort(3, "off", 0.5, False)
    assert fitting(5, 1) == Effort(1, "off", 0.5, False)
    assert fitting(5, 0.28) == Effort(1, "off", 0.75, True)


def test_what_a_setting_says_is_not_given_up():
    kept = efforts(PredictConfig(speed="accurate", mirror="half", step=0.6), 3)
    assert {(effort.mirror, effort.step) for effort in kept} == {("half", 0.6)}
    assert {effort.folds for effort in efforts(ACCURATE, 5, folds_free=False)} == {5}


def test_one_fold_stays():
    assert {effort.folds for effort in efforts(ACCURATE, 1)} == {1}


def test_it_is_said_in_words_and_in_json():
    effort = Effort(2, "off", 0.75, True)
    folds = [("0", "1", "2"), ("4",)]
    assert describe_effort(effort, folds) == (
        "folds 0 1 + fold 4, no mirroring, tiles overlap by a quarter and may outgrow the patch"
    )
    assert effort_json(effort, folds) == {
        "folds": [["0", "1"], ["4"]], "mirror": "off", "step": 0.75, "longer_tiles": True,
    }  # fmt: skip


def test_there_is_no_budget_for_what_shows_only_on_the_way():
    with pytest.raises(UsageError, match=r"budget with speed localise.*expected speed accurate"):
        efforts(PredictConfig(speed="localise"), 5)
