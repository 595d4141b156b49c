"""Small data for tests: phantom CTs with liver, spleen and lesion, as arrays and as a workspace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.image import Image
from autoseg.labels import Labels
from autoseg.phantom import make_phantom, write_phantoms, write_raw
from autoseg.workspace import Workspace

DATASET = "PHANTOM"
SMALL = (12, 40, 40)  # voxels at 3x1x1 mm: seconds to train on


def small_phantom(seed: int = 0, shape: tuple[int, int, int] = SMALL) -> tuple[Image, np.ndarray]:
    """Return a CT (1, Z, Y, X) int16 and its label map (Z, Y, X) uint8 with the values 0 to 3."""
    return make_phantom(np.random.default_rng(seed), shape)


def make_workspace(
    root: Path, cases: int = 5, shape: tuple[int, int, int] = SMALL, ending: str = ".nii.gz"
) -> Workspace:
    """Return a workspace whose raw/PHANTOM holds `cases` small phantoms."""
    workspace = Workspace(root)
    write_raw(workspace.raw(DATASET), cases, shape, ending)
    return workspace


def write_unseen(folder: Path, cases: int = 2, shape: tuple[int, int, int] = SMALL) -> None:
    """Write phantoms that no workspace holds to `folder`/images and `folder`/labels."""
    write_phantoms(folder, "images", "labels", range(90, 90 + cases), shape)


def spoil(record: Any, place: Sequence[str | int], value: object) -> None:
    """Put `value` at a place in a record of lists and dictionaries; None: delete what is there."""
    *above, last = place
    for name in above:
        record = record[name]
    if value is None:
        del record[last]
    else:
        record[last] = value


def encoded_back(indices: np.ndarray, labels: Labels) -> np.ndarray:
    """Undo `labels.encode`: value indices to the label map's own values."""
    lookup = labels.by_index(np.asarray([0, *labels.values], dtype=labels.dtype))
    if labels.ignore is not None:
        lookup[labels.ignored_index] = labels.ignore
    return lookup[indices]
