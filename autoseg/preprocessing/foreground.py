"""Where the targets are: positions that patches are centred on in training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autoseg.labels import Labels
from autoseg.preprocessing.resample_labels import value_boxes

POSITIONS = 10_000  # kept per target, or POSITIONS_FRACTION of its voxels if that is more
POSITIONS_FRACTION = 0.01
POSITIONS_SEED = 1234


def foreground_positions(indices: np.ndarray, labels: Labels) -> list[np.ndarray]:
    """Return K + 1 arrays (n, 3) int32 of positions: each target's, then the annotated voxels'.

    At most 10,000 per target, or 1 % of its voxels if that is more, drawn without replacement; the
    same for the same labels. The last one is empty unless something is ignored.
    """
    boxes = value_boxes(indices)
    found = []
    for row, member in enumerate(labels.membership):
        values = [int(value) for value in np.flatnonzero(member) if int(value) in boxes]
        inside = labels.by_index(member)
        found.append(_draw(indices, inside, [boxes[value] for value in values], row))
    ignoring = labels.ignored_index in boxes
    known = np.arange(labels.ignored_index + 1) != labels.ignored_index
    whole = [tuple(slice(0, size) for size in indices.shape)] if ignoring else []
    found.append(_draw(indices, known, whole, len(found)))
    return found


def _draw(
    indices: np.ndarray, member: np.ndarray, boxes: Sequence[tuple[slice, ...]], row: int
) -> np.ndarray:
    if not boxes:
        return np.zeros((0, 3), dtype=np.int32)
    start = [min(box[axis].start for box in boxes) for axis in range(3)]
    stop = [max(box[axis].stop for box in boxes) for axis in range(3)]
    part = indices[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
    found = np.flatnonzero(member[part])
    wanted = min(len(found), max(POSITIONS, int(len(found) * POSITIONS_FRACTION)))
    if wanted < len(found):
        rng = np.random.default_rng([POSITIONS_SEED, row])
        found = np.sort(found[rng.choice(len(found), wanted, replace=False, shuffle=False)])
    return (np.stack(np.unravel_index(found, part.shape), 1) + start).astype(np.int32)
