"""How the values that a search tries are spelled, and every combination of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autoseg.errors import AutosegError
from autoseg.training.search_space import (
    Parameter,
    combinations,
    parse_space,
    read_space,
    settings_of,
)


def test_values_ranges_and_logarithmic_ranges_are_told_apart():
    space = parse_space(
        ["loss=dice_ce/0.65*dice+0.35*focal", "batch_size=2..8", "learning_rate=log:1e-4..1e-2",
         "patch_size=8x8x8/16x16x16", "batch_dice=true/null"]
    )  # fmt: skip
    assert space == (
        Parameter("loss", ("dice_ce", "0.65*dice+0.35*focal")),
        Parameter("batch_size", low=2, high=8, whole=True),
        Parameter("learning_rate", low=1e-4, high=1e-2, log=True),
        Parameter("patch_size", ("8x8x8", "16x16x16")),
        Parameter("batch_dice", ("true", "null")),
    )
    assert str(space[2]) == "learning_rate=log:0.0001..0.01"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("loss", "--vary loss, expected a setting and its values, such as loss=dice_ce/ce"),
        ("los=ce/dice", "unknown setting 'los' -> did you mean 'loss'?"),
        ("loss=ce", "--vary loss=ce, expected two values or more, each once"),
        ("loss=dice_ce|ce", "expected two values or more, each once, with / in between"),
        ("loss=ce/ce", "expected two values or more, each once"),
        ("batch_size=2/x", "--set batch_size=x: not a value for 'batch_size'"),
        ("batch_size=2..x", "expected two numbers, such as 2..8"),
        ("batch_size=8..2", "expected the smaller number first"),
        ("batch_size=2..3.5", "expected whole numbers"),
        ("ema=log:0..0.9", "expected numbers above 0 behind log:"),
        ("ema=nan..0.9", "expected the smaller number first"),
        ("trackers=wandb/mlflow", "--vary trackers=wandb/mlflow: they change no score"),
    ],
)
def test_what_cannot_be_varied_is_told(word: str, message: str):
    with pytest.raises(AutosegError) as error:
        parse_space([word])
    assert message in str(error.value)
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["loss=ce/dice", "loss=ce/topk"], "loss is varied twice, expected each setting once"),
        (["seed=1/2"], "seed is both varied and set -> leave one of them out"),
        ([], "nothing to vary, expected settings, such as"),
    ],
)
def test_settings_that_contradict_each_other_are_told(words: list[str], message: str):
    with pytest.raises(AutosegError, match=message):
        parse_space(words, fixed=["seed=3"])


def test_the_last_setting_of_a_grid_changes_fastest():
    every = combinations(parse_space(["loss=dice/ce", "batch_size=2/4/8"]))
    assert [tuple(values.values()) for values in every] == [
        ("dice", "2"), ("dice", "4"), ("dice", "8"), ("ce", "2"), ("ce", "4"), ("ce", "8"),
    ]  # fmt: skip


def test_the_grid_of_the_kits_project_has_16_combinations():
    losses = "loss=0.65*dice+0.35*focal/0.5*dice+0.5*focal/dice_ce/0.3*dice+0.7*ce"
    space = parse_space([losses, "learning_rate=1e-4/1e-3", "optimizer=adam/adamw"])
    assert len(combinations(space)) == 16


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["batch_size=2..8"], "--grid: batch_size=2..8 is a range, expected values, such as"),
        ([f"{n}={'/'.join(map(str, range(1, 41)))}" for n in ("batch_size", "patience")],
         "--grid: 1,600 combinations, expected 1,000 at most"),
    ],
)  # fmt: skip
def test_a_grid_needs_values_and_an_end(words: list[str], message: str):
    with pytest.raises(AutosegError, match=message):
        combinations(parse_space(words))


def test_a_file_says_the_same_as_words(tmp_path: Path):
    path = tmp_path / "space of mine.json"
    path.write_text(
        json.dumps({"loss": ["dice_ce", "ce"], "batch_size": "2..8", "ema": [0, 0.99],
                    "batch_dice": [True, None], "mirror_axes": ["0,1", "0"]})
    )  # fmt: skip
    words = ["loss=dice_ce/ce", "batch_size=2..8", "ema=0/0.99", "batch_dice=true/null",
             "mirror_axes=0,1/0"]  # fmt: skip
    assert read_space(path) == words
    assert len(parse_space(words)) == 5


@pytest.mark.parametrize(
    ("content", "exit_code", "message"),
    [(None, 2, "no such file"), ("[1]", 3, 'holds no settings to vary, expected {"loss"')],
)
def test_a_file_without_settings_is_told(
    tmp_path: Path, content: str | None, exit_code: int, message: str
):
    path = tmp_path / "space.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(AutosegError) as error:
        read_space(path)
    assert message in str(error.value)
    assert error.value.exit_code == exit_code


def test_numbers_are_said_with_four_digits_and_whole_ones_in_full():
    rate, batch = parse_space(["learning_rate=log:1e-4..1e-2", "batch_size=2..8"])
    values = {"learning_rate": rate.say(0.00123456), "batch_size": batch.say(4)}
    assert settings_of(values) == ["learning_rate=0.001235", "batch_size=4"]


def test_a_share_of_the_way_is_a_value():
    words = ["learning_rate=log:1e-4..1e-2", "batch_size=2..4", "ema=0..0.5", "loss=ce/dice/topk"]
    rate, batch, ema, loss = parse_space(words)
    assert rate.at(0.5) == pytest.approx(1e-3)
    assert [batch.at(share) for share in (0, 0.3, 0.34, 0.6, 0.67, 0.99)] == [2, 2, 3, 3, 4, 4]
    assert ema.at(0.5) == 0.25
    assert [loss.at(share) for share in (0, 0.34, 0.99)] == ["ce", "dice", "topk"]
