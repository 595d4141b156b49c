"""A recipe from plan to prediction: one more configuration of a data set, on tiny scans."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from autoseg import presets as shelf
from autoseg.bundle_reader import open_bundle
from autoseg.errors import UsageError
from autoseg.files import read_json, write_json
from autoseg.plan_file import load_plan
from autoseg.preprocessing.store import open_prepared
from autoseg.workflows.order import read_orders
from autoseg.workflows.plan import plan
from autoseg.workflows.predict import predict
from autoseg.workflows.train import train
from autoseg.workspace import Workspace
from tests.synthetic import DATASET, make_workspace, write_unseen

RECIPE: dict[str, Any] = {
    "about": "A toy.",
    "plan": {
        "base": "2d",
        "normalizer": "window:-100,200",
        "plane": 20,
        "patch_size": [1, 16, 16],
        "batch_size": 3,
        "network": {"name": "plain_unet", "features": [4, 8]},
        "passes": 2,
    },
    "train": {"optimizer": "adam", "learning_rate": 0.01, "loss": "ce", "precision": "float32"},
}
NAME = "old-toy"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    folder = tmp_path / "shelf"
    folder.mkdir()
    write_json(folder / f"{NAME}.json", RECIPE)
    write_json(folder / "other.json", RECIPE)
    monkeypatch.setattr(shelf, "FOLDER", folder)
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    return make_workspace(tmp_path / "w")


def test_a_recipe_is_planned_prepared_trained_and_predicts(workspace: Workspace, tmp_path: Path):
    planned = plan(workspace, DATASET, only=[NAME], presets=[NAME], workers=0)
    prepared = workspace.prepared(DATASET)
    assert not (prepared / "2d").exists()
    case = open_prepared(prepared / NAME, "phantom_00")
    assert case.image.shape[1:] == (12, 20, 20)
    # Cubic interpolation may overshoot the window a little.
    assert -0.3 < float(case.image.min()) < 0.01 < 0.99 < float(case.image.max()) < 1.3
    assert planned.configurations[NAME].train["steps"] == round(2 * 4 * 12 / 3)

    train(workspace, NAME, 0, settings=["steps=2", "learning_rate=0.02"], device="cpu")
    info = open_bundle(workspace.bundle(DATASET, NAME, "preset"))
    assert (info.configuration, info.size) == (NAME, "preset")
    config = info.config
    # The plan's part, the setting on top of it, and the length of neither twice.
    assert (config.optimizer, config.loss) == ("adam", "ce")
    assert (config.learning_rate, config.steps) == (0.02, 2)

    write_unseen(tmp_path / "unseen", cases=1)
    for choice in ({}, {"configuration": NAME}, {"configuration": NAME, "size": "preset"}):
        output = tmp_path / f"pred{len(choice)}"
        predict(workspace, tmp_path / "unseen" / "images", output, **choice)
        assert len(list(output.glob("*.nii.gz"))) == 1


def test_the_same_again_does_nothing_and_the_plan_is_the_same_bytes(workspace: Workspace):
    first = plan(workspace, DATASET, presets=[NAME], prepare=False)
    text = workspace.plan(DATASET).read_bytes()
    assert plan(workspace, DATASET, prepare=False) == first  # once planned it stays
    assert workspace.plan(DATASET).read_bytes() == text
    together = plan(workspace, DATASET, presets=["other"], prepare=False)
    assert {NAME, "other"} < set(together.configurations)


def test_a_recipe_is_added_to_a_plan_that_was_edited(workspace: Workspace):
    plan(workspace, DATASET, prepare=False)
    edited = read_json(workspace.plan(DATASET))
    edited["configurations"]["2d"]["sizes"]["S"]["batch_size"] = 7
    workspace.plan(DATASET).write_text(json.dumps(edited))
    planned = plan(workspace, DATASET, presets=[NAME], prepare=False)
    assert planned.configurations["2d"].sizes["S"].batch_size == 7
    assert planned.configurations[NAME].preset == NAME
    assert load_plan(workspace.plan(DATASET)) == planned


def test_what_the_plan_says_of_trainings_may_be_edited_and_goes_before_the_defaults(
    workspace: Workspace,
):
    plan(workspace, DATASET, only=[NAME, "2d"], presets=[NAME], workers=0)
    edited = read_json(workspace.plan(DATASET))
    edited["configurations"]["2d"]["train"] = {"loss": "focal", "epochs": 3}
    workspace.plan(DATASET).write_text(json.dumps(edited))
    (order,) = read_orders(workspace, "2d", "0", device="cpu")
    assert (order.config.loss, order.config.epochs, order.size) == ("focal", 3, "S")
    (order,) = read_orders(workspace, "2d", "0", settings=["loss=ce", "steps=4"], device="cpu")
    assert (order.config.loss, order.config.epochs, order.config.steps) == ("ce", None, 4)
    (order,) = read_orders(workspace, NAME, "0", budget="5epochs", device="cpu")
    assert (order.config.epochs, order.config.steps) == (5, None)
    edited["configurations"]["2d"]["train"] = {"los": "focal"}
    workspace.plan(DATASET).write_text(json.dumps(edited))
    with pytest.raises(UsageError, match="unknown setting 'los' -> did you mean 'loss'"):
        read_orders(workspace, "2d", "0", device="cpu")


def test_a_file_of_ones_own_is_planned_and_the_plan_no_longer_needs_it(
    workspace: Workspace, tmp_path: Path
):
    path = tmp_path / "mine.json"
    write_json(path, RECIPE)
    first = plan(workspace, DATASET, presets=[str(path)], prepare=False)
    assert first.configurations["mine"].sizes["preset"].batch_size == 3
    assert str(tmp_path) not in workspace.plan(DATASET).read_text()
    path.unlink()
    assert plan(workspace, DATASET, prepare=False) == first
    larger = plan(workspace, DATASET, memory_gb=8, prepare=False)  # made anew by the rules
    assert larger.configurations["mine"] == first.configurations["mine"]
    write_json(path, {**RECIPE, "plan": {**RECIPE["plan"], "batch_size": 5}})
    changed = plan(workspace, DATASET, presets=[str(path)], prepare=False)
    assert changed.configurations["mine"].sizes["preset"].batch_size == 5
    assert load_plan(workspace.plan(DATASET)) == changed


def test_a_file_that_says_something_else_replaces_it_in_an_edited_plan_too(
    workspace: Workspace, tmp_path: Path
):
    path = tmp_path / "mine.json"
    write_json(path, RECIPE)
    plan(workspace, DATASET, presets=[str(path)], prepare=False)
    edited = read_json(workspace.plan(DATASET))
    edited["configurations"]["2d"]["sizes"]["S"]["batch_size"] = 7
    workspace.plan(DATASET).write_text(json.dumps(edited))
    write_json(path, {**RECIPE, "plan": {**RECIPE["plan"], "batch_size": 5}})
    planned = plan(workspace, DATASET, presets=[str(path)], prepare=False)
    assert planned.configurations["2d"].sizes["S"].batch_size == 7
    assert planned.configurations["mine"].sizes["preset"].batch_size == 5


def test_a_misspelled_recipe_is_told_before_anything_is_read(workspace: Workspace):
    with pytest.raises(UsageError, match="unknown preset 'old_toy' -> did you mean 'old-toy'"):
        plan(workspace, DATASET, presets=["old_toy"])
    assert not workspace.prepared(DATASET).exists()
