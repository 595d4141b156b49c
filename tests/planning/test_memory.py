"""Memory by arithmetic, against sums done by hand."""

from dataclasses import replace

import pytest

from autoseg.plan import NetworkSpec
from autoseg.planning.memory import conv_output_elements, weight_count

PLAIN = NetworkSpec(
    "plain_unet", (2, 3), ((1, 1, 1), (2, 2, 2)), ((3, 3, 3), (3, 3, 3)), (2, 2), (2,)
)
RESIDUAL = replace(PLAIN, name="residual_unet", encoder_blocks=(1, 2), decoder_blocks=(1,))


def test_a_plain_network_puts_out_what_a_hand_counts():
    # 4x4x4: two convolutions of 2 features; 2x2x2: two of 3; up: transposed and two of 2; head of 5
    assert conv_output_elements(PLAIN, (4, 4, 4), 5) == 64 * 4 + 8 * 6 + 64 * 6 + 64 * 5


def test_a_residual_network_counts_stem_and_skips():
    # stem 2; stage 0: two convolutions; stage 1: two blocks of two and one skip; up: 1 + 1; head
    expected = 64 * 2 + 64 * 4 + 8 * 3 * 5 + 64 * 2 * 2 + 64 * 5
    assert conv_output_elements(RESIDUAL, (4, 4, 4), 5) == expected


def test_nnunet_writes_its_own_example_beside_its_reference():
    # its planner's comment: 128^3, residual, six stages, one channel in, three out
    network = NetworkSpec(
        "residual_unet",
        (32, 64, 128, 256, 320, 320),
        ((1, 1, 1), *((2, 2, 2),) * 5),
        ((3, 3, 3),) * 6,
        (1, 3, 4, 6, 6, 6),
        (1,) * 5,
    )
    assert conv_output_elements(network, (128, 128, 128), 3) == 558_319_104 - _heads()
    assert 100e6 < weight_count(network, 1, 3) < 103e6  # "102 M" in the literature


def _heads() -> int:
    # that example counts the heads for deep supervision too: all decoder stages but the finest
    return sum(3 * edge**3 for edge in (64, 32, 16, 8))


def test_weights_of_a_plain_network_by_hand():
    conv = 27 * 1 * 2 + 2 * 2 + 27 * 2 * 2 + 2 * 2 + 27 * 2 * 3 + 2 * 3 + 27 * 3 * 3 + 2 * 3
    up = 3 * 2 * 8 + 2 + 27 * 4 * 2 + 2 * 2 + 27 * 2 * 2 + 2 * 2
    assert weight_count(PLAIN, 1, 5) == conv + up + 2 * 5 + 5


@pytest.mark.parametrize("network", [PLAIN, RESIDUAL])
def test_weights_are_those_of_the_network_that_is_built(network):
    built = pytest.importorskip("autoseg.networks").build_network(network, 2, 3)
    count = sum(parameter.numel() for parameter in built.parameters())
    assert weight_count(network, 2, 3) == pytest.approx(count, rel=0.02)
