"""One way to override a value, with answers for misspelled names and impossible values."""

import dataclasses
import re
from pathlib import Path

import pytest

from autoseg.config import PredictConfig, TrainConfig, override
from autoseg.errors import UsageError
from autoseg.presets import load_preset, preset_names, training_settings


@pytest.mark.parametrize(
    ("assignment", "name", "value"),
    [
        ("epochs=3", "epochs", 3),
        ("epochs=none", "epochs", None),
        ("learning_rate=3e-3", "learning_rate", 3e-3),
        ("learning_rate=1", "learning_rate", 1.0),
        ("loss=my_lab.losses:focal", "loss", "my_lab.losses:focal"),
        ("optimizer=sgd", "optimizer", "sgd"),
        ("optimizer=null", "optimizer", None),
        ("deep_supervision=False", "deep_supervision", False),
        ("patch_size=40x56x40", "patch_size", (40, 56, 40)),
        ("patch_size=[40, 56, 40]", "patch_size", (40, 56, 40)),
        ("mirror_axes=1,2", "mirror_axes", (1, 2)),
        ("mirror_axes=", "mirror_axes", ()),
        (" seed = 7 ", "seed", 7),
    ],
)
def test_values_are_read_as_the_field_needs_them(assignment, name, value):
    assert getattr(override(TrainConfig(), [assignment]), name) == value


def test_later_assignments_win_and_the_record_itself_is_unchanged():
    config = TrainConfig()
    assert override(config, ["epochs=3", "epochs=4"]).epochs == 4
    assert config.epochs is None


def test_folds_are_text():
    assert override(PredictConfig(), ["folds=0,1"]).folds == ("0", "1")


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("epohcs=3", "--set epohcs: unknown setting 'epohcs' -> did you mean 'epochs'?"),
        ("epochs", "--set epochs, expected name=value"),
        ("epochs=many", "--set epochs=many: not a value for 'epochs'"),
        ("seed=1.5", "--set seed=1.5: not a value for 'seed', expected int"),
        ("patch_size=40x56", "--set patch_size=40x56: not a value for 'patch_size'"),
        ("mirror_axes=x", "--set mirror_axes=x: not a value for 'mirror_axes'"),
    ],
)
def test_what_cannot_be_set_is_explained(assignment, words):
    with pytest.raises(UsageError, match=re.escape(words)):
        override(TrainConfig(), [assignment])


def test_a_dotted_path_reaches_into_mappings():
    assert override({"a": {"b": 1}}, ["a.b=2"]) == {"a": {"b": 2}}
    with pytest.raises(UsageError, match="unknown name 'bb'"):
        override({"a": {"b": 1}}, ["a.bb=2"])


@pytest.mark.parametrize("name", [n for n in preset_names() if load_preset(n).plan is None])
def test_a_preset_without_a_plan_is_a_set_of_known_settings(name):
    assert override(TrainConfig(), training_settings(name)) != TrainConfig()


def test_an_unknown_preset_is_answered_with_the_near_one():
    with pytest.raises(UsageError, match="unknown preset 'smok' -> did you mean 'smoke'"):
        load_preset("smok")


def test_a_preset_with_a_plan_is_planned_first():
    words = "'kits-res3d' is a configuration of its own -> autoseg_plan --preset kits-res3d, then"
    with pytest.raises(UsageError, match=words):
        training_settings("kits-res3d")


def test_every_setting_of_a_training_is_in_the_documentation():
    text = (Path(__file__).resolve().parents[1] / "docs" / "settings.md").read_text("utf-8")
    names = {field.name for field in dataclasses.fields(TrainConfig)}
    assert {name for name in names if f"`{name}`" not in text} == set()
