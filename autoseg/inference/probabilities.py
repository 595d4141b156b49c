"""Scores of a scan become the probabilities that are saved: on the scan's grid, in a tight box."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from autoseg.image import Geometry
from autoseg.inference.export import restore_probabilities
from autoseg.labels import Labels
from autoseg.preprocessing.crop import Box, crop
from autoseg.preprocessing.prepare import Frame, restore_operators
from autoseg.probabilities import write_probabilities

CERTAIN = 8.0  # logit of background above which nothing is kept: all targets share 0.00034 then
NOWHERE: Box = ((0, 0), (0, 0), (0, 0))

Members = Sequence[tuple[Tensor, Frame]]


def save_probabilities(path: Path, members: Members, labels: Labels) -> None:
    """Write the mean probabilities of several models' scores (channels, z, y, x) of one scan.

    They differ from the exact ones by at most 0.00034: float16 rounds by up to 0.00025, and outside
    the box the targets together have less than 0.00034.
    """
    frame = members[0][1]
    box = uncertain_box(members, labels)
    if box == NOWHERE:
        save_certain_background(path, frame.source, labels)
        return

    def fill(array: np.ndarray) -> None:
        restore_probabilities(members, labels, box, frame.turn(array))

    write_probabilities(path, frame.source, _on_source(box, frame), labels, fill)


def save_certain_background(path: Path, geometry: Geometry, labels: Labels) -> None:
    """Write the probabilities of a scan in which nothing was searched."""
    write_probabilities(path, geometry, NOWHERE, labels, lambda _: None)


@torch.inference_mode()
def whole_probabilities(members: Members, labels: Labels) -> np.ndarray:
    """Return the mean probabilities (channels, Z, Y, X) float32 on the whole source grid.

    Everything at once: for large scans with many targets, save them instead.
    """
    frame = members[0][1]
    z, y, x = frame.cropped_shape
    array = np.zeros((labels.channels, *frame.source.shape), np.float32)
    if labels.exclusive:
        array[0] = 1.0
    view = crop(frame.turn(array), frame.box)
    restore_probabilities(members, labels, ((0, z), (0, y), (0, x)), view)
    return array


@torch.inference_mode()
def uncertain_box(members: Members, labels: Labels) -> Box:
    """Return the box, in voxels of the frames' box, outside of which all members are certain.

    A restored score is a mean of neighbours, with weights that sum to one, and the log of the odds
    against background is a convex function of the scores: where it is small at all neighbours it is
    small between them.
    """
    boxes = [_restored(_uncertain_prepared(s, labels), frame) for s, frame in members]
    boxes = [box for box in boxes if all(stop > start for start, stop in box)]
    if not boxes:
        return NOWHERE
    z, y, x = (
        (min(start for start, _ in sides), max(stop for _, stop in sides))
        for sides in zip(*boxes, strict=True)
    )
    return z, y, x


def _uncertain_prepared(scores: Tensor, labels: Labels) -> Box:
    """Return the box in voxels of the prepared grid; slice by slice, which takes no memory."""
    lines = [torch.zeros(size, dtype=torch.bool, device=scores.device) for size in scores.shape[1:]]
    for z in range(scores.shape[1]):
        part = scores[:, z].float()
        odds = torch.logsumexp(part[1:] - part[0], 0) if labels.exclusive else part.amax(0)
        unsure = odds > -CERTAIN
        lines[0][z] = unsure.any()
        lines[1] |= unsure.any(1)
        lines[2] |= unsure.any(0)
    z_side, y_side, x_side = (_extent(line.cpu().numpy()) for line in lines)
    return z_side, y_side, x_side


def restored_box(box: Box, frame: Frame) -> Box:
    """Return a `box` of prepared voxels in voxels (Z, Y, X) of the scan."""
    return _on_source(_restored(box, frame), frame)


def _on_source(box: Box, frame: Frame) -> Box:
    z, y, x = (
        (start + offset, stop + offset)
        for (start, stop), (offset, _) in zip(box, frame.box, strict=True)
    )
    return frame.source_box((z, y, x))


def _restored(box: Box, frame: Frame) -> Box:
    """Return the rows, in voxels of the frame's box, that are made from anything in `box`."""
    sides = []
    for (start, stop), matrix in zip(box, restore_operators(frame), strict=True):
        if matrix is not None:
            start, stop = _extent(np.any(matrix[:, start:stop], axis=1))
        sides.append((start, stop))
    return sides[0], sides[1], sides[2]


def _extent(line: np.ndarray | np.bool_) -> tuple[int, int]:
    found = np.flatnonzero(line)
    return (int(found[0]), int(found[-1]) + 1) if found.size else (0, 0)
