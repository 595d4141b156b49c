"""Presets that a plan is asked for: names, files, and what is wrong with a file, told with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autoseg.errors import AutosegError, UsageError
from autoseg.planning.preset_files import read_presets
from autoseg.presets import FOLDER, load_preset, preset_names

NETWORK = {"name": "plain_unet", "features": [8, 16]}
PLAN = {"base": "2d", "patch_size": [1, 64, 64], "batch_size": 3, "network": NETWORK}


def write(path: Path, **parts: Any) -> str:
    path.write_text(json.dumps({"about": "Mine.", **parts}), encoding="utf-8")
    return str(path)


def test_names_and_files_stand_beside_each_other(tmp_path: Path):
    path = write(tmp_path / "my-2d.json", plan=PLAN, train={"target_weights": {"kidney": 2}})
    found = read_presets(["kits-res3d", path])
    assert list(found) == ["kits-res3d", "my-2d"]
    assert found["kits-res3d"] == load_preset("kits-res3d")
    assert found["my-2d"].train == {"target_weights": {"kidney": 2}}


@pytest.mark.parametrize("name", [n for n in preset_names() if load_preset(n).plan])
def test_a_copy_of_any_under_another_name_is_one_of_ones_own(name: str, tmp_path: Path):
    path = tmp_path / "copy.json"
    path.write_bytes((FOLDER / f"{name}.json").read_bytes())
    assert read_presets([str(path)]) == {"copy": load_preset(name)}


def test_what_cannot_be_meant_is_answered(tmp_path: Path):
    with pytest.raises(UsageError, match=r"'kits-res3' -> did you mean 'kits-res3d'\? \(or your"):
        read_presets(["kits-res3"])
    with pytest.raises(UsageError, match="there is no such preset"):
        read_presets([str(tmp_path / "nowhere.json")])
    with pytest.raises(UsageError, match=r"plans nothing.*CONFIG FOLD --preset smoke"):
        read_presets(["smoke"])
    one = write(tmp_path / "mine.json", plan=PLAN)
    assert list(read_presets([one, one])) == ["mine"]
    (tmp_path / "b").mkdir()
    two = write(tmp_path / "b" / "mine.json", plan={**PLAN, "batch_size": 4})
    with pytest.raises(UsageError, match="two presets are called 'mine'"):
        read_presets([one, two])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("kits-res3d", "'kits-res3d' is the name of something else"),
        ("labels", "'labels' is the name of something else"),
        ("3d_lowres", "'3d_lowres' is the name of something else"),
        ("my.best", "a preset called 'my.best'.*expected letters, digits, - and _"),
        ("-x", "a preset called '-x'"),
    ],
)
def test_a_name_is_that_of_a_configuration(name: str, words: str, tmp_path: Path):
    with pytest.raises(UsageError, match=words):
        read_presets([write(tmp_path / f"{name}.json", plan=PLAN)])


@pytest.mark.parametrize(
    ("plan", "train", "words"),
    [
        ({"base": None}, {}, "plan.base.*found null"),
        ({"patch": 3}, {}, "unknown field 'patch' -> "),
        ({"batch_size": 0}, {}, "below 1"),
        ({"patch_size": [1, 65, 64]}, {}, r"patch_size\[1\] = 65.*multiple of 2"),
        ({"plane": 0}, {}, "plan.plane is 0, expected a number above 0"),
        ({"passes": -1}, {}, "plan.passes is -1, expected a number above 0"),
        ({"normalizer": "windw:1,2"}, {}, "windw"),
        ({"network": {"name": "plain_unett", "features": [8]}}, {}, "did you mean 'plain_unet'"),
        ({"network": {"name": "enet", "features": [8, 16]}}, {}, "enet has no list of features"),
        ({"network": {"name": "enet", "options": "fetures=8"}}, {}, "enet has no 'fetures'"),
        ({"network": {**NETWORK, "options": "features=8"}}, {}, "expected one of them"),
        ({"network": {**NETWORK, "kernels": [[1, 3, 3]]}}, {}, "kernels has -1 entries"),
        ({}, {"los": "ce"}, "unknown setting 'los' -> did you mean 'loss'"),
        ({}, {"learning_rate": "fast"}, "learning_rate=fast"),
        ({}, {"target_weights": {"kidney": "2"}}, "train.target_weights is .*numbers by target"),
        ({}, {"target_sampling": [1, 2]}, r"train.target_sampling is \[1, 2\]"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_path(
    plan: dict[str, Any], train: dict[str, Any], words: str, tmp_path: Path
):
    path = write(tmp_path / "mine.json", plan={**PLAN, **plan}, train=train)
    with pytest.raises(AutosegError, match=words) as error:
        read_presets([path])
    assert path in str(error.value)
    assert error.value.exit_code == 3
    assert error.value.remedy
