"""Weights of a trained model into a new network: what fits is loaded, the rest is told.

- A tensor of the same name and shape is loaded, norms and biases only behind their weights. Stages
  are numbered from the finest, so networks of different depth share what they have in common.
- The first convolution, where the input channels differ: a channel of the same name brings its
  filter; another one gets the mean of the filters that nothing of that name takes, or of all. Scale
  does not matter, an instance norm follows.
- The heads: the outputs of targets of the same name are copied (and background's), others stay as
  they were drawn.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

HEADS = "heads."


@dataclass(frozen=True)
class Ends:
    """What goes into a network and what comes out of it, by name."""

    channels: tuple[str, ...]
    outputs: tuple[str, ...]  # with softmax, background first; with sigmoids the targets only


@dataclass(frozen=True)
class Transfer:
    """What became of every tensor of the new network."""

    loaded: tuple[str, ...]
    adapted: Mapping[str, str]  # name -> how
    new: tuple[str, ...]
    unused: tuple[str, ...]  # tensors of the source that found no place
    share: float  # of the new network's parameters that came from the source

    @property
    def nothing(self) -> bool:
        """Tell whether nothing of the source was used."""
        return not self.loaded and not self.adapted


def transfer(network: nn.Module, state: Mapping[str, Tensor], theirs: Ends, ours: Ends) -> Transfer:
    """Load into `network` what fits of `state`, the weights of a model with the ends `theirs`."""
    own = network.state_dict()
    first = first_convolution(network)
    loaded, adapted, new = [], {}, []
    taken: dict[str, Tensor] = {}
    came, led = 0.0, True
    for name, tensor in own.items():
        several = tensor.ndim > 1
        match = NO_MATCH
        # Norms and biases mean nothing without the weights before them.
        if name in state and (several or led):
            match = _match(name, name == first, tensor, state[name], theirs, ours)
        merged, how, share = match
        led = merged is not None if several else led
        if merged is None:
            new.append(name)
            continue
        taken[name] = merged
        came += share * tensor.numel()
        if how:
            adapted[name] = how
        else:
            loaded.append(name)
    network.load_state_dict({**own, **taken})
    total = sum(tensor.numel() for tensor in own.values())
    unused = tuple(name for name in state if name not in taken)
    return Transfer(tuple(loaded), adapted, tuple(new), unused, came / total)


def first_convolution(network: nn.Module) -> str:
    """Return the name of the weight that sees the image: that of the first convolution."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            return f"{name}.weight"
    return ""


Match = tuple[Tensor | None, str, float]  # the tensor to load, how it was adapted, the share of it
NO_MATCH: Match = (None, "", 0.0)


def _match(
    name: str, is_first: bool, tensor: Tensor, found: Tensor, theirs: Ends, ours: Ends
) -> Match:
    if found.ndim != tensor.ndim:
        return NO_MATCH
    if name.startswith(HEADS):
        return _match_outputs(tensor, found, theirs, ours)
    if is_first:
        return _match_channels(tensor, found, theirs, ours)
    return (found, "", 1.0) if found.shape == tensor.shape else NO_MATCH


def _match_outputs(tensor: Tensor, found: Tensor, theirs: Ends, ours: Ends) -> Match:
    """Return a head's weight or bias (outputs, ...) with the outputs that have the same name."""
    shared = [name for name in ours.outputs if name in theirs.outputs]
    softmax = {len(ends.outputs) > 0 and ends.outputs[0] == "" for ends in (ours, theirs)}
    targets = [name for name in shared if name]
    if not targets or len(softmax) > 1 or found.shape[1:] != tensor.shape[1:]:
        return NO_MATCH
    if theirs.outputs == ours.outputs:
        return found, "", 1.0
    merged = tensor.clone()
    for name in shared:
        merged[ours.outputs.index(name)] = found[theirs.outputs.index(name)]
    how = f"outputs of {', '.join(targets)} from the source"
    return merged, how, len(shared) / len(ours.outputs)


def _match_channels(tensor: Tensor, found: Tensor, theirs: Ends, ours: Ends) -> Match:
    """Return the first convolution's weight (out, channels, *kernel) for our channels."""
    if found.shape[0] != tensor.shape[0] or found.shape[2:] != tensor.shape[2:]:
        return NO_MATCH
    if theirs.channels == ours.channels:
        return found, "", 1.0
    sources = match_names(theirs.channels, ours.channels)
    filters = [found[:, list(source)].mean(1) for source in sources]
    told = [
        f"{name} from {' and '.join(theirs.channels[i] for i in source)}"
        for name, source in zip(ours.channels, sources, strict=True)
    ]
    return torch.stack(filters, 1), f"channel {', '.join(told)}", 1.0


def match_names(theirs: Sequence[str], ours: Sequence[str]) -> list[tuple[int, ...]]:
    """Return, for each of our channels, the positions of theirs whose mean it begins with.

    >>> match_names(("CT",), ("T1", "T2")), match_names(("T1", "T2"), ("T2", "PET"))
    ([(0,), (0,)], [(1,), (0,)])
    """
    rest = [i for i, name in enumerate(theirs) if name not in ours] or list(range(len(theirs)))
    unknown = [name for name in ours if name not in theirs]
    one_each = len(unknown) == len(rest)  # another modality in its place
    matched: list[tuple[int, ...]] = []
    for name in ours:
        if name in theirs:
            matched.append((theirs.index(name),))
        elif one_each:
            matched.append((rest[unknown.index(name)],))
        else:
            matched.append(tuple(rest))
    return matched


def describe_transfer(report: Transfer) -> list[str]:
    """Return lines for the log: what was loaded, adapted, drawn anew, and left unused."""
    share = math.floor(1000 * report.share) / 10  # 100 % means that nothing is new
    lines = [f"{share:.1f} % of the parameters come from these weights"]
    if report.loaded:
        lines.append(f"loaded: {_count(report.loaded)}")
    lines += [f"adapted: {name}: {how}" for name, how in report.adapted.items()]
    if report.new:
        lines.append(f"new: {_count(report.new)}")
    if report.unused:
        lines.append(f"not used: {_count(report.unused)}")
    return lines


def _count(names: Sequence[str]) -> str:
    """Return how many tensors each part of the network has: "encoder.0 6, encoder.1 6"."""
    parts = Counter(".".join(name.split(".")[:2]) for name in names)
    return ", ".join(f"{part} ({count})" for part, count in parts.items())
