"""Weights of another program for the encoder of a network, such as ImageNet's of an EfficientNet.

All of the encoder must be there; its first convolution is fitted to the channels of the data.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from autoseg.errors import CorruptError, UsageError
from autoseg.networks import encoder_of
from autoseg.training.transfer import Transfer, first_convolution

COUNTERS = ".num_batches_tracked"
PARTS = ("", "encoder.", "module.", "backbone.")  # under which names programs keep an encoder
STACKED = re.compile(r"(.+)\.\d+(\.\d+\..+)")  # MONAI's blocks lie in stacks, others' in one row


def read_safetensors(path: Path) -> Mapping[str, Tensor]:
    """Return the tensors of a file; raise CorruptError where it is not safetensors."""
    try:
        return load_file(path)
    except (SafetensorError, ValueError, OSError) as error:
        raise CorruptError(f"is not safetensors: {error}", place=str(path)) from error


def load_encoder(network: nn.Module, state: Mapping[str, Tensor]) -> Transfer:
    """Load the whole encoder of `network` from `state`; raise UsageError where that does not fit.

    Names may be those of MONAI, of EfficientNet-PyTorch, or of a network that has such an encoder.
    Where the data have other channels, each filter of the first convolution is the mean over the
    source's channels, times their number by ours: an image that is the same in all channels gets
    the same response.
    """
    encoder_of(network)  # or says that there is none
    encoder: nn.Module = network.encoder  # type: ignore[assignment]
    (within,) = [name for name, module in network.named_modules() if module is encoder]
    first, own = first_convolution(encoder), encoder.state_dict()
    taken, adapted, faults = dict(own), {}, []
    for name, tensor in own.items():
        found = _find(name, state)
        if found is None:
            faults += [] if name.endswith(COUNTERS) else [f"there is no '{name}'"]
        elif found.shape == tensor.shape:
            taken[name] = found
        elif name == first and found.shape[2:] == tensor.shape[2:] and len(found) == len(tensor):
            theirs, ours = found.shape[1], tensor.shape[1]
            taken[name] = found.mean(1, keepdim=True).expand(tensor.shape) * (theirs / ours)
            scaled = "" if theirs == ours else f", times {theirs}/{ours}"
            adapted[f"{within}.{name}"] = f"the mean over the source's {theirs} channels{scaled}"
        else:
            faults.append(f"'{name}' is {tuple(found.shape)} instead of {tuple(tensor.shape)}")
    if faults:
        raise UsageError(
            f"not the weights of this encoder: {faults[0]}, and {len(faults) - 1} more like it",
            expected=f"the {len(own)} tensors of {type(encoder).__name__}",
        )
    encoder.load_state_dict(taken)
    names = tuple(f"{within}.{name}" for name in own)
    inside = sum(tensor.numel() for tensor in own.values())
    every = network.state_dict()
    return Transfer(
        tuple(name for name in names if name not in adapted),
        adapted,
        tuple(name for name in every if name not in names),
        (),
        inside / sum(tensor.numel() for tensor in every.values()),
    )


def _find(name: str, state: Mapping[str, Tensor]) -> Tensor | None:
    """Return the tensor of `state` that one of the encoder is called after."""
    spellings = (name, STACKED.sub(r"\1\2", name))
    known = (state.get(part + spelling) for part in PARTS for spelling in spellings)
    return next((tensor for tensor in known if tensor is not None), None)
