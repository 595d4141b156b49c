"""ENet: values go back to where maxima were, and the image itself goes with its first features."""

import torch
from torch.nn import functional

from autoseg.architectures import make_spec
from autoseg.network_options import EnetOptions
from autoseg.networks import build_network
from autoseg.networks.enet import Stem, spread
from tests.networks.specs import FLAT


def test_values_are_spread_to_where_the_maxima_were_as_torch_does() -> None:
    image = torch.randn(2, 3, 6, 10)
    values, maxima = functional.max_pool2d(image, 2, return_indices=True)
    found = spread(values, maxima)
    assert torch.equal(found, functional.max_unpool2d(values, maxima, 2))
    assert torch.equal(found != 0, (found == image) & (found != 0))
    assert int((found != 0).sum()) == values.numel()


def test_the_pooled_image_is_among_the_first_features() -> None:
    options = EnetOptions(features=8)
    for channels, kept in ((1, 1), (3, 3), (20, 4)):
        stem = Stem(channels, 8, options)
        stem.norm = torch.nn.Sequential()
        image = torch.randn(1, channels, 4, 4)
        pooled = functional.max_pool2d(image[:, :kept], 2)
        assert torch.equal(stem(image)[:, -kept:], pooled)


def test_more_channels_than_features_are_seen() -> None:
    network = build_network(make_spec("enet", "features=8", FLAT), 20, 2).eval()
    image = torch.randn(1, 20, 1, 16, 16, requires_grad=True)
    network(image)[0].sum().backward()
    assert image.grad is not None
    assert (image.grad.abs().amax((0, 2, 3, 4)) > 0).all()


def test_dropout_is_weaker_in_the_first_stage() -> None:
    network = build_network(make_spec("enet", "dropout=0.2", FLAT), 1, 2)
    rates = [m.p for m in network.modules() if isinstance(m, torch.nn.Dropout2d)]
    assert rates[:5] == [0.02] * 5
    assert set(rates[5:]) == {0.2}
    assert len(rates) == 5 + 17 + 5
