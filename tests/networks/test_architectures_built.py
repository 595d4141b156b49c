"""Every network by name: shapes, odd sizes, gradients, determinism, what it says without MONAI."""

import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from autoseg.architectures import ARCHITECTURES, make_spec
from autoseg.errors import ResourceError, UsageError
from autoseg.networks import NETWORKS, build_network, encoder_of, keep_fewer_activations
from autoseg.plan import Design
from autoseg.sharing.portable import KINDS, Finest
from tests.networks.specs import DEEP, FLAT

MONAI = ("unetr", "efficientnet_unet")
SMALL = {  # seconds are for laws, not for width
    "unetr": "features=4,hidden=32,heads=4,mlp=48",
    "efficientnet_unet": "encoder=efficientnet-b0,features=8,reduction=2",
    "enet": "features=8",
}
FLAT_ONLY = [name for name, known in ARCHITECTURES.items() if known.only_2d]
BOTH = [name for name in ARCHITECTURES if name not in FLAT_ONLY]
EVERY = [*((name, FLAT) for name in ARCHITECTURES), *((name, DEEP) for name in BOTH)]
AS_ARGUMENTS = pytest.mark.parametrize(
    ("name", "design"), EVERY, ids=[f"{name}-{'2d' if d is FLAT else '3d'}" for name, d in EVERY]
)


def build(name: str, design: Design, inputs: int = 1, outputs: int = 3) -> nn.Module:
    if name in MONAI:
        pytest.importorskip("monai", reason=f"{name} is built from MONAI's parts")
    torch.manual_seed(0)
    return build_network(make_spec(name, SMALL.get(name), design), inputs, outputs)


def image_of(design: Design, channels: int = 1, samples: int = 2) -> Tensor:
    return torch.randn(samples, channels, *design.patch_size, generator=torch.manual_seed(1))


@AS_ARGUMENTS
def test_the_finest_scores_lie_on_the_grid_of_the_image(name: str, design: Design) -> None:
    network, image = build(name, design, inputs=2), image_of(design, channels=2)
    scores = network(image)
    assert tuple(scores[0].shape) == (2, 3, *design.patch_size)
    assert len(network.eval()(image)) == 1
    assert len(scores) == (2 if name.endswith("_unet") and name not in MONAI else 1)


@AS_ARGUMENTS
def test_the_loss_reaches_every_parameter(name: str, design: Design) -> None:
    network = build(name, design).eval()  # in training, whole blocks are dropped now and then
    network(image_of(design))[0].square().mean().backward()
    finest = {n for n, _ in network.named_parameters() if not n.startswith("heads.1.")}
    without = {n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()}
    assert without & finest == set() or name == "residual_unet"
    if name == "residual_unet":  # closed branches: their norms begin with weights of zero
        assert all(p.grad is not None for n, p in network.named_parameters() if n in finest)


@pytest.mark.parametrize("name", ["enet", "lwunet", "efficientnet_unet"])
@pytest.mark.parametrize("size", [(1, 33, 47), (1, 8, 9), (1, 64, 32)])
def test_any_size_goes_through(name: str, size: tuple[int, int, int]) -> None:
    network = build(name, FLAT).eval()
    (scores,) = network(torch.randn(1, 1, *size))
    assert tuple(scores.shape) == (1, 3, *size)
    assert torch.isfinite(scores).all()


@AS_ARGUMENTS
def test_samples_do_not_see_each_other_and_the_same_seed_gives_the_same_network(
    name: str, design: Design
) -> None:
    network, image = build(name, design).eval().requires_grad_(False), image_of(design, samples=3)
    together = network(image)[0]
    alone = torch.cat([network(image[i : i + 1])[0] for i in range(3)])
    assert torch.allclose(together, alone, atol=1e-4 * float(together.abs().max()))
    assert torch.equal(build(name, design).eval()(image)[0], together)


@AS_ARGUMENTS
def test_scores_are_no_probabilities(name: str, design: Design) -> None:
    scores = build(name, design).eval()(5 * image_of(design))[0]
    assert scores.min() < 0 or scores.max() > 1


@AS_ARGUMENTS
def test_an_encoder_has_a_name_and_can_be_held(name: str, design: Design) -> None:
    network = build(name, design)
    held = {id(p) for p in encoder_of(network)}
    assert 0 < len(held) < len(list(network.parameters()))
    assert not any(n.startswith("heads.") for n, p in network.named_parameters() if id(p) in held)


@pytest.mark.parametrize("name", [n for n in ARCHITECTURES if not n.endswith("unet")] + ["lwunet"])
def test_what_cannot_compute_its_stages_again_says_so(name: str) -> None:
    with pytest.raises(UsageError, match=r"checkpointing=true: .* cannot compute its stages again"):
        keep_fewer_activations(build(name, FLAT))


@pytest.mark.parametrize("name", MONAI)
def test_without_monai_the_message_names_the_extra(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "monai", None)
    monkeypatch.setitem(sys.modules, "monai.networks", None)
    with pytest.raises(ResourceError, match=f"{name} needs the package monai") as caught:
        build_network(make_spec(name, None, FLAT), 1, 2)
    assert caught.value.remedy == "pip install 'autoseg[networks]'"


@AS_ARGUMENTS
def test_half_precision_goes_forth_and_back(name: str, design: Design) -> None:
    network, image = build(name, design), image_of(design)
    with torch.autocast("cpu", torch.bfloat16):
        scores = network(image)
    sum(score.float().square().mean() for score in scores).backward()
    assert all(torch.isfinite(score).all() for score in scores)
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


@AS_ARGUMENTS
def test_a_traced_network_scores_the_same(name: str, design: Design) -> None:
    network, image = build(name, design).eval(), image_of(design)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(network, torch.zeros_like(image), check_trace=False)
        expected, found = network(image)[0], traced(image)[0]
    scale = float(expected.abs().max())
    assert torch.allclose(found, expected, atol=1e-4 * scale)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_an_onnx_file_scores_the_same(name: str, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="it reads the file")
    network, image = Finest(build(name, FLAT)).eval().requires_grad_(False), image_of(FLAT)
    KINDS["onnx"][1](network, torch.zeros_like(image), tmp_path / "network.onnx")
    session = runtime.InferenceSession(str(tmp_path / "network.onnx"))
    (found,) = session.run(None, {"image": image[:1].numpy()})
    expected = network(image[:1])
    scale = float(expected.abs().max())
    assert torch.allclose(torch.from_numpy(found), expected, atol=1e-4 * scale)


def count(name: str, options: str | None, inputs: int, outputs: int, design: Design = FLAT) -> int:
    spec = make_spec(name, options, design)
    with torch.device("meta"):
        return sum(p.numel() for p in NETWORKS[name](spec, inputs, outputs).parameters())


def test_enet_is_as_small_as_its_paper_says() -> None:
    # Table 1 of the paper: 0.37 million, of RGB and 12 classes.
    assert count("enet", None, 3, 12) == 363_995


def test_an_efficientnet_b3_has_the_parameters_of_the_paper_without_its_classifier() -> None:
    pytest.importorskip("monai", reason="the encoder is MONAI's")
    spec = make_spec("efficientnet_unet", None, FLAT)
    with torch.device("meta"):
        encoder = NETWORKS["efficientnet_unet"](spec, 3, 2).encoder
    # 12,233,232 published; the last 1x1 convolution, its norm, and 1000 outputs belong to classes.
    classifier = 384 * 1536 + 2 * 1536 + 1536 * 1000 + 1000
    assert sum(p.numel() for p in encoder.parameters()) == 12_233_232 - classifier


def test_unetr_has_the_parameters_of_monais() -> None:
    nets = pytest.importorskip("monai.networks.nets", reason="UNETR is MONAI's")
    cube = Design((96, 96, 96), 2, DEEP.network)
    with torch.device("meta"):
        theirs = nets.UNETR(1, 14, 96)
    unused = sum(p.numel() for n, p in theirs.named_parameters() if "norm_cross_attn" in n)
    expected = sum(p.numel() for p in theirs.parameters()) - unused
    assert count("unetr", None, 1, 14, cube) == expected
