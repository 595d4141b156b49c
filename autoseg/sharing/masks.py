"""A label map as one binary file for each target, as TotalSegmentator writes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.case_files import PICTURES
from autoseg.errors import UsageError
from autoseg.image import Geometry
from autoseg.io import write_labels
from autoseg.labels import Labels

RECORD = "masks.json"
IGNORED = "ignore"
FILE_NAME = re.compile(r"[^/\\\x00-\x1f.][^/\\\x00-\x1f]{0,100}")
WHITE = 255  # inside, in pictures, where 1 would be black


def check_names(labels: Labels) -> None:
    """Raise UsageError for a target whose name cannot be the name of a file."""
    folded = [name.casefold() for name in labels.names]
    for name in labels.names:
        if not FILE_NAME.fullmatch(name):
            raise UsageError(f"'{name}' cannot be the name of a file", remedy="rename the target")
        if folded.count(name.casefold()) > 1:
            fact = f"two targets are called '{name}' where A and a are the same"
            raise UsageError(fact, remedy="rename one")
        if labels.ignore is not None and name.casefold() == IGNORED:
            raise UsageError("a target is called 'ignore'", remedy="rename it")


def write_masks(
    folder: Path,
    label_map: np.ndarray,
    geometry: Geometry,
    labels: Labels,
    ending: str,
    *,
    annotated: Sequence[str] | None = None,
    like: Path | None = None,
) -> None:
    """Write `<target><ending>` for every annotated target of `label_map` (Z, Y, X), empty or not.

    Inside is 1, in pictures 255. A missing file says that the target was not looked for; voxels
    that are not judged are those of `ignore`. `like` is the file whose header is kept.
    """
    inside = np.uint8(WHITE if ending in PICTURES else 1)
    for name in labels.names:
        if annotated is None or name in annotated:
            mask = labels.mask(label_map, name)
            write_labels(folder / f"{name}{ending}", mask * inside, geometry, like)
    if labels.ignore is not None:
        mask = label_map == labels.ignore
        write_labels(folder / f"{IGNORED}{ending}", mask * inside, geometry, like)


def record_of(labels: Labels) -> dict[str, Any]:
    """Return what `masks.json` holds: the value of each target, as they were before."""
    return {
        "format": "autoseg-masks-1",
        "labels": {name: list(values) for name, values in labels.targets.items()},
        "ignore": labels.ignore,
    }
