"""Laws of patience: what counts as progress, and that every training ends annealed."""

from __future__ import annotations

import math

from autoseg.config import TrainConfig
from autoseg.training.budget import Length
from autoseg.training.patience import ending_from, reason_to_end, stale_epochs
from autoseg.training.tracking import Epoch


def history(losses: list[float | None], dice: list[float | None] | None = None) -> list[Epoch]:
    dice = [None] * len(losses) if dice is None else dice
    return [
        Epoch(n + 1, n, 0.5, loss, {"a": value, "b": None}, 0.01, 1.0)
        for n, (loss, value) in enumerate(zip(losses, dice, strict=True))
    ]


def test_a_falling_loss_is_progress_and_a_flat_one_is_not():
    assert stale_epochs(history([0.9, 0.8, 0.7, 0.6])) == 0
    assert stale_epochs(history([0.5] * 10)) == 9
    assert stale_epochs(history([0.5] + [0.6] * 4)) == 4


def test_a_rising_dice_is_progress_while_the_loss_climbs():
    climbing = [0.5 + 0.01 * n for n in range(10)]
    assert stale_epochs(history(climbing)) == 9
    assert stale_epochs(history(climbing, [0.1 * n for n in range(10)])) == 0
    assert stale_epochs(history(climbing, [0.7] * 10)) == 9


def test_noise_about_a_plateau_is_no_progress_for_ever():
    losses = [0.5 + 0.05 * math.sin(7 * n) for n in range(200)]
    assert stale_epochs(history(losses)) > 100


def test_a_loss_that_only_creeps_is_no_progress():
    assert stale_epochs(history([1.0] + [0.5] * 20)) == 20 - 5  # until the first is out of the mean
    creeping = [0.5 - 1e-6 * n for n in range(50)]
    assert stale_epochs(history(creeping)) == 49


def test_epochs_without_a_value_are_waited_through():
    assert stale_epochs(history([0.9, None, None])) == 2
    assert stale_epochs(history([None, None])) == 2
    assert stale_epochs(history([0.9, None, 0.1])) == 0
    assert stale_epochs([]) == 0


def test_the_ending_takes_a_tenth_of_the_steps_done_and_the_rate_ends_at_zero():
    length = ending_from(Length(10_000), 2000, 50)
    assert length == Length(2200, 2000, 0.2, ending=True)
    assert length.progress(2000) == 0.2
    assert length.progress(2200) == 1
    assert ending_from(Length(10_000), 100, 50) == Length(150, 100, 0.01, ending=True)


def test_an_ending_is_never_made_longer():
    assert ending_from(Length(2100), 2000, 50) is None
    assert ending_from(Length(2200, 2000, 0.2, ending=True), 2100, 50) is None
    assert Length(2200, 2000, 0.2, ending=True).replanned(2100, 2150).ending


def test_what_counts_as_a_gain_is_a_setting():
    creeping = history([0.5 - 1e-4 * n for n in range(20)])  # 2e-4 of itself an epoch
    assert stale_epochs(creeping) > 0
    assert stale_epochs(creeping, least_gain=1e-5) == 0
    config = TrainConfig(patience=3, patience_gain=1e-5)
    assert reason_to_end(creeping, config) is None
    flat = history([0.5] * 10)
    assert reason_to_end(flat, config) == "no progress for 3 epochs"
    assert reason_to_end(flat, TrainConfig()) is None


def test_enough_is_the_mean_dice_of_five_epochs():
    config = TrainConfig(target_dice=0.8)
    rising: list[float | None] = [0.0, 0.7, 0.75, 0.8, 0.85, 0.9]  # the last five: 0.8
    losses: list[float | None] = [0.5] * 6
    assert reason_to_end(history(losses[:5], rising[:5]), config) is None
    assert reason_to_end(history(losses, rising), config) == (
        "mean Dice of 5 epochs is 0.800, 0.8 is asked"
    )
    assert reason_to_end(history(losses[:4], [0.9] * 4), config) is None  # too few to tell
