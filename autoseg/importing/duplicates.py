"""The same scan twice, found by its voxels, whatever the files are called and however they lie.

Another program may have exchanged or reversed the axes of a scan, or stored it as another type. Its
voxels stay the same ones, so the key is their sum after each was scrambled: it knows no order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autoseg.image import Image

AT_ONCE = 1 << 16  # voxels: all that is made of them fits into the processor's cache
SAMPLED = 1 << 22  # voxels of an image, spread over it, that tell the order
LOOKED_AT = 1 << 12  # of these, to count values; all where these are nearly all one
FEW = 16  # values: with fewer, different images too can have as many voxels of each
ODD_1, ODD_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)  # of SplitMix64


@dataclass(frozen=True)
class Content:
    """What is compared of a scan, a few bytes."""

    voxels: str  # equal where the voxels are, in any order of axes
    order: str  # equal where they lie in the same order, too


def content_of(images: Sequence[Image]) -> Content | None:
    """Return the content of the images of a case, (C, Z, Y, X) each; None when all is one value."""
    voxels, order = hashlib.blake2b(digest_size=16), hashlib.blake2b(digest_size=16)
    constant, few = True, True
    for channel in (channel for image in images for channel in image.array):
        spread = _spread(channel)
        order.update(f"{channel.shape}".encode() + spread.tobytes())
        voxels.update(f"{sorted(channel.shape)} {_sum_of_scrambled(channel)}".encode())
        constant = constant and bool((channel == channel.flat[0]).all())
        few = few and _are_few(spread)
    if constant:
        return None
    if few:
        voxels.update(order.digest())
    return Content(voxels.hexdigest(), order.hexdigest())


def find_same(contents: Sequence[Content | None]) -> list[tuple[int, int, str]]:
    """Return (position of the first, of another, sentence) for all scans that are there already."""
    first: dict[str, int] = {}
    found = []
    for position, content in enumerate(contents):
        other = first.setdefault(content.voxels, position) if content else position
        original = contents[other]
        if other != position and content and original:
            turned = content.order != original.order
            how = "the same voxels, turned or mirrored, as" if turned else "the same voxels as"
            found.append((other, position, how))
    return found


def _spread(array: np.ndarray) -> np.ndarray:
    flat = array.reshape(-1)
    step = max(1, flat.size // SAMPLED) | 1  # odd: no stripes along a row of 2^n
    with np.errstate(over="ignore"):
        return _as_number(flat[::step])


def _are_few(values: np.ndarray) -> bool:
    some = values[:: values.size // LOOKED_AT + 1]
    return all(len(np.unique(part)) < FEW for part in (some, values))


def _sum_of_scrambled(array: np.ndarray) -> int:
    """Return the sum, modulo 2^64, of a hash of each voxel as float32."""
    total = 0
    flat = array.reshape(-1)
    for start in range(0, flat.size, AT_ONCE):
        with np.errstate(over="ignore"):
            numbers = _as_number(flat[start : start + AT_ONCE])
        bits = numbers.view(np.uint32).astype(np.uint64)
        bits *= ODD_1
        bits ^= bits >> np.uint64(29)
        bits *= ODD_2
        bits ^= bits >> np.uint64(32)
        total += int(bits.sum(dtype=np.uint64))
    return total % (1 << 64)


def _as_number(array: np.ndarray) -> np.ndarray:
    """Return float32, whatever the type in the file was, and 0 for -0."""
    return array.astype(np.float32) + np.float32(0)
