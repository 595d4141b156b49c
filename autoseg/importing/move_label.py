"""One label of a map moved by a matrix, and a record from which the former map can be made again.

The matrix speaks of voxel indices (x, y, z, 1) in the file's own order, as nibabel shows it, and
maps output to input, as `scipy.ndimage.affine_transform` takes it: a voxel gets the label when the
place that the matrix assigns to it, rounded, had it before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from autoseg.errors import UsageError

Run = tuple[int, int, int]  # first voxel, how many, what they held before
SINGULAR = 1e-9  # a determinant below this squeezes the label flat
CORNERS = np.indices((2, 2, 2)).reshape(3, -1).T
AROUND = 3  # voxels beside a moved label that tell where it ended


@dataclass(frozen=True)
class Moved:
    """What became of one label map; `runs` hold the former values of all voxels that changed.

    Voxels are numbered in the order of the file, x fastest.
    """

    input: str
    input_sha256: str
    output: str
    output_sha256: str
    matrix: tuple[tuple[float, ...], ...]
    inverse: bool  # the label was moved back
    value: int
    voxels_before: int
    voxels_after: int
    lost: int  # voxels that held the label and are background now
    gained: int
    overwritten: Mapping[str, int]  # of the gained ones, by the label they held
    runs: tuple[Run, ...]


def read_matrix(path: Path) -> np.ndarray:
    """Return a (4, 4) matrix from a text of sixteen numbers; UsageError for anything else."""
    try:
        numbers = [
            float(word) for word in path.read_text(encoding="utf-8").replace(",", " ").split()
        ]
    except FileNotFoundError as error:
        raise UsageError("file not found", place=str(path)) from error
    except (OSError, ValueError) as error:  # UnicodeDecodeError is a ValueError
        raise UsageError("is no text of numbers", place=str(path), expected="16 numbers") from error
    if len(numbers) != 16 or not np.isfinite(numbers).all():
        fact = f"holds {len(numbers)} numbers"
        raise UsageError(fact, place=str(path), expected="four rows of four finite numbers")
    matrix = np.array(numbers).reshape(4, 4)
    if not np.array_equal(matrix[3], (0, 0, 0, 1)):
        row = " ".join(f"{value:g}" for value in matrix[3])
        raise UsageError(f"its last row is {row}", place=str(path), expected="0 0 0 1")
    if abs(np.linalg.det(matrix[:3, :3])) < SINGULAR:
        raise UsageError("cannot be inverted", place=str(path), expected="a turn, shift or scale")
    return matrix


def move_label(label_map: np.ndarray, value: int, matrix: np.ndarray) -> np.ndarray:
    """Return `label_map` (Z, Y, X) with the voxels of `value` moved by a (4, 4) matrix.

    Where they were is background; where they come, they overwrite.
    """
    after = np.where(label_map == value, label_map.dtype.type(0), label_map)
    box = _box(label_map, value)
    if box is None:
        return after
    mask = (label_map[box] == value).T  # (X, Y, Z)
    low = np.array([part.start for part in reversed(box)])
    corners = low - 1 + CORNERS * (np.array(mask.shape) + 1)
    reached = (corners - matrix[:3, 3]) @ np.linalg.inv(matrix[:3, :3]).T
    first = np.maximum(np.floor(reached.min(0)).astype(int), 0)
    last = np.minimum(np.ceil(reached.max(0)).astype(int) + 1, label_map.T.shape)
    if (last <= first).any():
        return after  # all of it left the image
    offset = matrix[:3, :3] @ first + matrix[:3, 3] - low
    moved = ndimage.affine_transform(
        mask.astype(np.uint8), matrix[:3, :3], offset, tuple(last - first), order=0
    )
    part = tuple(slice(start, stop) for start, stop in zip(first, last, strict=True))
    after.T[part][moved > 0] = value
    return after


def move_back(label_map: np.ndarray, value: int, matrix: np.ndarray) -> np.ndarray:
    """Return `label_map` (Z, Y, X) with the voxels of `value` back where `move_label` took them.

    Most voxels were read by one that was moved, which still tells what they held; the others follow
    the majority of these around them. That comes nearer to the original than the inverse matrix.
    """
    box = _box(label_map, value)
    if box is None:
        return label_map.copy()
    after = move_label(label_map, value, np.linalg.inv(matrix))
    told, held = _what_is_told(label_map, value, matrix, box)
    where = _box(told, 1)
    if where is None:
        return after
    votes, voters = (
        ndimage.convolve(mask[where].astype(np.float32), np.ones((3, 3, 3)), mode="constant")
        for mask in (held, told)
    )
    back = np.where(2 * votes == voters, after[where] == value, 2 * votes > voters)
    back = np.where(told[where], held[where], back)
    below = np.where(label_map[where] == value, 0, label_map[where])
    after[where] = np.where(back, value, below)
    return after


def _what_is_told(
    label_map: np.ndarray, value: int, matrix: np.ndarray, box: tuple[slice, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return which voxels (Z, Y, X) the moved label in `box` tells of, and which held it."""
    shape = label_map.T.shape
    told, held = np.zeros(shape, bool), np.zeros(shape, bool)
    x, y, z = (
        np.arange(max(part.start - AROUND, 0), min(part.stop + AROUND, size))
        for part, size in zip(reversed(box), shape, strict=True)
    )
    for k in z:
        i, j = (axis.ravel() for axis in np.meshgrid(x, y, indexing="ij"))
        indices = np.stack([i, j, np.full(i.size, k)])
        read = np.floor(matrix[:3, :3] @ indices + matrix[:3, 3:] + 0.5).astype(int)  # as SciPy
        inside = ((read >= 0) & (read < np.array(shape)[:, None])).all(0)
        told[tuple(read[:, inside])] = True
        held[tuple(read[:, inside & (label_map.T[tuple(indices)] == value)])] = True
    return told.T, held.T


def _box(label_map: np.ndarray, value: int) -> tuple[slice, ...] | None:
    found = ndimage.find_objects(label_map == value, max_label=1)
    return found[0] if found else None


def find_runs(before: np.ndarray, after: np.ndarray) -> tuple[Run, ...]:
    """Return the former values of the voxels of a map (Z, Y, X) that another one changed."""
    old = before.reshape(-1)
    changed = np.flatnonzero(old != after.reshape(-1))
    if not changed.size:
        return ()
    held = old[changed]
    new_run = (np.diff(changed) > 1) | (np.diff(held) != 0)
    starts = np.concatenate([[0], np.flatnonzero(new_run) + 1])
    lengths = np.diff(np.append(starts, len(changed)))
    table = np.stack([changed[starts], lengths, held[starts].astype(np.int64)], axis=1)
    return tuple((int(first), int(length), int(value)) for first, length, value in table)


def undo_runs(after: np.ndarray, runs: Sequence[Run]) -> np.ndarray:
    """Return the map that `find_runs` compared with `after` (Z, Y, X)."""
    before = after.reshape(-1).copy()
    for first, length, value in runs:
        before[first : first + length] = value
    return before.reshape(after.shape)
