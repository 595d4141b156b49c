"""Weights of nnU-Net's U-Nets and of ours, name by name: the same layers compute the same function.

Two differences, neither of which changes the function. Theirs have a bias in convolutions before a
normalisation, which subtracts it again: dropped on the way in, zero on the way out. And their state
dicts list every tensor up to four times (`all_modules`, `decoder.encoder`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from autoseg.errors import DataError
from autoseg.networks import build_network
from autoseg.plan import NetworkSpec

PREFIXES = ("module.", "_orig_mod.")  # of networks that were distributed or compiled


def weights_from_nnunet(
    state: Mapping[str, Tensor], spec: NetworkSpec, inputs: int, outputs: int, place: str
) -> dict[str, Tensor]:
    """Return the state dict of our network `spec` (C = inputs, K = outputs) for nnU-Net's `state`.

    Raises DataError at `place` for a tensor that is missing, left over, not finite, or of another
    shape than the network needs.
    """
    theirs = {_bare(name): tensor for name, tensor in state.items()}
    shapes = expected_shapes(spec, inputs, outputs)
    ours: dict[str, Tensor] = {}
    used: set[str] = set()
    for name, other in names(spec):
        if other not in theirs:
            raise DataError(f"misses the tensor '{other}'", place=place, expected=f"{shapes[name]}")
        tensor = theirs[other]
        # Looked at before it is copied: a crafted tensor may claim any shape.
        if tuple(tensor.shape) != shapes[name]:
            raise DataError(
                f"'{other}' has shape {tuple(tensor.shape)}",
                place=place,
                expected=f"{shapes[name]}, as the plans say",
            )
        if not tensor.is_floating_point() or not bool(torch.isfinite(tensor).all()):
            raise DataError(f"'{other}' holds values that are not finite numbers", place=place)
        ours[name] = tensor.detach().float().contiguous()
        used.add(other)
    used |= {f"{layer}.conv.bias" for _, layer in conv_norms(spec)}
    absent = {name for name in shapes if name not in ours}
    for name in absent:  # transposed convolutions without bias
        ours[name] = torch.zeros(shapes[name])
    copies = ("all_modules.", "decoder.encoder.")
    rest = [name for name in theirs if name not in used and not any(c in name for c in copies)]
    if rest:
        raise DataError(
            f"holds '{rest[0]}'" + (f" and {len(rest) - 1} more tensors" if rest[1:] else ""),
            place=place,
            expected="nothing but the layers of the plans",
            remedy="networks of other trainers cannot be converted",
        )
    return {name: ours[name] for name in shapes}


def weights_to_nnunet(state: Mapping[str, Tensor], spec: NetworkSpec) -> dict[str, Tensor]:
    """Return nnU-Net's state dict, copies of names included, for `state` of our network `spec`."""
    theirs: dict[str, Tensor] = {}
    for name, other in names(spec):
        theirs[other] = state[name].detach().float().cpu().contiguous()
    for name, other in names(spec):
        if other.endswith(".conv.weight") and ".skip." not in other:
            theirs[other.replace("weight", "bias")] = torch.zeros(len(state[name]))
    for name in [*theirs]:
        for part, place in ((".conv.", ".all_modules.0."), (".norm.", ".all_modules.1.")):
            if part in name:
                theirs[name.replace(part, place)] = theirs[name]
    return theirs | {f"decoder.{n}": t for n, t in theirs.items() if n.startswith("encoder.")}


def expected_shapes(spec: NetworkSpec, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of every tensor of our network, without allocating any."""
    with torch.device("meta"):
        network = build_network(spec, inputs, outputs)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def names(spec: NetworkSpec) -> Iterator[tuple[str, str]]:
    """Yield (our name, nnU-Net's name) of every tensor that both have."""
    for ours, theirs in conv_norms(spec):
        yield f"{ours}.convolution.weight", f"{theirs}.conv.weight"
        for part in ("weight", "bias"):
            yield f"{ours}.norm.{part}", f"{theirs}.norm.{part}"
    last = len(spec.features) - 2
    for stage in range(last + 1):  # their decoder starts at the coarsest
        for part in ("weight", "bias"):
            yield f"up.{stage}.{part}", f"decoder.transpconvs.{last - stage}.{part}"
            yield f"heads.{stage}.{part}", f"decoder.seg_layers.{last - stage}.{part}"


def conv_norms(spec: NetworkSpec) -> Iterator[tuple[str, str]]:
    """Yield (our name, nnU-Net's name) of every convolution that is normalised."""
    residual = spec.name == "residual_unet"
    if residual:
        yield "stem", "encoder.stem.convs.0"
    inputs = spec.features[0]
    for stage, blocks in enumerate(spec.encoder_blocks):
        for block in range(blocks):
            ours = f"encoder.{stage}.{block}"
            if not residual:
                yield ours, f"encoder.stages.{stage}.0.convs.{block}"
                continue
            theirs = f"encoder.stages.{stage}.blocks.{block}"
            yield f"{ours}.first", f"{theirs}.conv1"
            yield f"{ours}.second", f"{theirs}.conv2"
            if block == 0 and inputs != spec.features[stage]:
                index = int(any(step != 1 for step in spec.strides[stage]))  # after the pooling
                yield f"{ours}.shortcut.{index}", f"{theirs}.skip.{index}"
        inputs = spec.features[stage]
    last = len(spec.features) - 2
    for stage, blocks in enumerate(spec.decoder_blocks):
        for block in range(blocks):
            yield f"decoder.{stage}.{block}", f"decoder.stages.{last - stage}.convs.{block}"


def _bare(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name
