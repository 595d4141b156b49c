"""What is given up, in which order, and what a user's own settings keep."""

from __future__ import annotations

from autoseg.config import PredictConfig
from autoseg.inference.effort import Effort, describe_effort, effort_json, efforts

ACCURATE = PredictConfig(speed="accurate")


def cost(effort: Effort) -> float:
    flips = {"all": 8, "half": 4, "off": 1}[effort.mirror]
    return effort.folds * flips * effort.step**-3 * (0.86 if effort.grow else 1)


def test_the_first_is_what_the_speed_says_and_each_costs_less_than_the_one_before():
    for speed, first in (
        ("accurate", Effort(5, "all", 0.5, False)),
        ("balanced", Effort(5, "half", 0.5, True)),
        ("fast", Effort(5, "off", 0.75, True)),
    ):
        ladder = efforts(PredictConfig(speed=speed), 5)
        assert ladder[0] == first
        costs = [cost(effort) for effort in ladder]
        assert costs == sorted(set(costs), reverse=True)
        assert ladder[-1] == Effort(1, "off", 0.75, True)


def test_what_a_setting_says_is_not_given_up():
    ladder = efforts(PredictConfig(speed="accurate", mirror="half", step=0.6), 3)
    assert {(effort.mirror, effort.step) for effort in ladder} == {("half", 0.6)}
    assert {effort.folds for effort in efforts(ACCURATE, 5, folds_free=False)} == {5}


def test_a_ladder_of_one_fold_has_no_fewer():
    assert [effort.folds for effort in efforts(ACCURATE, 1)] == [1] * len(efforts(ACCURATE, 1))


def test_it_is_said_in_words_and_in_json():
    effort = Effort(2, "off", 0.75, True)
    folds = [("0", "1", "2"), ("4",)]
    assert describe_effort(effort, folds) == (
        "folds 0 1 + fold 4, no mirroring, tiles overlap by a quarter and may outgrow the patch"
    )
    assert effort_json(effort, folds) == {
        "folds": [["0", "1"], ["4"]], "mirror": "off", "step": 0.75, "longer_tiles": True,
    }  # fmt: skip
