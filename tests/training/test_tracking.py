"""Laws of what a training says."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import pytest

from autoseg.training.tracking import (
    Epoch,
    advise_waiting,
    epoch_line,
    log_file,
    progress_line,
    share_waiting,
    write_history,
)

EPOCH = Epoch(3, 750, 0.412, 0.398, {"anterior": 0.8612, "posterior": None}, 2.7e-3, 61.5, 2, 3.075)


def test_the_line_of_an_epoch_has_losses_dice_rate_and_time_left():
    assert epoch_line(EPOCH, 4000, 1100) == (
        "epoch 3, step 750/4,000: loss 0.4120, validation 0.3980, Dice anterior 0.861 posterior -, "
        "rate 0.0027, 2 steps skipped (gradient not finite), 18 min 20 s left"
    )


def test_an_epoch_whose_steps_were_all_skipped_has_no_loss(tmp_path: Path):
    epoch = dataclasses.replace(EPOCH, train_loss=None)
    assert epoch_line(epoch, 4000, 1100).startswith("epoch 3, step 750/4,000: loss -, validation")
    assert progress_line(3, 700, 4000, None, 60) == "epoch 3, step 700/4,000: loss -, 1 min left"
    write_history(tmp_path / "history.csv", [epoch])
    assert (tmp_path / "history.csv").read_text().splitlines()[1].startswith("3,750,,0.398,")


def test_of_many_targets_the_line_has_the_mean_and_the_lowest():
    many = {f"t{i}": i / 100 for i in range(100)} | {"absent": None}
    line = epoch_line(dataclasses.replace(EPOCH, pseudo_dice=many), 4000, 1100)
    assert "Dice 0.495 (mean of 100 targets, lowest t0 0.000 t1 0.010 t2 0.020), rate" in line
    none = dict.fromkeys(many)
    line = epoch_line(dataclasses.replace(EPOCH, pseudo_dice=none), 4000, 1100)
    assert "Dice - of 101 targets, rate" in line


def test_waiting_is_told_where_it_is_long_and_the_advice_once(caplog: pytest.LogCaptureFixture):
    slow = dataclasses.replace(EPOCH, seconds=50.0, waited_s=10.0)
    assert "20 % of the time waiting for data, 18 min" in epoch_line(slow, 4000, 1100)
    for history in ([EPOCH], [EPOCH, slow], [EPOCH, slow, slow], [EPOCH, slow, EPOCH]):
        advise_waiting(history)
    assert len(caplog.messages) == 1
    assert "-> prepared/ on a faster disk" in caplog.text
    assert share_waiting([EPOCH, slow]) == pytest.approx(13.075 / 111.5)
    assert share_waiting([]) == 0


def test_history_has_a_column_per_number_and_blanks_where_there_is_none(tmp_path: Path):
    write_history(tmp_path / "history.csv", [EPOCH])
    head, row = (tmp_path / "history.csv").read_text().splitlines()
    assert head == (
        "epoch,step,train_loss,validation_loss,learning_rate,seconds,skipped,waiting,"
        "dice_anterior,dice_posterior"
    )
    assert row == "3,750,0.412,0.398,0.0027,61.5,2,0.05,0.8612,"


def test_a_history_begun_by_an_older_version_has_the_dice_of_training_patches_from_now_on(tmp_path):
    newer = dataclasses.replace(EPOCH, train_dice={"anterior": 0.9, "posterior": None})
    write_history(tmp_path / "history.csv", [EPOCH, newer])
    head, *rows = (tmp_path / "history.csv").read_text().splitlines()
    assert head.endswith(",dice_posterior,train_dice_anterior,train_dice_posterior")
    assert [row.split(",")[-2:] for row in rows] == [["", ""], ["0.9", ""]]


def test_a_history_that_cannot_be_written_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "file").write_text("")
    write_history(tmp_path / "file" / "history.csv", [EPOCH])
    assert "history not written" in caplog.text


def test_the_log_file_gets_what_autoseg_says_while_it_is_open(tmp_path: Path):
    logger = logging.getLogger("autoseg.something")
    with log_file(tmp_path / "log.txt"):
        logger.info("inside")
    logger.warning("outside")
    text = (tmp_path / "log.txt").read_text()
    assert "INFO inside" in text
    assert "outside" not in text


def test_a_log_file_may_listen_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "autoseg")
    logger = logging.getLogger("autoseg.something")
    with log_file(tmp_path / "log.txt", alone=True):
        logger.info("inside")
    logger.info("outside")
    assert caplog.messages == ["outside"]
    assert "inside" in (tmp_path / "log.txt").read_text()
