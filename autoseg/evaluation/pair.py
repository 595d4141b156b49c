"""The two label maps of a case as files, and as arrays of the values that are meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from autoseg.image import Image
from autoseg.io import read_labels


@dataclass(frozen=True)
class Pair:
    """The two label maps of one case, whose file types may differ; what is known about the case."""

    id: str
    reference: Path
    prediction: Path | None  # None: missing, and allowed to be
    tags: tuple[str, ...] = ()
    group: str | None = None  # patient; None: the case is its own
    annotated: tuple[str, ...] | None = None  # targets annotated in the reference; None = all
    # What a value of the file stands for, where that is not the value itself.
    reference_map: Mapping[int, int] = field(default_factory=dict)
    prediction_map: Mapping[int, int] = field(default_factory=dict)


def read_reference(pair: Pair) -> Image:
    """Return the reference (1, Z, Y, X) in the values that are meant."""
    image = read_labels(pair.reference)
    return replace(image, array=_mapped(image.array, pair.reference_map))


def read_prediction(pair: Pair) -> np.ndarray | None:
    """Return the predicted label map (Z, Y, X) in the values that are meant; None: missing."""
    if pair.prediction is None:
        return None
    return _mapped(read_labels(pair.prediction).array[0], pair.prediction_map)


def _mapped(array: np.ndarray, changes: Mapping[int, int]) -> np.ndarray:
    if not changes:
        return array
    mapped = array.astype(np.result_type(array, *map(np.min_scalar_type, changes.values())))
    for old, new in changes.items():
        mapped[array == old] = new
    return mapped
