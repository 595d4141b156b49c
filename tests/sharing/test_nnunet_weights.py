"""The converted network is the same function, tensor for tensor."""

import pytest
import torch

from autoseg.errors import DataError
from autoseg.networks import build_network
from autoseg.sharing.nnunet_network import read_network
from autoseg.sharing.nnunet_weights import weights_from_nnunet, weights_to_nnunet
from tests.sharing.nnunet_folders import KINDS, forward, make_row, make_state


def converted(state, kind, axes):
    spec = read_network(make_row(kind, axes), "plans.json")
    return spec, weights_from_nnunet(state, spec, 1, 3, "c.pth")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("axes", [2, 3])
def test_the_converted_network_computes_the_same_scores(kind, axes):
    state = make_state(kind, axes)
    spec, weights = converted(state, kind, axes)
    network = build_network(spec, 1, 3).eval()
    network.load_state_dict(weights)
    x = torch.randn(2, 1, *(8, 16, 16)[3 - axes :])
    with torch.no_grad():
        ours = network(x if axes == 3 else x.unsqueeze(2))[0]
        theirs = forward(state, x, kind)
    torch.testing.assert_close(ours if axes == 3 else ours.squeeze(2), theirs, atol=1e-4, rtol=0)
    assert theirs.std() > 0.1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("axes", [2, 3])
def test_there_and_back_every_tensor_has_its_name_again(kind, axes):
    state = make_state(kind, axes)
    spec, weights = converted(state, kind, axes)
    back = weights_to_nnunet(weights, spec)
    assert set(back) == set(state)
    for name, tensor in state.items():
        assert back[name].shape == tensor.shape
        if not name.endswith("bias") or ".norm" in name or "all_modules.1" in name:
            assert torch.equal(back[name], tensor)
    # A bias before a normalisation does nothing: it comes back as zero.
    bias = "decoder.stages.0.convs.0.conv.bias"
    assert back[bias].abs().max() == 0 < state[bias].abs().max()


def test_names_of_a_distributed_or_compiled_network_are_understood():
    state = make_state()
    _, weights = converted(state, "plain", 3)
    _, other = converted({f"module._orig_mod.{n}": t for n, t in state.items()}, "plain", 3)
    assert all(torch.equal(weights[name], other[name]) for name in weights)


def broken(change):
    state = make_state()
    change(state)
    return state


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s.pop("decoder.transpconvs.0.weight"),
            r"c.pth: misses the tensor 'decoder.transpconvs.0.weight', expected \(6, 6, 1, 2, 2\)",
        ),
        (
            lambda s: s.update({"decoder.seg_layers.1.weight": torch.ones(2, 4, 1, 1, 1)}),
            r"'decoder.seg_layers.1.weight' has shape \(2, 4, 1, 1, 1\), expected \(3, 4, 1, 1, 1",
        ),
        (
            lambda s: s.update({"encoder.stages.0.0.convs.0.norm.running_mean": torch.ones(4)}),
            "holds 'encoder.stages.0.0.convs.0.norm.running_mean', expected nothing but",
        ),
        (
            lambda s: s["decoder.seg_layers.0.bias"].fill_(float("nan")),
            "'decoder.seg_layers.0.bias' holds values that are not finite numbers",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(change, message):
    with pytest.raises(DataError, match=message):
        converted(broken(change), "plain", 3)


def test_a_tensor_that_claims_a_huge_shape_is_refused_before_it_is_copied():
    def swell(state):
        name = "decoder.seg_layers.0.bias"
        state[name] = torch.zeros(1).expand(10**12)

    with pytest.raises(DataError, match="has shape"):
        converted(broken(swell), "plain", 3)
