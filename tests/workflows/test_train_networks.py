"""Trainings of another network than the planned one: its name, its bundle, what becomes of both."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from autoseg.bundle_reader import open_bundle
from autoseg.cli import main
from autoseg.errors import CorruptError, ResourceError, Stopped, UsageError
from autoseg.files import read_json
from autoseg.inference.predictor import Predictor
from autoseg.results import Summary
from autoseg.training import trainer
from autoseg.workflows import train_fold, train_report
from autoseg.workflows.compare import compare
from autoseg.workflows.export import export
from autoseg.workflows.train import train
from autoseg.workflows.verify import verify
from autoseg.workspace import Workspace
from tests.workflows.prepared import make_flat_plan, make_workspace

QUICK = ("steps_per_epoch=4", "precision=float32")
ENET = (*QUICK, "network=enet", "network_options=features=8,factor=2")
UNETR = (*QUICK, "network=unetr", "network_options=features=2,hidden=16,heads=2,mlp=16,dropout=0.1")


@pytest.fixture(autouse=True)
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (train_fold, train_report):
        monkeypatch.setattr(module, "draw", lambda history, path: None)
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)


@pytest.fixture
def flat(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path / "flat", plan=make_flat_plan())


@pytest.fixture
def deep(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path / "deep")


def quick(workspace: Workspace, fold: str = "0", **changes: object) -> Summary | None:
    (configuration,) = {path.name for path in workspace.prepared("BALLS").glob("[23]d*")}
    arguments = {"budget": "2epochs", "settings": QUICK, "device": "cpu"} | changes
    return train(workspace, configuration, fold, **arguments)


def test_another_network_lies_beside_the_planned_one_and_says_what_it_is(
    flat: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "autoseg")
    quick(flat)
    quick(flat, settings=ENET)
    told = "network enet (features 8, factor 2, dropout 0.1, activation prelu): 271,034 parameters"
    assert told in caplog.messages
    assert any("memory that enet takes is not counted" in text for text in caplog.messages)
    models = {path.name for path in flat.models("BALLS").iterdir() if path.is_dir()}
    assert models == {"2d-S", "2d-S-enet"}
    info = open_bundle(flat.bundle("BALLS", "2d", "S-enet"))
    assert (info.size, info.design.network.name) == ("S-enet", "enet")
    assert info.config.network == "enet"
    comparison = compare(["2d-S", "2d-S-enet"], flat, output=tmp_path / "compared")
    assert comparison.models == {"A": "BALLS 2d-S", "B": "BALLS 2d-S-enet"}


def test_a_bundle_builds_its_network_by_itself(flat: Workspace) -> None:
    quick(flat, settings=ENET)
    bundle = flat.bundle("BALLS", "2d", "S-enet")
    verify(bundle)
    array = np.random.default_rng(0).normal(size=(3, 11, 9)).astype(np.float32)
    label_map = Predictor(bundle, device="cpu")(array, (1.0, 1.0, 1.0))
    assert label_map.shape == array.shape


def test_the_size_of_a_model_trains_its_other_folds_and_validates_them_again(
    flat: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    quick(flat, settings=ENET)
    quick(flat, "1", size="S-enet")
    info = open_bundle(flat.bundle("BALLS", "2d", "S-enet"))
    assert info.folds == ("0", "1")
    assert quick(flat, "0", size="S-enet", settings=(), budget=None, validate=True) is not None
    words = ["train", "2d", "2", "-w", str(flat.root), "--dry-run", "--size"]
    assert main([*words, "S-enet"]) == 0
    assert "\nsize S-enet (as asked)" in capsys.readouterr().out
    assert main([*words, "S-lwunet"]) == 2


def test_other_options_are_another_model_of_the_same_name(flat: Workspace) -> None:
    quick(flat, settings=ENET)
    with pytest.raises(UsageError, match="fold 0 of 2d-S-enet is finished"):
        quick(flat, settings=(*ENET, "network_options=features=16"))
    quick(flat, "1", settings=(*ENET, "network_options=features=16"))
    with pytest.raises(CorruptError, match="trained with another plan"):
        open_bundle(flat.bundle("BALLS", "2d", "S-enet"), ["0", "1"])


@pytest.mark.parametrize("settings", [ENET, UNETR], ids=["dropout-2d", "dropout-3d"])
def test_a_continued_training_has_the_bytes_of_an_undisturbed_one(
    settings: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_flat_plan() if settings is ENET else None
    if settings is UNETR:
        pytest.importorskip("monai", reason="UNETR is MONAI's")
    straight, halting = (make_workspace(tmp_path / n, plan=plan) for n in ("one", "two"))
    quick(straight, settings=settings)
    update = trainer.update

    def stopping(training, task, batch, learn):
        update(training, task, batch, learn)
        if training.step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "update", stopping)
        with pytest.raises(Stopped):
            quick(halting, settings=settings)
    quick(halting, settings=settings)
    (ours,), (theirs,) = (w.models("BALLS").glob("*/bundle/fold_0") for w in (straight, halting))
    name = "weights.safetensors"
    assert (ours / name).read_bytes() == (theirs / name).read_bytes()


def test_a_transformer_sees_patches_only_and_is_predicted_with_them(deep: Workspace) -> None:
    pytest.importorskip("monai", reason="UNETR is MONAI's")
    quick(deep, settings=UNETR)
    bundle = deep.bundle("BALLS", "3d_fullres", "S-unetr")
    array = np.random.default_rng(0).normal(size=(9, 11, 10)).astype(np.float32)
    assert Predictor(bundle, device="cpu")(array, (1.0, 1.0, 1.0)).shape == array.shape
    verify(bundle)


def test_portable_forms_hold_and_nnunet_refuses(flat: Workspace, tmp_path: Path) -> None:
    quick(flat, settings=ENET)
    bundle = flat.bundle("BALLS", "2d", "S-enet")
    export(bundle, tmp_path / "script", to="torchscript")
    network = torch.jit.load(tmp_path / "script" / "fold_0.pt")
    assert tuple(network(torch.zeros(1, 1, 1, 8, 8)).shape) == (1, 3, 1, 8, 8)
    with pytest.raises(UsageError, match="nnU-Net has no network 'enet'"):
        export(bundle, tmp_path / "theirs", to="nnunet")


def test_a_network_of_slices_does_not_see_volumes(deep: Workspace) -> None:
    with pytest.raises(UsageError, match="enet sees slices only"):
        quick(deep, settings=ENET)


def test_a_missing_library_is_missed_before_anything_is_written(
    deep: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "monai", None)
    monkeypatch.setitem(__import__("sys").modules, "monai.networks", None)
    with pytest.raises(ResourceError, match="unetr needs the package monai"):
        quick(deep, settings=UNETR)
    assert not deep.models("BALLS").exists()


def test_statistics_of_a_batch_that_failed_are_forgotten(flat: Workspace, monkeypatch) -> None:
    update, spoilt = trainer.update, []

    def spoiling(training, task, batch, learn):
        if training.step == 2:
            batch.image.fill_(torch.nan)
            before = [b.clone() for b in training.network.buffers()]
            update(training, task, batch, learn)
            spoilt.append(
                all(
                    torch.equal(a, b)
                    for a, b in zip(before, training.network.buffers(), strict=True)
                )
            )
        else:
            update(training, task, batch, learn)

    monkeypatch.setattr(trainer, "update", spoiling)
    quick(flat, settings=ENET)
    assert spoilt == [True]
    assert read_json(flat.run("BALLS", "2d", "S-enet", "0") / "result.json")["steps"] == 8
