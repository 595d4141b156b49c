"""Law: the mirrored network of the mirror image is the mirror image of the scores."""

import pytest
import torch

from autoseg.networks import build_network
from autoseg.plan import NetworkSpec
from autoseg.sharing.mirrored_network import mirror_network

KERNELS = ((1, 3, 3), (3, 3, 3), (3, 5, 3))
STRIDES = ((1, 1, 1), (1, 2, 2), (2, 2, 4))


def make_network(name, flat):
    triples = [tuple((1, *t[1:]) for t in part) if flat else part for part in (STRIDES, KERNELS)]
    spec = NetworkSpec(name, (3, 4, 5), *triples, (2, 1, 2), (1, 2))
    torch.manual_seed(3)
    network = build_network(spec, 2, 3)
    for parameter in network.parameters():  # residual branches start at zero: nothing to see
        torch.nn.init.normal_(parameter, std=0.5)
    return spec, network.eval()


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("name", ["plain_unet", "residual_unet"])
@pytest.mark.parametrize("axes", [(2,), (1, 2), (0, 1, 2)])
def test_mirroring_the_image_or_the_network_is_the_same(name, flat, axes):
    spec, network = make_network(name, flat)
    mirrored_spec, state = mirror_network(spec, network.state_dict(), axes)
    mirrored = build_network(mirrored_spec, 2, 3).eval()
    mirrored.load_state_dict(state)
    image = torch.randn(1, 2, 1 if flat else 4, 16, 16)
    dims = [axis + 2 for axis in axes]
    with torch.no_grad():
        expected = network(image)[0]
        found = mirrored(image.flip(dims))[0].flip(dims)
        careless = network(image.flip(dims))[0].flip(dims)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert (careless - expected).abs().max() > 0.1


def test_kernels_grow_only_where_an_axis_is_mirrored_and_strided():
    spec, network = make_network("plain_unet", False)
    mirrored, _ = mirror_network(spec, network.state_dict(), (1, 2))
    assert mirrored.kernels == ((1, 3, 3), (3, 5, 5), (3, 7, 9))


def test_mirroring_twice_is_the_same_function_and_no_axes_the_same_network():
    spec, network = make_network("residual_unet", False)
    once = mirror_network(spec, network.state_dict(), (2,))
    twice_spec, twice = mirror_network(*once, (2,))
    again = build_network(twice_spec, 2, 3).eval()
    again.load_state_dict(twice)
    image = torch.randn(1, 2, 4, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(again(image)[0], network(image)[0], atol=1e-4, rtol=1e-4)
    same_spec, same = mirror_network(spec, network.state_dict(), ())
    assert same_spec == spec
    assert all(torch.equal(same[n], t) for n, t in network.state_dict().items())
