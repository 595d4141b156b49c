"""The normalisation against torch's own, forward and backward, in both layouts."""

import pytest
import torch
from torch.nn import functional

from autoseg.networks.blocks import EPSILON, SLOPE, ConvNorm, Norm


def reference(x: torch.Tensor, norm: Norm) -> torch.Tensor:
    y = functional.instance_norm(x, weight=norm.weight, bias=norm.bias, eps=EPSILON)
    return functional.leaky_relu(y, SLOPE) if norm.activate else y


@pytest.mark.parametrize("activate", [True, False])
@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((3, 5, 4, 6, 7), torch.contiguous_format),
        ((3, 5, 4, 6, 7), torch.channels_last_3d),
        ((2, 4, 6, 7), torch.channels_last),
        ((1, 1, 6, 7), torch.contiguous_format),
    ],
)
def test_norm_and_its_gradients_are_those_of_instance_norm_and_leaky_relu(
    shape: tuple[int, ...], layout: torch.memory_format, activate: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    norm = Norm(shape[1], activate)
    torch.nn.init.uniform_(norm.weight, 0.5, 1.5, generator=generator)
    torch.nn.init.uniform_(norm.bias, -1, 1, generator=generator)
    x = (torch.randn(shape, generator=generator) * 3 + 5).contiguous(memory_format=layout)
    x.requires_grad_()
    weight = torch.randn(shape, generator=generator)
    inputs = (x, norm.weight, norm.bias)
    found, expected = norm(x), reference(x, norm)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert found.is_contiguous(memory_format=layout)
    gradients = torch.autograd.grad((found * weight).sum(), inputs)
    for ours, theirs in zip(
        gradients, torch.autograd.grad((expected * weight).sum(), inputs), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_norm_computes_its_statistics_in_float32_under_low_precision() -> None:
    norm = Norm(4)
    x = torch.randn(2, 4, 8, 16, 16) + 20
    low = x.bfloat16()
    found = norm(low)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), reference(low.float(), norm), rtol=0.01, atol=0.01)


def test_a_constant_channel_is_normalised_to_its_bias() -> None:
    norm = Norm(2)
    torch.nn.init.constant_(norm.bias, 0.5)
    constant, bias = torch.full((1, 2, 4, 4, 4), 7.0), torch.full((1, 2, 4, 4, 4), 0.5)
    torch.testing.assert_close(norm(constant), bias, rtol=0, atol=1e-3)


def test_a_sample_does_not_depend_on_its_neighbours_in_the_batch() -> None:
    layer, x = ConvNorm(2, 3, (3, 3, 3), (2, 2, 2)), torch.randn(4, 2, 8, 8, 8)
    torch.testing.assert_close(layer(x)[2:3], layer(x[2:3]))


def test_an_exported_layer_gives_the_same_numbers() -> None:
    layer, x = ConvNorm(2, 3, (3, 3), (1, 1)).eval(), torch.randn(1, 2, 8, 8)
    exported = torch.export.export(layer, (x,)).module()
    torch.testing.assert_close(exported(x), layer(x))
