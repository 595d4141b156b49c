"""U-Nets: shapes, the two kinds, initialisation, and what a wrong spec is told."""

import dataclasses

import pytest
import torch
from torch import nn

from autoseg.errors import CorruptError, UsageError
from autoseg.networks import build_network, check_scores, keep_fewer_activations
from autoseg.plan import NetworkSpec

ANISOTROPIC = NetworkSpec(
    name="plain_unet",
    features=(4, 8, 16),
    strides=((1, 1, 1), (1, 2, 2), (2, 2, 2)),
    kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)),
    encoder_blocks=(2, 2, 2),
    decoder_blocks=(2, 2),
)
FLAT = dataclasses.replace(
    ANISOTROPIC, strides=((1, 1, 1), (1, 2, 2), (1, 2, 2)), kernels=((1, 3, 3),) * 3
)
RESIDUAL = dataclasses.replace(
    ANISOTROPIC, name="residual_unet", encoder_blocks=(1, 2, 1), decoder_blocks=(1, 1)
)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("spec", [ANISOTROPIC, RESIDUAL], ids=["plain", "residual"])
def test_scores_come_at_every_decoder_resolution_finest_first(spec: NetworkSpec) -> None:
    network = build_network(spec, 2, 5)
    shapes = [tuple(score.shape) for score in network(torch.rand(3, 2, 8, 16, 12))]
    assert shapes == [(3, 5, 8, 16, 12), (3, 5, 8, 8, 6)]


def test_outside_training_only_the_finest_scores_are_computed_and_they_are_the_same() -> None:
    network, image = build_network(ANISOTROPIC, 1, 3), torch.rand(1, 1, 4, 8, 8)
    finest = network(image)[0]
    (alone,) = network.eval()(image)
    assert torch.equal(alone, finest)


@pytest.mark.parametrize("name", ["plain_unet", "residual_unet"])
def test_a_flat_spec_is_built_from_2d_convolutions_and_keeps_the_axis(name: str) -> None:
    network = build_network(dataclasses.replace(FLAT, name=name), 1, 2)
    volumetric = (nn.Conv3d, nn.ConvTranspose3d)
    assert not any(isinstance(module, volumetric) for module in network.modules())
    assert [tuple(score.shape) for score in network(torch.rand(2, 1, 1, 16, 16))] == [
        (2, 2, 1, 16, 16),
        (2, 2, 1, 8, 8),
    ]


def test_the_plain_network_has_the_convolutions_that_the_spec_counts() -> None:
    # Convolutions have no bias, norms a weight and a bias, transposed ones and heads a bias.
    def block(inputs: int, outputs: int, kernel: int) -> int:
        return inputs * outputs * kernel + 2 * outputs

    encoder = block(1, 4, 9) + block(4, 4, 9) + block(4, 8, 27) + block(8, 8, 27)
    encoder += block(8, 16, 27) + block(16, 16, 27)
    up = (16 * 8 * 8 + 8) + (8 * 4 * 4 + 4)
    decoder = block(16, 8, 27) + block(8, 8, 27) + block(8, 4, 9) + block(4, 4, 9)
    heads = (8 * 3 + 3) + (4 * 3 + 3)
    assert parameters(build_network(ANISOTROPIC, 1, 3)) == encoder + up + decoder + heads


def test_a_residual_block_starts_as_its_shortcut() -> None:
    network = build_network(RESIDUAL, 1, 3)
    block = network.encoder[1][1]  # neither strided nor projected
    x = torch.randn(2, 8, 4, 6, 6)
    expected = nn.functional.leaky_relu(x, 0.01)
    torch.testing.assert_close(block(x), expected)


def test_weights_start_with_the_variance_of_he() -> None:
    wide = dataclasses.replace(ANISOTROPIC, features=(32, 64, 64))
    weight = build_network(wide, 1, 3).encoder[2][1].convolution.weight
    assert weight.std().item() == pytest.approx((2 / (1 + 0.01**2) / (64 * 27)) ** 0.5, rel=0.02)


def test_every_parameter_of_a_supervised_resolution_learns() -> None:
    for spec in (ANISOTROPIC, RESIDUAL, FLAT):
        network = build_network(spec, 1, 3)
        depth = 1 if spec is FLAT else 4
        scores = network(torch.randn(2, 1, depth, 16, 16))
        sum((score**3).sum() for score in scores).backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            # A closed residual branch (weight zero) passes nothing on to what is before it, yet.
            closed = spec is RESIDUAL and (".first." in name or ".second.convolution" in name)
            assert closed or parameter.grad.abs().max() > 0, name


def test_low_precision_scores_are_near_those_of_float32() -> None:
    network, image = build_network(ANISOTROPIC, 1, 3).eval(), torch.randn(2, 1, 8, 16, 16)
    (exact,) = network(image)
    with torch.autocast("cpu", torch.bfloat16):
        (coarse,) = network(image)
    assert coarse.dtype == torch.bfloat16
    assert (coarse.float() - exact).abs().max() < 0.1 * exact.abs().max()


def test_the_same_seed_gives_the_same_network() -> None:
    networks = []
    for _ in range(2):
        torch.manual_seed(7)
        networks.append(build_network(RESIDUAL, 1, 3).state_dict())
    assert all(torch.equal(networks[0][name], networks[1][name]) for name in networks[0])


def test_a_network_of_the_users_own_is_built_by_name_when_trusted() -> None:
    spec = dataclasses.replace(ANISOTROPIC, name=f"{__name__}:one_layer")
    assert isinstance(build_network(spec, 2, 3), nn.Conv3d)
    with pytest.raises(CorruptError, match="--trust"):
        build_network(spec, 2, 3, trust=False)


def one_layer(spec: NetworkSpec, in_channels: int, out_channels: int) -> nn.Module:
    return nn.Conv3d(in_channels, out_channels, 1)


def test_a_misspelled_network_is_suggested() -> None:
    with pytest.raises(UsageError, match="did you mean 'plain_unet'"):
        build_network(dataclasses.replace(ANISOTROPIC, name="plane_unet"), 1, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strides": ((2, 2, 2), (2, 2, 2), (2, 2, 2))}, r"strides\[0\]"),
        ({"kernels": ((2, 3, 3), (3, 3, 3), (3, 3, 3))}, "odd"),
        ({"features": (4,)}, "two stages"),
    ],
)
def test_a_spec_that_cannot_be_built_says_why(change: dict, message: str) -> None:
    with pytest.raises(CorruptError, match=message):
        build_network(dataclasses.replace(ANISOTROPIC, **change), 1, 2)


def kept_bytes(network: nn.Module, image: torch.Tensor) -> tuple[int, list[torch.Tensor]]:
    """Bytes that wait for the backward pass (weights left out), and the gradients it gives."""
    weights = {parameter.data_ptr() for parameter in network.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    network.zero_grad()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        total = sum(score.square().mean() for score in network(image))
    total.backward()
    return sum(kept.values()), [p.grad.clone() for p in network.parameters() if p.grad is not None]


@pytest.mark.parametrize("spec", [ANISOTROPIC, RESIDUAL, FLAT], ids=["plain", "residual", "flat"])
def test_checkpointing_gives_the_same_gradients_from_less_memory(spec: NetworkSpec) -> None:
    torch.manual_seed(0)
    depth = 1 if spec is FLAT else 8
    network, image = build_network(spec, 1, 3), torch.rand(2, 1, depth, 32, 32)
    plain, expected = kept_bytes(network, image)
    keep_fewer_activations(network)
    fewer, gradients = kept_bytes(network, image)
    assert fewer < 0.6 * plain
    assert len(gradients) == len(list(network.parameters()))
    for gradient, wanted in zip(gradients, expected, strict=True):
        assert torch.equal(gradient, wanted)


def test_a_network_that_cannot_recompute_its_stages_says_so() -> None:
    with pytest.raises(UsageError, match="checkpointing=true: Linear cannot compute its stages"):
        keep_fewer_activations(nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (torch.zeros(1, 3, 4, 4, 4), "returned a Tensor"),
        ([torch.zeros(1, 2, 4, 4, 4)], r"returned shape \(1, 2, 4, 4, 4\)"),
        ([], "returned an empty list"),
    ],
)
def test_scores_of_another_kind_than_agreed_are_refused_by_the_networks_name(scores, words):
    class Own(nn.Module):
        def forward(self, image):
            return scores

    network, image = Own(), torch.zeros(1, 1, 4, 4, 4)
    expected = r".*expected a list whose first are scores of shape \(1, 3, 4, 4, 4\)"
    with pytest.raises(UsageError, match=f"network 'my:own' {words}{expected}"):
        check_scores(network, "my:own", image, 3)
    assert network.training


def test_scores_as_agreed_pass_and_coarser_ones_may_follow():
    class Own(nn.Module):
        def forward(self, image):
            return [torch.zeros(1, 3, 4, 4, 4), torch.zeros(1, 3, 2, 2, 2)]

    check_scores(Own(), "my:own", torch.zeros(1, 1, 4, 4, 4), 3)
