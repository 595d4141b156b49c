"""A cascade's bundle holds its previous stage, and notices when that is another one."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch

from autoseg.bundle import describe, model_id, stage_id
from autoseg.bundle_reader import load_bundle, open_bundle
from autoseg.bundle_writer import save_weights
from autoseg.config import TrainConfig
from autoseg.errors import CorruptError
from autoseg.networks import build_network
from tests.inference.test_cascade import cascade_plan, make_cascade


def save(folder: Path, fold: str, state, plan, lowres) -> None:
    config = TrainConfig()
    save_weights(
        folder, fold, state, plan, "3d_cascade_fullres", "S", config, {}, previous=lowres
    )  # fmt: skip


def test_it_can_be_moved_away_from_the_stage_it_continues(tmp_path: Path):
    plan = cascade_plan()
    make_cascade(tmp_path, plan).rename(tmp_path / "mailed")
    shutil.rmtree(tmp_path / "lowres")
    bundle = load_bundle(tmp_path / "mailed")
    assert bundle.previous is not None
    assert list(bundle.previous.weights) == ["0", "1"]
    inputs = [
        {t.shape[1] for t in stage.weights["0"].values() if t.ndim == 5} for stage in bundle.stages
    ]
    assert inputs[1] - inputs[0] == {1 + len(plan.labels.targets)}
    assert describe(open_bundle(tmp_path / "mailed")) == "3d_cascade_fullres-S, fold 0"


def test_only_the_folds_that_were_continued_are_copied(tmp_path: Path):
    plan = cascade_plan()
    make_cascade(tmp_path, plan, ("0", "1", "2"))
    lowres = open_bundle(tmp_path / "lowres", ["0", "2"])
    state = load_bundle(tmp_path / "cascade").weights["0"]
    save_weights(
        tmp_path / "other",
        "0",
        state,
        plan,
        "3d_cascade_fullres",
        "S",
        TrainConfig(),
        {},
        previous=lowres,
    )
    folders = {path.name for path in (tmp_path / "other" / "previous").iterdir() if path.is_dir()}
    assert folders == {"fold_0", "fold_2"}


def test_a_flipped_byte_in_the_previous_stage_is_found(tmp_path: Path):
    folder = make_cascade(tmp_path, cascade_plan()) / "previous"
    for name in ("plan.json", "train.json", "fold_1/weights.safetensors"):
        path = folder / name
        good = path.read_bytes()
        path.write_bytes(good[:-9] + bytes([good[-9] ^ 1]) + good[-8:])
        with pytest.raises(CorruptError, match="changed or damaged"):
            load_bundle(tmp_path / "cascade")
        path.write_bytes(good)
    load_bundle(tmp_path / "cascade")


def test_another_previous_stage_is_refused_and_a_missing_one_is_named(tmp_path: Path):
    plan = cascade_plan()
    folder = make_cascade(tmp_path, plan)
    shutil.rmtree(folder / "previous" / "fold_1")
    with pytest.raises(CorruptError, match="not the previous stage that this model was trained"):
        open_bundle(folder)
    shutil.rmtree(folder / "previous")
    with pytest.raises(CorruptError, match="previous stage of 3d_cascade_fullres is missing"):
        open_bundle(folder)


def test_folds_that_continue_other_weights_are_not_averaged(tmp_path: Path):
    plan = cascade_plan()
    folder = make_cascade(tmp_path, plan)
    before = stage_id(open_bundle(tmp_path / "lowres"))
    spec = plan.configurations["3d_lowres"].sizes["S"].network
    torch.manual_seed(99)
    state = build_network(spec, 1, plan.labels.channels).state_dict()
    save_weights(tmp_path / "lowres", "1", state, plan, "3d_lowres", "S", TrainConfig(), {})
    lowres = open_bundle(tmp_path / "lowres")
    assert stage_id(lowres) != before
    state = load_bundle(folder).weights["0"]
    save_weights(
        folder, "1", state, plan, "3d_cascade_fullres", "S", TrainConfig(), {}, previous=lowres
    )
    with pytest.raises(CorruptError, match=r"fold 0 was trained with another.*previous stage"):
        open_bundle(folder)
    assert stage_id(open_bundle(folder, ["1"]).previous) == stage_id(lowres)


def test_the_identity_of_a_cascade_covers_its_previous_stage_and_no_other_changes(tmp_path: Path):
    plan, config = cascade_plan(), TrainConfig()
    one, other = (model_id(plan, "3d_cascade_fullres", "S", config, p) for p in ("a", "b"))
    assert one != other
    assert stage_id(None) == ""
    plain = model_id(plan, "3d_fullres", "S", config)
    assert plain == model_id(plan, "3d_fullres", "S", config, "")
    tall = dataclasses.replace(
        plan, configurations={"3d_fullres": plan.configurations["3d_fullres"]}
    )
    assert plain == model_id(tall, "3d_fullres", "S", config)
