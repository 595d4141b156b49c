"""Localise, then predict: of a large scan only what lies around its targets.

The first look is at the whole scan, by the first network alone, over tiles that overlap by a
quarter, not mirrored. It sees the scan as it was trained to; a coarser copy would cost less, but
shows everything in other sizes. Single voxels that look like a target are met in any scan, so what
counts is the mean probability of a small cube. The second stage of a cascade needs no look: it has
seen what the first one found.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from autoseg.inference.array_predictor import ArrayPredictor
from autoseg.inference.effort import WIDE_STEP
from autoseg.inference.probabilities import CERTAIN, NOWHERE
from autoseg.labels import Labels
from autoseg.preprocessing.crop import Box, crop, nonzero_box
from autoseg.preprocessing.prepare import Frame

LARGE = 8  # tiles: in a scan that is cut into no more than these, little can be spared
CELL_MM = 10.0  # side of such a cube
LIKELY = 0.1  # mean probability of all targets together from which it is worth a second look


def predict_localised(
    predict: ArrayPredictor, array: np.ndarray, frame: Frame
) -> tuple[Tensor, Box | None]:
    """Return the scores (channels, z, y, x) of a prepared `array` (C, z, y, x), and where it was.

    None: `predict` does not localise, or the array is not large. NOWHERE: the first look found
    nothing, so all of the array was predicted. Else the box (half-open, prepared voxels) outside of
    which background is certain, because nothing was found within `margin_mm`.
    """
    if predict.margin_mm is None or predict.tiles(array.shape[1:]) <= LARGE:
        return predict(array), None
    spacing = frame.prepared_spacing
    found = _found_before(array) if predict.cascade else _first_look(predict, array, spacing)
    if found == NOWHERE:
        return predict(array), NOWHERE
    shape, patch = array.shape[1:], predict.design.patch_size
    box = _around(found, shape, spacing, predict.margin_mm, patch)
    inside = predict(crop(array, box))
    with torch.inference_mode():
        scores = _background(inside, shape, predict.plan.labels)
        z, y, x = (slice(*side) for side in box)
        scores[:, z, y, x] = inside
    return scores, box


def _first_look(predict: ArrayPredictor, array: np.ndarray, spacing: Sequence[float]) -> Box:
    networks = predict.networks[:1]
    look = dataclasses.replace(predict, networks=networks, flips=((),), step=WIDE_STEP)
    return likely_box(look(array), predict.plan.labels, spacing)


@torch.inference_mode()
def likely_box(scores: Tensor, labels: Labels, spacing: Sequence[float]) -> Box:
    """Return the box around all cubes of `scores` (channels, z, y, x) that are worth a second look.

    NOWHERE without any. `spacing` (z, y, x) in mm. Exclusive targets count together, of overlapping
    ones the likeliest. Slab by slab, which takes no memory.
    """
    deep, *flat = (max(1, round(CELL_MM / mm)) for mm in spacing)
    slabs = []
    for z in range(0, scores.shape[1], deep):
        part = scores[:, z : z + deep].float()
        odds = torch.logsumexp(part[1:] - part[0], 0) if labels.exclusive else part.amax(0)
        mean = odds.sigmoid().mean(0, keepdim=True)
        slabs.append(functional.avg_pool2d(mean, flat, ceil_mode=True))
    likely = (torch.cat(slabs) > LIKELY).cpu().numpy()
    if not likely.any():
        return NOWHERE
    z_side, y_side, x_side = (
        (start * cell, min(stop * cell, size))
        for (start, stop), cell, size in zip(
            nonzero_box(likely[None]), (deep, *flat), scores.shape[1:], strict=True
        )
    )
    return z_side, y_side, x_side


def _found_before(array: np.ndarray) -> Box:
    """Return the box of what the previous stage found: value indices in the last channel."""
    return nonzero_box(array[-1:]) if array[-1].any() else NOWHERE


def _around(
    box: Box,
    shape: Sequence[int],
    spacing: Sequence[float],
    margin_mm: float,
    patch_size: Sequence[int],
) -> Box:
    """Return `box` with a margin, and as large as a patch where the array of `shape` is."""
    sides = []
    for (start, stop), size, mm, patch in zip(box, shape, spacing, patch_size, strict=True):
        margin = math.ceil(margin_mm / mm)
        begin, end = max(0, start - margin), min(size, stop + margin)
        length = max(end - begin, min(patch, size))
        begin = min(max(0, begin - (length - (end - begin)) // 2), size - length)
        sides.append((begin, begin + length))
    return sides[0], sides[1], sides[2]


def _background(like: Tensor, shape: Sequence[int], labels: Labels) -> Tensor:
    """Return scores of certain background (channels, *shape), of the kind of `like`."""
    sure = 2 * CERTAIN  # beyond doubt for many targets together, too
    scores = like.new_full((labels.channels, *shape), 0.0 if labels.exclusive else -sure)
    if labels.exclusive:
        scores[0] = sure
    return scores
