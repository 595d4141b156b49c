"""Does a label lie on something? The only check that ties labels to what the image shows.

A label that was moved away from its organ has a perfect header. What gives it away, without any
prior: it holds a mixture of tissues where the organ holds one, and what it holds is what lies
around it as well. Both are compared with the same mask displaced at random in the same image.

- *spread*: p90 - p10 of the image inside. *rank*: the share of displacements with a clearly smaller
  one.
- *grain*: the same among 27 neighbours, in the median: what noise and texture alone make of it.
- *contrast*: the largest distance between the cumulative histograms inside and in a shell around
  it (Kolmogorov and Smirnov's; 0 the same, 1 apart). *blend*: the share of displacements with a
  greater one.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from autoseg.image import Geometry, Image
from autoseg.labels import Labels

DISPLACEMENTS = 200
FEWEST_DISPLACEMENTS = 40  # where the target fills the image there is no room for more
FARTHEST_TRIED = 6  # times as many displacements are drawn; those that leave the image are no use
NEAR, FAR = 0.25, 0.75  # of the bounding box, along every axis
CLEARLY = 0.8  # of its spread: by chance alone half of all are smaller in one and the same tissue
INSIDE_IMAGE = 0.6  # of a displaced mask
SAMPLED = 500  # voxels of the target, and of the shell
DRAWN_FROM = 1 << 22  # voxels of the target; to number more takes memory
FEWEST_VOXELS = 100
LARGEST_CUT = 0.25  # of the target's voxels that lie on a face of the image: most is missing
SHELL_RADII = 0.4  # thickness, as a part of the radius of a ball of the target's volume
SHELL_VOXELS = 2.0  # but at least, of the smallest voxel size
STEPS = 4.0  # from neighbour to neighbour in the shell's thickness
UNIT_BALLS = {1: 2.0, 2: np.pi, 3: 4 * np.pi / 3}  # volume by the number of dimensions
NEIGHBOURS = np.indices((3, 3, 3)).reshape(3, -1).T - 1


@dataclass(frozen=True)
class Coherence:
    """How one target lies in one image; of several channels, in the one where it is seen best."""

    case: str
    target: str
    voxels: int
    spread: float  # in the image's units, as `grain`
    grain: float
    rank: float
    contrast: float
    blend: float
    channel: int  # that one


class _Samples(NamedTuple):
    """Voxel indices (N, 3) in the image, of the target and of the shell around it."""

    inside: np.ndarray
    shell: np.ndarray
    size: np.ndarray  # (3,) voxels of the bounding box
    step: np.ndarray  # (3,) voxels between neighbours


class _Compared(NamedTuple):
    spread: float
    grain: float
    rank: float
    contrast: float
    blend: float


def measure_coherence(
    case: str, image: Image, label_map: np.ndarray, labels: Labels, annotated: Collection[str]
) -> list[Coherence]:
    """Return how each of the `annotated` targets of `label_map` (Z, Y, X) lies in the image.

    Left out are targets with fewer than 100 voxels, cut by the edge of the image, or so large in it
    that they cannot be displaced. The same data give the same numbers.
    """
    boxes = ndimage.find_objects(label_map)
    measured = []
    for target in labels.names:
        values = labels.targets[target]
        found = [boxes[v - 1] for v in values if v <= len(boxes) and boxes[v - 1] is not None]
        if target not in annotated or not found:
            continue
        box = tuple(
            slice(min(b[axis].start for b in found), max(b[axis].stop for b in found))
            for axis in range(3)
        )
        mask = np.isin(label_map[box], values)
        voxels = int(mask.sum())
        if voxels < FEWEST_VOXELS or _cut(mask, box, label_map.shape) > LARGEST_CUT:
            continue
        rng = np.random.default_rng(zlib.crc32(f"{case}/{target}".encode()))
        samples = _sample(mask, box, voxels, image.geometry, rng)
        shifts = _displacements(samples, image.geometry.shape, rng)
        if len(samples.shell) < FEWEST_VOXELS or len(shifts) <= FEWEST_DISPLACEMENTS:
            continue
        channels = [_compare(channel, samples, shifts) for channel in image.array]
        best = max(range(len(channels)), key=lambda channel: channels[channel].contrast)
        measured.append(Coherence(case, target, voxels, *channels[best], best))
    return measured


def _cut(mask: np.ndarray, box: tuple[slice, ...], shape: tuple[int, ...]) -> float:
    """Return the share of the target on the image's faces; flat axes have none."""
    on_face = 0
    for axis, part in enumerate(box):
        if shape[axis] > 3:
            on_face += mask.take(0, axis).sum() * (part.start == 0)
            on_face += mask.take(-1, axis).sum() * (part.stop == shape[axis])
    return float(on_face / mask.sum())


def _sample(
    mask: np.ndarray,
    box: tuple[slice, ...],
    voxels: int,
    grid: Geometry,
    rng: np.random.Generator,
) -> _Samples:
    corner = np.array([part.start for part in box])
    step = voxels // DRAWN_FROM | 1  # odd: no stripes along a row of 2^n
    held = np.flatnonzero(mask.reshape(-1)[::step]) * step
    inside = _indices(rng.choice(held, min(SAMPLED, len(held)), replace=False), mask.shape)
    spacing, wide = np.asarray(grid.spacing), np.array(grid.shape) > 1
    ball = voxels * spacing[wide].prod() / UNIT_BALLS[int(wide.sum())]
    thickness = max(SHELL_RADII * ball ** (1 / wide.sum()), SHELL_VOXELS * spacing[wide].min())
    surface = np.flatnonzero(_surface(mask))
    start = _indices(surface[rng.integers(0, len(surface), 8 * SAMPLED)], mask.shape)
    direction = rng.normal(size=(len(start), 3)) * wide
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    reach = direction * rng.uniform(0, thickness, (len(start), 1)) / spacing
    shell = start + np.rint(reach).astype(np.int64)
    padded = np.pad(mask, 1)
    near = np.clip(shell + 1, 0, np.array(padded.shape) - 1)
    outside = ~padded[tuple(near.T)] & _within(shell + corner, grid.shape)
    step = np.maximum(1, np.rint(thickness / STEPS / spacing)).astype(np.int64)
    shell = shell[outside][:SAMPLED] + corner
    return _Samples(inside + corner, shell, np.array(mask.shape), step * wide)


def _indices(flat: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.stack(np.unravel_index(flat, shape), axis=1)


def _surface(mask: np.ndarray) -> np.ndarray:
    """Return the voxels of `mask` (Z, Y, X) with a neighbour, across a face, that is not in it."""
    padded = np.pad(mask, 1)
    core = mask.copy()
    for axis in range(3):
        for step in (0, 2):
            part = [slice(1, -1)] * 3
            part[axis] = slice(step, step + mask.shape[axis])
            core &= padded[tuple(part)]
    return mask & ~core


def _within(points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Tell which of the voxel indices (..., 3) lie in an image of this shape."""
    return np.asarray(((points >= 0) & (points < np.asarray(shape))).all(-1))


def _displacements(
    samples: _Samples, shape: tuple[int, ...], rng: np.random.Generator
) -> np.ndarray:
    """Return (1 + D, 3) voxels: none at all, then up to 200 that leave most of it in the image."""
    drawn = (FARTHEST_TRIED * DISPLACEMENTS, 3)
    shifts = rng.uniform(NEAR, FAR, drawn) * rng.choice([-1, 1], drawn) * samples.size
    shifts = np.rint(shifts).astype(np.int64)
    kept = _within(samples.inside[None, :64] + shifts[:, None], shape).mean(1) >= INSIDE_IMAGE
    return np.concatenate([np.zeros((1, 3), np.int64), shifts[kept][:DISPLACEMENTS]])


def _compare(channel: np.ndarray, samples: _Samples, shifts: np.ndarray) -> _Compared:
    """Return how the samples lie in one channel (Z, Y, X), beside where the shifts bring them."""
    inside, counted = _read(channel, samples.inside, shifts)
    shell, around = _read(channel, samples.shell, shifts)
    spread = _spread(np.sort(inside, axis=1), counted)
    contrast = _contrast(inside, shell, counted, around)
    return _Compared(
        float(spread[0]),
        _grain(channel, samples),
        float((spread[1:] < CLEARLY * spread[0]).mean()),
        float(contrast[0]),
        float((contrast[1:] > contrast[0]).mean()),
    )


def _read(
    channel: np.ndarray, points: np.ndarray, shifts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the values (D, N) of displaced points, infinite outside, and how many are inside."""
    places = points[None] + shifts[:, None]
    within = _within(places, channel.shape)
    z, y, x = np.where(within[..., None], places, 0).transpose(2, 0, 1)
    values = channel[z, y, x].astype(np.float32)
    values[~within] = np.inf
    return values, within.sum(1)


def _spread(ordered: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Return p90 - p10 of the first `counted` (D,) of each row of sorted values (D, N)."""
    at = np.rint(np.multiply.outer([0.1, 0.9], np.maximum(counted - 1, 0))).astype(np.int64)
    low, high = (np.take_along_axis(ordered, k[:, None], axis=1)[:, 0] for k in at)
    return high - low


def _grain(channel: np.ndarray, samples: _Samples) -> float:
    places = samples.inside[:, None] + NEIGHBOURS * samples.step
    z, y, x = np.clip(places, 0, np.array(channel.shape) - 1).transpose(2, 0, 1)
    ordered = np.sort(channel[z, y, x].astype(np.float32), axis=1)
    return float(np.median(_spread(ordered, np.full(len(ordered), len(NEIGHBOURS)))))


def _contrast(
    inside: np.ndarray, shell: np.ndarray, counted: np.ndarray, around: np.ndarray
) -> np.ndarray:
    """Return the largest distance of the cumulative histograms of each row, (D,)."""
    values = np.concatenate([inside, shell], axis=1)
    weights = np.concatenate(
        [
            np.where(np.isinf(inside), 0, 1 / np.maximum(counted, 1)[:, None]),
            np.where(np.isinf(shell), 0, -1 / np.maximum(around, 1)[:, None]),
        ],
        axis=1,
    )
    order = np.argsort(values, axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    distance = np.cumsum(np.take_along_axis(weights, order, axis=1), axis=1)
    ends = np.ones_like(ordered, dtype=bool)  # equal values count together
    ends[:, :-1] = ordered[:, 1:] > ordered[:, :-1]
    return np.abs(np.where(ends, distance, 0)).max(axis=1)
