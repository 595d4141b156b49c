"""A bundle comes back as it was saved; its identity is what shapes the network."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from autoseg.bundle import mirrored_axes, model_id
from autoseg.bundle_reader import load_bundle, open_bundle
from autoseg.bundle_writer import save_weights
from autoseg.config import TrainConfig, override
from autoseg.labels import Labels
from tests.inference.conftest import make_bundle, make_plan, make_weights
from tests.training.prepared import make_design


def save(folder: Path, fold: str, plan=None, config=None, state=None) -> None:
    plan = plan or make_plan()
    state = state or make_weights(plan, 0)
    save_weights(folder, fold, state, plan, "3d_fullres", "S", config or TrainConfig(), {"a": 1})


def test_it_comes_back_as_it_was_saved(tmp_path: Path):
    plan, config = make_plan(), TrainConfig(seed=7, mirror_axes=(0, 1))
    state = make_weights(plan, 3)
    save(tmp_path, "0", plan, config, state)
    bundle = load_bundle(tmp_path)
    assert (bundle.plan, bundle.config, bundle.size) == (plan, config, "S")
    assert bundle.settings.name == "3d_fullres"
    assert list(bundle.weights) == ["0"]
    assert set(bundle.weights["0"]) == set(state)
    assert all(torch.equal(bundle.weights["0"][name], state[name]) for name in state)
    assert open_bundle(tmp_path).fold_cards["0"].card == {"a": 1}


def test_it_holds_json_and_safetensors_only_and_the_same_bytes_each_time(tmp_path: Path):
    for name in ("one", "two"):
        make_bundle(tmp_path / name, ("0", "full"))
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert [str(f) for f in files] == [
        "MODEL_CARD.md", "card.json", "fold_0/card.json", "fold_0/weights.safetensors",
        "fold_full/card.json", "fold_full/weights.safetensors", "plan.json", "train.json",
    ]  # fmt: skip
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
        assert str(tmp_path).encode() not in (tmp_path / "one" / file).read_bytes()


def test_folds_that_differ_in_seed_or_length_belong_together(tmp_path: Path):
    save(tmp_path, "0", config=TrainConfig(seed=1, epochs=10))
    save(tmp_path, "1", config=TrainConfig(seed=2, epochs=20))
    assert list(load_bundle(tmp_path).weights) == ["0", "1"]


def test_the_patch_that_a_training_chose_is_the_one_that_predicts(tmp_path: Path):
    save(tmp_path, "0", config=TrainConfig(patch_size=(16, 16, 16)))
    assert load_bundle(tmp_path).design.patch_size == (16, 16, 16)
    plan = make_plan()
    ours, theirs = TrainConfig(patch_size=(16, 16, 16)), TrainConfig()
    assert model_id(plan, "3d_fullres", "S", ours) != model_id(plan, "3d_fullres", "S", theirs)


def test_targets_in_another_order_are_another_model():
    plan = make_plan()
    turned = dict(reversed(plan.labels.targets.items()))
    other = dataclasses.replace(plan, labels=Labels(turned))
    config = TrainConfig()
    assert len(turned) > 1
    assert model_id(plan, "3d_fullres", "S", config) != model_id(other, "3d_fullres", "S", config)


@pytest.mark.parametrize(
    ("patch", "settings", "expected"),
    [
        ((8, 8, 8), [], (0, 1, 2)),
        ((1, 8, 8), [], (1, 2)),
        ((8, 8, 8), ["mirror_axes=0,1"], (0, 1)),
        ((8, 8, 8), ["mirror_axes="], ()),
        ((8, 8, 8), ["augmentation=none"], ()),
        ((8, 8, 8), ["augmentation=none", "mirror_axes=2"], (2,)),
        ((8, 8, 8), ["augmentation=my.own:one"], (0, 1, 2)),
    ],
)
def test_prediction_may_mirror_along_the_axes_of_training(patch, settings, expected):
    design = make_design(patch)
    assert mirrored_axes(override(TrainConfig(), settings), design) == expected
