"""Networks by name: `(NetworkSpec, in_channels, out_channels) -> nn.Module`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from autoseg.errors import UsageError
from autoseg.networks.efficientnet import efficientnet_unet
from autoseg.networks.enet import enet
from autoseg.networks.library import monai_networks
from autoseg.networks.lwunet import lwunet
from autoseg.networks.unet import plain_unet, residual_unet, scse_unet
from autoseg.networks.unetr import unetr
from autoseg.plan import NetworkSpec
from autoseg.registry import resolve

NETWORKS: dict[str, Callable[[NetworkSpec, int, int], nn.Module]] = {
    "plain_unet": plain_unet,
    "residual_unet": residual_unet,
    "scse_unet": scse_unet,
    "enet": enet,
    "lwunet": lwunet,
    "unetr": unetr,
    "efficientnet_unet": efficientnet_unet,
}


OF_A_LIBRARY = ("unetr", "efficientnet_unet")


def build_network(
    spec: NetworkSpec, in_channels: int, out_channels: int, trust: bool = True
) -> nn.Module:
    """Return the network of `spec`, freshly initialised from torch's global generator.

    It maps (B, in_channels, *P) to a list of scores (B, out_channels, *P), (B, out_channels, *P /
    2) and so on, finest first; outside training, and where coarser ones are not computed, only the
    finest. A 2-D network takes P = (1, Y, X).
    """
    return resolve("network", spec.name, NETWORKS, trust)(spec, in_channels, out_channels)


@torch.no_grad()
def check_scores(network: nn.Module, name: str, image: Tensor, channels: int) -> None:
    """Raise UsageError when a network makes something else of `image` (B, C, *P) than it must."""
    training = network.training
    scores = network.eval()(image)
    network.train(training)
    expected = f"a list whose first are scores of shape {(len(image), channels, *image.shape[2:])}"
    if not isinstance(scores, list | tuple) or not all(isinstance(s, Tensor) for s in scores):
        fact = f"network '{name}' returned a {type(scores).__name__}"
        raise UsageError(fact, expected=expected)
    found = [tuple(score.shape) for score in scores]
    if found[:1] != [(len(image), channels, *image.shape[2:])]:
        fact = f"network '{name}' returned {f'shape {found[0]}' if found else 'an empty list'}"
        raise UsageError(fact, expected=expected)


def check_available(spec: NetworkSpec) -> None:
    """Raise ResourceError where a network needs a library that is not installed."""
    if spec.name in OF_A_LIBRARY:
        monai_networks(spec.name)


def keep_fewer_activations(network: Any) -> None:
    """Switch activation checkpointing on; raise UsageError where the network has none."""
    if not hasattr(network, "checkpointing"):
        raise UsageError(
            f"checkpointing=true: {type(network).__name__} cannot compute its stages again",
            remedy="leave it out, or give the network an attribute 'checkpointing' that it obeys",
        )
    network.checkpointing = True


def encoder_of(network: Any) -> list[nn.Parameter]:
    """Return the parameters of the encoder; raise UsageError where the network names none."""
    parts = [getattr(network, name, None) for name in ("stem", "encoder")]
    if not isinstance(parts[1], nn.Module):
        raise UsageError(
            f"freeze_encoder: {type(network).__name__} has no part called 'encoder'",
            remedy="leave it out",
        )
    return [p for part in parts if isinstance(part, nn.Module) for p in part.parameters()]
