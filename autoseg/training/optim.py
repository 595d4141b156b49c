"""Optimisers by name, and averaged weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from autoseg.config import TrainConfig
from autoseg.registry import resolve
from autoseg.training.adan import Adan
from autoseg.training.muon import Muon

# The rates of the recipe, where a configuration names none.
MUON_RATE, ADAMW_RATE, SGD_RATE = 3e-3, 3e-3, 1e-2


def sgd(parameters: Iterable[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """Return SGD with Nesterov momentum, all parameters decayed alike (nnU-Net)."""
    optimizer = torch.optim.SGD(
        list(parameters),
        lr=config.learning_rate or SGD_RATE,
        momentum=config.momentum,
        nesterov=config.momentum > 0,
        weight_decay=config.weight_decay or 0.0,
        fused=True,
    )
    # Zeros now: a first step that is skipped for a NaN would leave the fused buffers uninitialised.
    for parameter in optimizer.param_groups[0]["params"] if config.momentum else []:
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def adamw(
    parameters: Iterable[nn.Parameter], config: TrainConfig, amsgrad: bool = False
) -> torch.optim.Optimizer:
    """Return AdamW; biases and norms (one axis) are not decayed."""
    groups = _decayed_and_not(parameters, config)
    rate = config.learning_rate or ADAMW_RATE
    return torch.optim.AdamW(groups, lr=rate, betas=config.betas, amsgrad=amsgrad, fused=True)


def adam(parameters: Iterable[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """Return Adam, whose weight decay is a part of the gradient, for all parameters alike."""
    return torch.optim.Adam(
        list(parameters),
        lr=config.learning_rate or ADAMW_RATE,
        betas=config.betas,
        weight_decay=config.weight_decay or 0.0,
        fused=True,
    )


def radam(parameters: Iterable[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """Return RAdam (Liu 2020): the first steps, which know little of the variance, are smaller."""
    groups, rate = _decayed_and_not(parameters, config), config.learning_rate or ADAMW_RATE
    return torch.optim.RAdam(groups, lr=rate, betas=config.betas, decoupled_weight_decay=True)


def nadam(parameters: Iterable[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """Return NAdam (Dozat 2016): Adam with Nesterov momentum."""
    groups, rate = _decayed_and_not(parameters, config), config.learning_rate or ADAMW_RATE
    return torch.optim.NAdam(groups, lr=rate, betas=config.betas, decoupled_weight_decay=True)


def adan(parameters: Iterable[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """Return Adan, with its paper's momenta; biases and norms are not decayed."""
    return Adan(_decayed_and_not(parameters, config), config.learning_rate or ADAMW_RATE)


def _decayed_and_not(
    parameters: Iterable[nn.Parameter], config: TrainConfig
) -> list[dict[str, Any]]:
    everything = list(parameters)
    return [
        {
            "params": [p for p in everything if p.ndim > 1],
            "weight_decay": config.weight_decay or 0.0,
        },
        {"params": [p for p in everything if p.ndim <= 1], "weight_decay": 0.0},
    ]


def muon(parameters: Iterable[nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """Return Muon for the inner convolutions, with AdamW for everything else."""
    return Muon(parameters, config.learning_rate or MUON_RATE, config.weight_decay or 0.0)


OPTIMIZERS: Mapping[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": sgd,
    "adam": adam,
    "adamw": adamw,
    "amsgrad": partial(adamw, amsgrad=True),
    "radam": radam,
    "nadam": nadam,
    "adan": adan,
    "muon": muon,
}


def make_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimiser that `config` names, over all parameters of `network`."""
    make = resolve("optimizer", config.optimizer or "muon", OPTIMIZERS)
    return make((p for p in network.parameters() if p.requires_grad), config)


class Average:
    """Exponential average of the weights; a young one follows fast, and soon forgets the start."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.weights = {name: p.detach().clone() for name, p in network.named_parameters()}

    def update(self, network: nn.Module) -> None:
        """Move the average towards the present weights of `network`."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        present = [p.detach() for _, p in network.named_parameters()]
        torch._foreach_lerp_(list(self.weights.values()), present, 1.0 - decay)
