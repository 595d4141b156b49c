"""What a network and a loss see of one step, and how it is cut into smaller ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from autoseg.training.distributed import ALONE, Ranks


@dataclass(frozen=True)
class Warp:
    """A sample that `augmentation` has yet to rotate or scale: see `patches.Patch`."""

    sample: int  # position in the batch
    image: Tensor  # (C, *Q) float32
    target: Tensor  # (*Q) value indices
    places: Tensor  # (Z + Y + X of the batch, 3) float32, see `geometry.places_along_axes`
    previous: Tensor | None = None  # (*Q) value indices
    first_slice: int | None = None  # of what was read, where slices stay whole: `first_slice_of`


@dataclass(frozen=True)
class Batch:
    """What a loss sees. Samples named in `warps` are empty until the augmentation fills them."""

    image: Tensor  # (B, C, *P) float32
    target: Tensor  # (B, *P) value indices, `Labels.index_dtype`
    annotated: Tensor  # (B, K) bool
    spacing_mm: Tensor  # (B, 3) float32
    partial: bool = True  # False: every target is annotated in every sample
    warps: tuple[Warp, ...] = ()
    ranks: Ranks = ALONE  # those that share the batch; sums over it go through `ranks.all_sum`
    first: int = 0  # where in the whole batch these samples begin,
    whole: int | None = None  # and how many it has; None: it is not shared
    previous: Tensor | None = None  # (B, *P) value indices: the previous stage's prediction


def micro_batches(batch: Batch, count: int) -> Iterator[Batch]:
    """Yield `count` parts of an augmented batch: samples 0, `count`, 2 `count`, ... and so on.

    Interleaved, as samplers put patches that are centred on targets beside each other.
    """
    for first in range(count):
        yield take_samples(batch, slice(first, None, count)) if count > 1 else batch


def take_samples(batch: Batch, samples: slice) -> Batch:
    """Return the batch of these samples only; none may be waiting for its warp."""
    parts = {
        f.name: getattr(batch, f.name)[samples]
        for f in dataclasses.fields(batch)
        if isinstance(getattr(batch, f.name), Tensor)
    }
    return dataclasses.replace(batch, **parts)


def each_tensor(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """Return a batch, or a part of one, with `change` done to each of its tensors."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple):
        return tuple(each_tensor(item, change) for item in value)
    if isinstance(value, Batch | Warp):
        parts = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return dataclasses.replace(
            value, **{name: each_tensor(part, change) for name, part in parts.items()}
        )
    return value
