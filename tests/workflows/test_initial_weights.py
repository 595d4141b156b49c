"""Trainings that begin with the weights of another model."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from pathlib import Path

import pytest
import torch

from autoseg.bundle_reader import load_bundle, open_bundle
from autoseg.errors import CorruptError, Stopped, UsageError
from autoseg.files import read_json
from autoseg.networks import build_network
from autoseg.plan_file import load_plan, save_plan
from autoseg.preprocessing.manifest import recipe_of
from autoseg.results import Summary
from autoseg.training import trainer
from autoseg.workflows import train_fold, train_report
from autoseg.workflows.import_model import import_model
from autoseg.workflows.initial_weights import begin_with, find_weights
from autoseg.workflows.order import read_orders
from autoseg.workflows.side_by_side import words_for
from autoseg.workflows.train import train
from autoseg.workspace import Workspace
from tests.sharing.nnunet_folders import KINDS, make_folder
from tests.workflows.prepared import NETWORK, make_workspace

QUICK = ("steps_per_epoch=5", "precision=float32")
FROZEN = (*QUICK, "learning_rate=1e-30", "weight_decay=0")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    for module in (train_fold, train_report):
        monkeypatch.setattr(module, "draw", lambda history, path: None)
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    return make_workspace(tmp_path / "new")


@pytest.fixture
def source(tmp_path: Path, workspace: Workspace) -> Path:
    """A bundle with folds 0 and 1."""
    trained = make_workspace(tmp_path / "old")
    for fold in ("0", "1"):
        quick(trained, fold)
    return trained.bundle("BALLS", "3d_fullres", "S")


def quick(workspace: Workspace, fold: str = "0", **changes: object) -> Summary | None:
    arguments = {"budget": "2epochs", "settings": QUICK, "device": "cpu"} | changes
    return train(workspace, "3d_fullres", fold, **arguments)


def bundle_of(workspace: Workspace) -> Path:
    return workspace.bundle("BALLS", "3d_fullres", "S")


def result_of(workspace: Workspace) -> dict:
    return read_json(workspace.run("BALLS", "3d_fullres", "S", "0") / "result.json")


def weights_of(bundle: Path, fold: str = "0") -> dict[str, torch.Tensor]:
    return dict(load_bundle(bundle).weights[fold])


def test_the_weights_are_there_when_nothing_is_learnt(
    workspace: Workspace, source: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", "autoseg")
    quick(workspace, weights=f"{source}#0", settings=FROZEN)
    ours, theirs = weights_of(bundle_of(workspace)), weights_of(source)
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor)
    digest = open_bundle(source).fold_cards["0"].sha256
    assert f"weights: BALLS 3d_fullres-S fold 0 (sha256 {digest[:12]})" in caplog.messages
    assert "weights: 100.0 % of the parameters come from these weights" in caplog.messages
    kept = result_of(workspace)["weights"]
    assert kept == {
        "dataset": "BALLS", "model": "3d_fullres-S", "fold": "0", "sha256": digest, "share": 1.0,
        "loaded": len(theirs), "adapted": {}, "new": [],
    }  # fmt: skip
    assert read_json(bundle_of(workspace) / "train.json")["weights"] == digest
    assert open_bundle(bundle_of(workspace)).fold_cards["0"].card["weights"] == kept
    texts = [path.read_text() for path in bundle_of(workspace).rglob("*.json")]
    assert not any(str(source.parent) in text for text in texts)


def test_other_targets_keep_what_has_the_same_name(workspace: Workspace, source: Path):
    path = workspace.plan("BALLS")
    path.write_text(path.read_text().replace('"shell"', '"hull"'))
    manifest = workspace.prepared("BALLS") / "3d_fullres" / "manifest.json"
    plan = load_plan(path)
    recipe = recipe_of(plan, plan.configuration("3d_fullres"))
    manifest.write_text(json.dumps({**read_json(manifest), "recipe": recipe}))
    quick(workspace, weights=f"{source}#1", settings=FROZEN)
    head = "heads.0.weight"
    ours, theirs = weights_of(bundle_of(workspace))[head], weights_of(source, "1")[head]
    torch.testing.assert_close(ours[:2], theirs[:2])
    assert not torch.allclose(ours[2], theirs[2])
    kept = result_of(workspace)["weights"]
    assert kept["adapted"][head] == "outputs of core from the source"
    assert 0.9 < kept["share"] < 1


def test_a_continued_training_has_the_bytes_of_an_undisturbed_one(
    workspace: Workspace, source: Path, tmp_path: Path
):
    straight = make_workspace(tmp_path / "straight")
    quick(straight, weights=f"{source}#0")
    update = trainer.update

    def stopping(training, task, batch, learn):
        update(training, task, batch, learn)
        if training.step == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "update", stopping)
        with pytest.raises(Stopped):
            quick(workspace, weights=f"{source}#0")
    for changes in ({}, {"weights": f"{source}#1"}):
        with pytest.raises(UsageError, match=r"other settings is there \(weights="):
            quick(workspace, **changes)
    quick(workspace, weights=f"{source}#0")
    for name in ("fold_0/weights.safetensors", "fold_0/card.json", "train.json"):
        ours, theirs = bundle_of(workspace) / name, bundle_of(straight) / name
        assert ours.read_bytes() == theirs.read_bytes()


def test_the_encoder_can_be_held_for_the_first_epochs(workspace: Workspace, source: Path):
    quick(workspace, weights=f"{source}#0", settings=(*QUICK, "freeze_encoder=2"))
    ours, theirs = weights_of(bundle_of(workspace)), weights_of(source)
    for name in theirs:
        assert torch.equal(ours[name], theirs[name]) is name.startswith("encoder.")
    quick(workspace, weights=f"{source}#0", settings=(*QUICK, "freeze_encoder=1"), overwrite=True)
    ours = weights_of(bundle_of(workspace))
    assert not any(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_fold_is_chosen_by_its_name_or_full_or_the_first(
    workspace: Workspace, source: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", "autoseg")
    assert find_weights(f"{source}#1").fold == "1"
    assert find_weights(str(source)).fold == "0"
    assert "weights: fold 0 of 0 1; BUNDLE#fold takes another one" in caplog.text
    assert find_weights(str(source.parent)).info.folder == source  # a model's folder
    quick(Workspace(source.parents[3]), "full")
    assert find_weights(str(source)).fold == "full"


def test_weights_that_have_seen_the_validation_cases_are_warned_about(
    workspace: Workspace, source: Path, caplog: pytest.LogCaptureFixture
):
    quick(workspace, weights=f"{source}#0")
    assert "would flatter" not in caplog.text
    quick(workspace, weights=f"{source}#1", overwrite=True)
    assert "fold 1 of the same data set may have learnt from the validation cases of fold 0" in (
        caplog.text
    )


def test_what_cannot_be_begun_with_is_said(workspace: Workspace, source: Path, tmp_path: Path):
    for changes, message in (
        ({"weights": str(tmp_path)}, "no model here"),
        ({"weights": f"{source}#7"}, "fold 7 is not in this model"),
        ({"settings": (*QUICK, "weights=abc")}, "--set weights.* -> --weights BUNDLE"),
        ({"settings": (*QUICK, "freeze_encoder=2")}, "freeze_encoder=2 without weights"),
    ):
        with pytest.raises(UsageError, match=message):
            quick(workspace, **changes)
    assert not workspace.models("BALLS").exists()
    weights = source / "fold_0" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(CorruptError, match="changed or damaged"):
        quick(workspace, weights=f"{source}#0")


def test_a_network_of_which_nothing_fits_is_refused(workspace: Workspace, source: Path):
    path = workspace.plan("BALLS")
    plan = load_plan(path)
    configuration = plan.configuration("3d_fullres")
    other = dataclasses.replace(NETWORK, features=(6, 12))
    design = dataclasses.replace(configuration.design("S"), network=other)
    changed = dataclasses.replace(configuration, sizes={"S": design})
    save_plan(path, dataclasses.replace(plan, configurations={"3d_fullres": changed}))
    with pytest.raises(UsageError, match=r"nothing of BALLS 3d_fullres-S fold 0.*--plan-from"):
        quick(workspace, weights=f"{source}#0")


def test_folds_side_by_side_are_told_which_weights(workspace: Workspace, source: Path):
    (order,) = read_orders(workspace, "3d_fullres", "0", weights=f"{source}#1", device="cpu")
    words = words_for(order, "cpu", order.budget, [], [])
    assert words[words.index("--weights") + 1] == f"{source.resolve()}#1"


@pytest.mark.parametrize("kind", KINDS)
def test_models_of_nnunet_are_bundles_like_any_other(tmp_path: Path, kind: str):
    bundle = import_model(Workspace(tmp_path), make_folder(tmp_path / "theirs", kind))
    source = find_weights(f"{bundle}#0")
    plan, configuration = source.info.plan, source.info.configuration
    outputs = plan.labels.channels
    network = build_network(source.info.design.network, len(plan.channels), outputs)
    report = begin_with(source, network, plan, configuration)
    assert report.share == 1
    assert not report.unused
