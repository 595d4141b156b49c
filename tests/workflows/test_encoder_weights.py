"""`--weights FILE` and `--weights imagenet`: what is found, trained with, and said."""

from __future__ import annotations

import re
import urllib.error
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from autoseg.architectures import make_spec
from autoseg.bundle_reader import load_bundle
from autoseg.errors import CorruptError, ResourceError, UsageError
from autoseg.files import read_json
from autoseg.networks import build_network
from autoseg.workflows import train_fold, train_report
from autoseg.workflows.encoder_weights import address_of, find_encoder_weights
from autoseg.workflows.train import train
from autoseg.workspace import Workspace
from tests.networks.specs import FLAT
from tests.workflows.prepared import make_flat_plan, make_workspace

pytest.importorskip("monai", reason="the encoder is MONAI's")
SPEC = make_spec("efficientnet_unet", "encoder=efficientnet-b0,features=4", FLAT)
SETTINGS = (
    "steps_per_epoch=2", "precision=float32", "network=efficientnet_unet",
    "network_options=encoder=efficientnet-b0,features=4", "freeze_encoder=1",
)  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    for module in (train_fold, train_report):
        monkeypatch.setattr(module, "draw", lambda history, path: None)
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    return make_workspace(tmp_path / "flat", plan=make_flat_plan())


def encoder_state() -> dict[str, torch.Tensor]:
    encoder: Any = build_network(SPEC, 3, 2).encoder
    return dict(encoder.state_dict())


def test_a_training_begins_with_the_file_and_its_encoder_is_held(
    workspace: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "autoseg")
    path, state = tmp_path / "b0 of somebody.pth", encoder_state()
    torch.save({"state_dict": state}, path)
    train(
        workspace, "2d", "0", budget="1epochs", settings=SETTINGS, weights=str(path), device="cpu"
    )
    bundle = workspace.bundle("BALLS", "2d", "S-efficientnet_unet")
    name = "_blocks.0.0._project_conv.weight"
    assert torch.equal(load_bundle(bundle).weights["0"][f"encoder.{name}"], state[name])
    assert "weights: b0 of somebody.pth (sha256" in caplog.text
    mean = "encoder._conv_stem.weight: the mean over the source's 3 channels, times 3/1"
    assert f"weights: adapted: {mean}" in caplog.text
    kept = read_json(workspace.run("BALLS", "2d", "S-efficientnet_unet", "0") / "result.json")
    assert kept["weights"]["file"] == "b0 of somebody.pth"
    assert read_json(bundle / "train.json")["weights"] == kept["weights"]["sha256"]
    assert not any(str(tmp_path) in text.read_text() for text in bundle.rglob("*.json"))


def test_files_of_tensors_are_told_from_bundles(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "w.safetensors")
    torch.save({"a": torch.ones(2)}, tmp_path / "w.pth")
    for name in ("w.safetensors", "w.pth"):
        found = find_encoder_weights(str(tmp_path / name), SPEC)
        assert found is not None
        assert (found.name, list(found.state)) == (name, ["a"])
    assert find_encoder_weights(str(tmp_path), SPEC) is None
    assert find_encoder_weights("models/HIPPO/2d-M/bundle#0", SPEC) is None


def test_files_that_are_something_else_are_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"epoch": 3, "name": "x"}, tmp_path / "numbers.pth")
    torch.save(build_network(SPEC, 3, 2), tmp_path / "module.pth")
    (tmp_path / "empty.pth").write_bytes(b"")
    for name, kind, said in [
        ("missing.pth", UsageError, "there is no such file"),
        ("list.pth", UsageError, "holds no table of tensors"),
        ("numbers.pth", UsageError, "holds no table of tensors"),
        ("module.pth", CorruptError, "holds an object of the kind autoseg"),
        ("empty.pth", CorruptError, "cannot be read"),
    ]:
        with pytest.raises(kind, match=said):
            find_encoder_weights(str(tmp_path / name), SPEC)


def test_a_file_for_another_encoder_names_itself_and_the_first_fault(
    workspace: Workspace, tmp_path: Path
) -> None:
    save_file({"conv1.weight": torch.ones(64, 3, 7, 7)}, tmp_path / "resnet.safetensors")
    path = str(tmp_path / "resnet.safetensors")
    with pytest.raises(UsageError, match=r"not the weights of this encoder: there is no") as caught:
        train(workspace, "2d", "0", budget="1epochs", settings=SETTINGS, weights=path, device="cpu")
    assert caught.value.place == "resnet.safetensors"


def test_imagenet_is_read_by_monais_loader_from_what_was_fetched_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = encoder_state()
    published = {re.sub(r"(.+)\.\d+(\.\d+\..+)", r"\1\2", name): t for name, t in state.items()}
    (tmp_path / "checkpoints").mkdir()
    torch.save(published, tmp_path / "checkpoints" / Path(address_of("efficientnet-b0")).name)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    found = find_encoder_weights("imagenet", SPEC)
    assert found is not None
    assert all(torch.equal(found.state[name], tensor) for name, tensor in state.items())
    assert found.words == "imagenet"
    assert found.describe() == f"efficientnet-b0 of ImageNet (sha256 {found.sha256[:12]})"


def test_without_a_network_the_message_names_the_file_to_fetch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unreachable(*arguments: object, **named: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: "/nonexistent/downloads")
    monkeypatch.setattr("os.makedirs", lambda *arguments, **named: None)
    with pytest.raises(ResourceError, match=r"efficientnet-b0 cannot be fetched: .*no route") as e:
        find_encoder_weights("imagenet", SPEC)
    assert f"--weights FILE ({address_of('efficientnet-b0')})" in e.value.remedy
    assert address_of("efficientnet-b0").endswith(".pth")


def test_imagenet_is_for_efficientnets() -> None:
    with pytest.raises(UsageError, match="plain_unet has no encoder that was trained on it"):
        find_encoder_weights("imagenet", FLAT.network)
