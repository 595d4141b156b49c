"""The table of contents of a safetensors file, checked before any tensor is read.

A file from elsewhere may claim anything: here it must hold exactly the tensors of its network, one
after the other, in float32, and not a byte more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import torch

from autoseg.errors import AutosegError, CorruptError
from autoseg.networks import build_network
from autoseg.plan import NetworkSpec

LARGEST_HEADER = 8 << 20  # bytes; a network of a thousand tensors needs 100 kB
LENGTH_BYTES = 8
FLOAT32 = "F32"
COUNTER = "num_batches_tracked"  # of a batch normalisation: the only tensor that is no float
BYTES = {FLOAT32: 4, "I64": 8}

Shapes = Mapping[str, tuple[int, ...]]


def check_tensors(path: Path, spec: NetworkSpec, inputs: int, outputs: int) -> None:
    """Raise CorruptError unless the file holds the weights of the network of `spec`, in float32."""
    found = read_header(path)
    blocks = sum(spec.encoder_blocks) + sum(spec.decoder_blocks) + len(spec.features)
    # Before it is built: a spec of a billion blocks would take for ever.
    if blocks > len(found):
        fact = f"holds {len(found)} tensors for a network of {blocks} blocks"
        raise CorruptError(fact, place=str(path))
    _compare(found, network_shapes(spec, inputs, outputs), str(path))


def network_shapes(spec: NetworkSpec, inputs: int, outputs: int) -> Shapes:
    """Return the shape of every tensor of a network, without memory for any of them."""
    try:
        with torch.device("meta"):
            state = build_network(spec, inputs, outputs).state_dict()
    except AutosegError:
        raise
    except (RuntimeError, ValueError, TypeError, OverflowError) as error:
        fact = f"the network of the plan cannot be built: {str(error).splitlines()[0]}"
        raise CorruptError(fact) from error
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def read_header(path: Path) -> Shapes:
    """Return the shapes that a safetensors file declares; CorruptError for a file that is none.

    Refused are headers over LARGEST_HEADER, other types than float32 (but for the counters of batch
    normalisations), and tensors that overlap, leave gaps or end elsewhere than the file.
    """
    header, size = _header_bytes(path), path.stat().st_size
    try:
        table = json.loads(header)
        entries = {name: entry for name, entry in table.items() if name != "__metadata__"}
        places = sorted((tuple(entry["data_offsets"]), name) for name, entry in entries.items())
        end = 0
        for (start, stop), name in places:
            shape, kind = entries[name]["shape"], entries[name]["dtype"]
            expected = "I64" if name.endswith(f".{COUNTER}") else FLOAT32
            if kind != expected:
                raise CorruptError(f"'{name}' is {kind}", place=str(path), expected=expected)
            if (
                start != end
                or stop - start != BYTES[kind] * prod(shape)
                or min(shape, default=1) < 0
            ):
                raise CorruptError(f"'{name}' does not lie where it should", place=str(path))
            end = stop
        if end + LENGTH_BYTES + len(header) != size:
            expected = f"{end + LENGTH_BYTES + len(header):,} bytes"
            raise CorruptError(f"has {size:,} bytes", place=str(path), expected=expected)
        return {name: tuple(map(int, entry["shape"])) for name, entry in entries.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CorruptError("is not safetensors: its header", place=str(path)) from error


def _header_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(LENGTH_BYTES), "little")
            header = stream.read(length) if length <= LARGEST_HEADER else b""
    except FileNotFoundError as error:
        fact, remedy = "is missing from the bundle", "copy the bundle again"
        raise CorruptError(fact, place=str(path), remedy=remedy) from error
    if length > LARGEST_HEADER or len(header) < length:
        raise CorruptError(f"is not safetensors: a header of {length:,} bytes", place=str(path))
    return header


def _compare(found: Shapes, expected: Shapes, place: str) -> None:
    missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    wrong = [name for name in expected if name in found and found[name] != expected[name]]
    facts = [f"misses {len(missing)} tensors, such as '{missing[0]}'"] if missing else []
    facts += [f"holds {len(extra)} strange tensors, such as '{extra[0]}'"] if extra else []
    facts += [f"'{n}' is {found[n]} instead of {expected[n]}" for n in wrong[:1]]
    if facts:
        raise CorruptError("; ".join(facts), place=place, expected="the network of the plan")


def sums(state: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Return sum and sum of magnitudes of every tensor, in double precision."""
    found = {}
    for name, tensor in state.items():
        values = tensor.detach().double().cpu()
        found[name] = (float(values.sum()), float(values.abs().sum()))
    return found
