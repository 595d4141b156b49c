"""Networks made ready to predict compute what they computed before; threads stay as they were."""

from __future__ import annotations

import copy

import pytest
import torch

from autoseg.inference.runtime import Load, choose_load, make_executor, ready, score
from autoseg.networks import build_network
from autoseg.networks.blocks import Norm
from autoseg.plan import Design, NetworkSpec

CPU = torch.device("cpu")
ONE, THREE = (1, 1, 1), (3, 3, 3)
SPECS = {
    "plain": NetworkSpec("plain_unet", (4, 8), (ONE, (2, 2, 2)), (THREE,) * 2, (2, 2), (2,)),
    "residual": NetworkSpec("residual_unet", (4, 8), (ONE, (2, 2, 2)), (THREE,) * 2, (1, 2), (1,)),
    "flat": NetworkSpec("plain_unet", (4, 8), (ONE, (1, 2, 2)), ((1, 3, 3),) * 2, (2, 2), (2,)),
}


@pytest.mark.parametrize("kind", SPECS)
def test_a_ready_network_gives_the_same_scores(kind):
    network = build_network(SPECS[kind], 2, 3)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    tiles = torch.randn(2, 2, 1 if kind == "flat" else 8, 16, 12)
    with torch.no_grad():
        expected = network.eval()(tiles)[0]
    found = score(ready(network, CPU), tiles, CPU, torch.float32)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_values_far_from_zero_keep_their_variance():
    """A mean of 300 deviations, as of a scan far from zero, costs no accuracy."""
    torch.manual_seed(1)
    network = build_network(SPECS["plain"], 1, 3).eval()
    tiles = 300 + torch.randn(2, 1, 8, 16, 12)
    exact = copy.deepcopy(network).double()
    for module in exact.modules():
        if isinstance(module, Norm):
            module.exact = True
    with torch.no_grad():
        expected = exact(tiles.double())[0].float()
    found = score(ready(network, CPU), tiles, CPU, torch.float32)
    torch.testing.assert_close(found, expected, rtol=0, atol=8e-6 * float(expected.abs().max()))


def test_the_network_in_training_is_left_alone():
    network = build_network(SPECS["plain"], 1, 2).train()
    ready(network, CPU)
    assert network.training
    assert all(p.requires_grad and p.is_contiguous() for p in network.parameters())


def test_small_tiles_go_in_pairs_and_large_ones_alone_stay_within_memory():
    design = Design((40, 56, 40), 2, SPECS["plain"])
    load = choose_load((40, 56, 40), design, CPU, 3)
    assert load.batch == 2
    assert load.workers * load.threads <= torch.get_num_threads()
    wide = NetworkSpec("plain_unet", (64, 8), (ONE, (2, 2, 2)), (THREE,) * 2, (2, 2), (2,))
    large = choose_load((192, 192, 192), Design((192, 192, 192), 2, wide), CPU, 3)
    assert (large.batch, large.workers) == (2, 1)


def test_helpers_compute_with_their_own_threads_and_the_program_keeps_its_own():
    before = torch.get_num_threads()
    with make_executor(Load(2, 2, 1)) as pool:
        assert torch.get_num_threads() == before
        assert set(pool.map(lambda _: torch.get_num_threads(), range(8))) == {1}
    assert make_executor(Load(2, 1, 2)) is None
