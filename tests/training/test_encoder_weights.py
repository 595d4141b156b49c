"""Weights of another program for an encoder: names, channels, and files that are something else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from autoseg.architectures import make_spec
from autoseg.errors import CorruptError, UsageError
from autoseg.networks import build_network
from autoseg.training.encoder_weights import load_encoder, read_safetensors
from tests.networks.specs import FLAT

OPTIONS = "encoder=efficientnet-b0,features=4"


def build(channels: int) -> nn.Module:
    pytest.importorskip("monai", reason="the encoder is MONAI's")
    return build_network(make_spec("efficientnet_unet", OPTIONS, FLAT), channels, 2).eval()


def published(network: nn.Module) -> dict[str, Tensor]:
    """As EfficientNet-PyTorch names them: blocks in one row, a classifier, no counters."""
    state = {
        re.sub(r"(.+)\.\d+(\.\d+\..+)", r"\1\2", name): tensor.clone()
        for name, tensor in network.encoder.state_dict().items()  # type: ignore[union-attr]
        if not name.endswith("num_batches_tracked")
    }
    return state | {"_fc.weight": torch.zeros(1000, 1280), "_fc.bias": torch.zeros(1000)}


def features(network: nn.Module, image: Tensor) -> Tensor:
    first: Tensor = network.encoder(image)[0]  # type: ignore[operator]
    return first


def test_the_whole_encoder_is_loaded_whatever_the_names_stand_under() -> None:
    source, image = build(3), torch.randn(1, 3, 64, 64)
    for part in ("", "encoder."):
        network = build(3)
        report = load_encoder(network, {part + n: t for n, t in published(source).items()})
        assert torch.equal(features(network, image), features(source, image))
        assert report.adapted == {}
        assert all(name.startswith(("decoder.", "heads.")) for name in report.new)
        assert len(report.loaded) + len(report.new) == len(network.state_dict())
        assert 0.5 < report.share < 1


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_an_image_alike_in_all_channels_is_seen_as_the_source_saw_it(channels: int) -> None:
    source, network = build(3).requires_grad_(False), build(channels).requires_grad_(False)
    report = load_encoder(network, published(source))
    image = torch.randn(1, 1, 64, 64)
    ours = features(network, image.expand(1, channels, 64, 64))
    theirs = features(source, image.expand(1, 3, 64, 64))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * float(theirs.abs().max()))
    told = f"the mean over the source's 3 channels, times 3/{channels}"
    assert report.adapted == {"encoder._conv_stem.weight": told}
    assert "encoder._conv_stem.weight" not in report.loaded


def test_what_is_not_the_encoder_is_refused_whole() -> None:
    network = build(1)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    other = published(build(3))
    other["_conv_stem.weight"] = other["_conv_stem.weight"][:8]
    for state, said in [
        ({"layer1.weight": torch.zeros(3)}, r"there is no '_conv_stem\.weight', and \d+ more"),
        (other, r"'_conv_stem\.weight' is \(8, 3, 3, 3\) instead of \(32, 1, 3, 3\)"),
    ]:
        with pytest.raises(UsageError, match=said):
            load_encoder(network, state)
    assert all(torch.equal(tensor, before[n]) for n, tensor in network.state_dict().items())


def test_safetensors_are_read_and_other_files_are_not(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "good.safetensors")
    assert torch.equal(read_safetensors(tmp_path / "good.safetensors")["a"], torch.ones(2))
    (tmp_path / "bad.safetensors").write_text("not at all")
    with pytest.raises(CorruptError, match="is not safetensors"):
        read_safetensors(tmp_path / "bad.safetensors")
