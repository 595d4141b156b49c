"""What is segmented: targets, the label values they consist of, and their network channels.

A target is always a tuple of label values, so plain classes and overlapping regions are one code
path:

- *label map*: what files hold; any non-negative integers.
- *value index*: what prepared data hold; 0 background, 1..V the declared values in ascending order,
  `Labels.ignored_index` where the case is not annotated. One byte a voxel, two beyond 253 values.
- *channels*: what the network scores; exclusive targets get 1 + K (background first, softmax),
  overlapping ones K (sigmoid each).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

# Types of value indices, the smallest that will do. Signed, because PyTorch computes with int16 but
# hardly with uint16.
INDEX_DTYPES = (np.dtype(np.uint8), np.dtype(np.int16))
RESERVED = 2  # the largest numbers of a type: ignored, and (while encoding) undeclared
LARGEST_COUNT = np.iinfo(INDEX_DTYPES[-1]).max - RESERVED  # of declared values

_SIDES = {
    "left": "right", "lt": "rt", "l": "r", "lft": "rgt", "links": "rechts", "sin": "dex",
    "sinister": "dexter", "gauche": "droite", "izquierdo": "derecho", "izquierda": "derecha",
}  # fmt: skip
_OTHER_SIDE = _SIDES | {right: left for left, right in _SIDES.items()}


@dataclass(frozen=True)
class Labels:
    """The targets in writing order: later ones overwrite earlier ones; the first value is written.

    `{"kidney": (1, 2), "tumour": (2,)}`: value 2 is tumour and belongs to the kidney.
    """

    targets: Mapping[str, tuple[int, ...]]
    ignore: int | None = None
    nsd_tolerance_mm: Mapping[str, float] = field(default_factory=dict)
    declared_pairs: tuple[tuple[str, str], ...] = ()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the K targets."""
        return tuple(self.targets)

    @cached_property
    def values(self) -> tuple[int, ...]:
        """The V declared label values without background, ascending."""
        return tuple(sorted({value for values in self.targets.values() for value in values}))

    @cached_property
    def exclusive(self) -> bool:
        """True when no value belongs to two targets: softmax over 1 + K, else K sigmoids."""
        return sum(len(set(values)) for values in self.targets.values()) == len(self.values)

    @cached_property
    def channels(self) -> int:
        """Number of network outputs: 1 + K when exclusive, else K."""
        return len(self.targets) + (1 if self.exclusive else 0)

    @cached_property
    def membership(self) -> np.ndarray:
        """(K, V + 1) bool: does value index v belong to target k? Column 0 is background."""
        table = np.zeros((len(self.targets), len(self.values) + 1), dtype=bool)
        for row, values in enumerate(self.targets.values()):
            table[row, [self.index_of[value] for value in values]] = True
        return table

    @cached_property
    def index_of(self) -> dict[int, int]:
        """Value index of each declared value."""
        return {value: index for index, value in enumerate(self.values, start=1)}

    @cached_property
    def index_dtype(self) -> np.dtype:
        """Type of value indices: uint8 up to 253 declared values, int16 beyond."""
        return next(t for t in INDEX_DTYPES if len(self.values) <= np.iinfo(t).max - RESERVED)

    @property
    def ignored_index(self) -> int:
        """Value index of voxels that are neither trained nor evaluated: the type's largest."""
        return int(np.iinfo(self.index_dtype).max)

    def by_index(self, of_value: np.ndarray) -> np.ndarray:
        """Return `of_value` (V + 1, ...), one row per value index, with zeros up to the largest."""
        table = np.zeros((self.ignored_index + 1, *of_value.shape[1:]), dtype=of_value.dtype)
        table[: len(of_value)] = of_value
        return table

    @cached_property
    def channel_of_value(self) -> np.ndarray:
        """(V + 1,) int: softmax channel of each value index; only for exclusive targets."""
        return np.where(self.membership.any(0), self.membership.argmax(0) + 1, 0)

    def encode(self, label_map: np.ndarray) -> np.ndarray:
        """Return value indices, same shape; raise ValueError on an undeclared value."""
        label_map = np.asarray(label_map)
        top = max(*self.values, self.ignore or 0)
        if label_map.size and (label_map.min() < 0 or label_map.max() > top):
            raise ValueError(f"label values outside 0..{top}")
        if self.ignore is None and self.values == tuple(range(1, top + 1)):
            return label_map.astype(self.index_dtype)  # every value is its own index
        undeclared = self.ignored_index - 1
        lookup = np.full(top + 1, undeclared, dtype=self.index_dtype)
        lookup[0] = 0
        lookup[list(self.values)] = np.arange(1, len(self.values) + 1)
        if self.ignore is not None:
            lookup[self.ignore] = self.ignored_index
        indices = np.empty(label_map.shape, dtype=self.index_dtype)
        # By slices: to look a value up takes eight bytes a voxel.
        for part, found in zip(np.atleast_2d(label_map), np.atleast_2d(indices), strict=True):
            found[...] = lookup[part.astype(np.intp, copy=False)]
        if (indices == undeclared).any():
            raise ValueError("undeclared label value")
        return indices

    @cached_property
    def written(self) -> np.ndarray:
        """(channels,) label value written for each channel; a leading 0 when exclusive."""
        first = [values[0] for values in self.targets.values()]
        return np.asarray([0, *first] if self.exclusive else first, dtype=self.dtype)

    @cached_property
    def dtype(self) -> np.dtype:
        """Smallest unsigned type that holds every declared value."""
        return np.min_scalar_type(max(*self.values, self.ignore or 0))

    def decode(self, scores: np.ndarray) -> np.ndarray:
        """Return the label map (S) of `scores` (channels, S): logits or probabilities' logits.

        Exclusive: the best channel. Overlapping: a target is present where its score is above 0;
        later targets overwrite earlier ones.
        """
        if self.exclusive:
            return self.written[scores.argmax(0)]
        label_map = np.zeros(scores.shape[1:], dtype=self.dtype)
        for value, score in zip(self.written, scores, strict=True):
            label_map[score > 0] = value
        return label_map

    def mask(self, label_map: np.ndarray, target: str) -> np.ndarray:
        """Return the boolean mask of one target in a label map (file values)."""
        values = self.targets[target]
        return label_map == values[0] if len(values) == 1 else np.isin(label_map, values)

    @cached_property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Left/right targets: declared, or by name (`kidney_left`, `L-kidney`, `kidneyRight`)."""
        return self.declared_pairs or tuple(_pairs_by_name(self.names))

    @cached_property
    def lonely_sides(self) -> tuple[str, ...]:
        """Targets whose name has a side but whose partner is not declared."""
        paired = {name for pair in self.pairs for name in pair}
        return tuple(name for name in self.names if other_side(name) and name not in paired)

    @property
    def lonely_warning(self) -> str:
        """What is to be feared of `lonely_sides`; empty without any."""
        if not self.lonely_sides:
            return ""
        names = ", ".join(self.lonely_sides)
        return f"{names} names a side without its partner; mirroring left-right may confuse it"

    @cached_property
    def mirrored_targets(self) -> tuple[int, ...]:
        """Order of the targets after mirroring left-right: partners exchanged."""
        order = list(range(len(self.names)))
        for left, right in self.pairs:
            i, j = self.names.index(left), self.names.index(right)
            order[i], order[j] = j, i
        return tuple(order)

    @cached_property
    def mirrored_channels(self) -> tuple[int, ...]:
        """Channel order after mirroring left-right: partners exchanged."""
        if not self.exclusive:
            return self.mirrored_targets
        return (0, *(target + 1 for target in self.mirrored_targets))

    @cached_property
    def mirrored_indices(self) -> np.ndarray:
        """Value index after mirroring left-right: values of partners exchanged, others kept."""
        lookup = np.arange(self.ignored_index + 1, dtype=self.index_dtype)
        for left, right in self.pairs:
            # Only values that the partner does not share change sides (a common tumour stays one).
            ours = [v for v in self.targets[left] if v not in self.targets[right]]
            theirs = [v for v in self.targets[right] if v not in self.targets[left]]
            for one, other in zip(ours, theirs, strict=False):
                i, j = self.index_of[one], self.index_of[other]
                lookup[i], lookup[j] = j, i
        return lookup


def other_side(name: str) -> str | None:
    """Return `name` with its side exchanged, or None when it has no side.

    >>> other_side("kidney_left"), other_side("RightLung"), other_side("liver")
    ('kidney_right', 'LeftLung', None)
    """
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^A-Za-z0-9]+", name)
    for position, word in enumerate(words):
        other = _OTHER_SIDE.get(word.lower())
        # "L5" is a vertebra, not a side.
        numbered = (
            len(word) == 1 and words[position + 1 : position + 2] and words[position + 1].isdigit()
        )
        if other is not None and not numbered:
            words[position] = _spell_like(other, word)
            return "".join(words)
    return None


def _spell_like(word: str, model: str) -> str:
    if model.isupper():
        return word.upper()
    return word.capitalize() if model[0].isupper() else word


def _pairs_by_name(names: tuple[str, ...]) -> list[tuple[str, str]]:
    known = {name.lower(): name for name in names}
    pairs: list[tuple[str, str]] = []
    for name in names:
        other = known.get((other_side(name) or "").lower())
        if other is not None and other != name and (other, name) not in pairs:
            pairs.append((name, other))
    return pairs
