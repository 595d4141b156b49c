"""A preset of one's own: a file by its path."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from autoseg.errors import AutosegError, UsageError
from autoseg.files import write_json
from autoseg.presets import training_settings


def test_a_preset_may_be_a_file_by_its_path(tmp_path: Path):
    path = tmp_path / "my best.json"
    train = {"loss": "dice+focal", "learning_rate": 0.003, "mirror_axes": [0, 1]}
    write_json(path, {"about": "Mine.", "train": train})
    assert training_settings(str(path)) == [
        "loss=dice+focal", "learning_rate=0.003", "mirror_axes=[0, 1]"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "exit_code", "message"),
    [
        (None, 2, "there is no such preset"),
        ({"loss": "ce"}, 3, "unknown field 'loss' -> known names: about, differences, plan, train"),
        ("ce", 3, 'a preset is {"about": "...", "train": {"loss": "ce"}}'),
    ],
)
def test_a_file_that_is_no_preset_is_told(
    content: object, exit_code: int, message: str, tmp_path: Path
):
    path = tmp_path / "mine.json"
    if content is not None:
        write_json(path, content)
    with pytest.raises(AutosegError) as error:
        training_settings(str(path))
    assert str(path) in str(error.value)
    assert message in str(error.value)
    assert error.value.exit_code == exit_code


def test_a_file_that_plans_is_planned_first(tmp_path: Path):
    path = tmp_path / "mine.json"
    network = {"name": "plain_unet", "features": [4, 8]}
    plan = {"base": "2d", "patch_size": [1, 16, 16], "batch_size": 3, "network": network}
    write_json(path, {"about": "Mine.", "plan": plan})
    words = f"autoseg_plan --preset {path}, then autoseg_train mine 0"
    with pytest.raises(UsageError, match=re.escape(words)):
        training_settings(str(path))
