"""The traits of a scan: where its values lie, how large it is, what meets its faces.

Cheap next to reading it: some ten thousand voxels, spread over the scan, and its six faces.
Values of exactly zero are margins in scans that were cut out, so they do not count.

Per channel
  p1 ... p99            percentiles, in the scan's own numbers
  zero                  how far below the 1st percentile zero lies, in spans (99th minus 1st)
  s5 ... s95            where the percentiles lie between the 1st (0) and the 99th (1)
  below, above          how far the extremes lie outside of these two, in spans
  face z0 ... x1        mean of the outermost slices, between the 1st (0) and the 99th (1)
Per pair of channels    their correlation
Grid                    voxel z, y, x and extent z, y, x in mm; volume in ml (inside the margins)
"""

from __future__ import annotations

from itertools import combinations
from math import prod

import numpy as np

from autoseg.image import Geometry, Image, canonical_orientation, reorient
from autoseg.labels import Labels
from autoseg.preprocessing.crop import Box, crop, nonzero_box
from autoseg.preprocessing.resample_labels import value_boxes
from autoseg.usual import Sections, Traits

SAMPLED_VOXELS = 1 << 16  # spread over a scan: its 1st percentile moves by a fiftieth of a spread
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
INNER = PERCENTILES[1:-1]
AXES = "zyx"
# Slices near a face. Networks hardly ever find targets in the outermost two, where training showed
# them none: a hippocampus that was cut through ended there (RESULTS.md).
NEAR = 3
FACE_TRAITS = tuple(f"face {axis}{end}" for axis in AXES for end in (0, 1))  # low, high end


def traits_of(image: Image, box: Box | None = None) -> Traits:
    """Return the traits of `image` (C, Z, Y, X); axes are those of the canonical orientation.

    `box` is what `nonzero_box` says of it, for those who know it already.
    """
    orientation = canonical_orientation(image.geometry.direction_matrix)
    inside = crop(image.array, box or nonzero_box(image.array))
    turned = orientation.apply(inside)
    spacing = reorient(image.geometry, orientation).spacing
    sample = _sample(turned)
    channels = tuple(_channel(values, part) for values, part in zip(sample, turned, strict=True))
    return Traits(_grid(turned.shape[1:], spacing), channels, _pairs(sample))


def _grid(shape: tuple[int, ...], spacing: tuple[float, ...]) -> dict[str, float]:
    extent = [n * mm for n, mm in zip(shape, spacing, strict=True)]
    found = {f"voxel {axis}": mm for axis, mm in zip(AXES, spacing, strict=True)}
    found |= {f"extent {axis}": mm for axis, mm in zip(AXES, extent, strict=True)}
    return found | {"volume": prod(extent) / 1000}


def _sample(turned: np.ndarray) -> np.ndarray:
    """Return values (C, n) of voxels spread over `turned` (C, Z, Y, X), zero in no channel."""
    z, y, x = turned.shape[1:]
    # Strides along the axes instead of one through all: no copy, whatever the memory order.
    thin = max(1, round((z * y * x / SAMPLED_VOXELS) ** 0.5))
    values = turned[:, :, ::thin, ::thin].reshape(len(turned), -1).astype(np.float32)
    kept = values[:, (values != 0).any(0)]
    return kept if kept.shape[1] else values


def _channel(values: np.ndarray, whole: np.ndarray) -> dict[str, float]:
    """Return the traits of one channel: sampled `values` (n,), all of it (Z, Y, X)."""
    values = values[values != 0] if values.any() else values
    levels = [float(level) for level in np.percentile(values, PERCENTILES)]
    low, high = levels[0], levels[-1]
    span = high - low
    if span <= 0:
        return {}
    found = {f"p{p}": level for p, level in zip(PERCENTILES, levels, strict=True)}
    found["zero"] = -low / span
    found |= {f"s{p}": (found[f"p{p}"] - low) / span for p in INNER}
    found["below"] = (low - float(values.min())) / span
    found["above"] = (float(values.max()) - high) / span
    return found | {
        name: float(np.clip((_face(whole, name) - low) / span, 0, 1).mean())
        for name in FACE_TRAITS
        if whole.shape[AXES.index(name[-2])] > 1  # a picture has no border along Z
    }


def _face(whole: np.ndarray, name: str) -> np.ndarray:
    face = np.take(whole, -int(name[-1]), AXES.index(name[-2]))
    return face.astype(np.float32, copy=False)


def _pairs(sample: np.ndarray) -> dict[str, float]:
    if len(sample) < 2 or sample.shape[1] < 2:
        return {}
    spread = sample.std(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        together = np.corrcoef(sample)
    return {
        f"{a} {b}": float(together[a, b])
        for a, b in combinations(range(len(sample)), 2)
        if spread[a] > 0 and spread[b] > 0
    }


def sections(
    label_map: np.ndarray,
    labels: Labels,
    geometry: Geometry,
    near: tuple[int, int, int] = (NEAR, NEAR, NEAR),
) -> dict[str, Sections]:
    """Return the sections of each target that `label_map` (Z, Y, X; file values) shows.

    `near` is how many slices across each canonical axis count as near a face.
    """
    boxes = value_boxes(label_map)
    found = {}
    for name, values in labels.targets.items():
        own = [boxes[value] for value in values if value in boxes]
        if own:
            box = tuple(
                slice(min(b[axis].start for b in own), max(b[axis].stop for b in own))
                for axis in range(3)
            )
            found[name] = _sections(labels.mask(label_map[box], name), box, geometry, near)
    return found


def _sections(
    inside: np.ndarray, box: tuple[slice, ...], geometry: Geometry, near: tuple[int, int, int]
) -> Sections:
    """Return the sections of a target: `inside` is true where it is within its `box`."""
    orientation = canonical_orientation(geometry.direction_matrix)
    largest: list[float] = []
    ends: tuple[list[float], list[float]] = [], []  # faces, near
    for axis, source in enumerate(orientation.permutation):
        others = tuple(other for other in range(3) if other != source)
        pixel_mm2 = prod(geometry.spacing[other] for other in others)
        areas = np.count_nonzero(inside, axis=others) * pixel_mm2
        largest.append(float(areas.max()))
        before, after = box[source].start, geometry.shape[source] - box[source].stop
        for side, depth in zip(ends, (1, near[axis]), strict=True):
            # A picture has no border along Z.
            depth = depth if geometry.shape[source] > 1 else 0
            low = areas[: max(0, depth - before)]
            high = areas[::-1][: max(0, depth - after)]
            pair = (high, low) if axis in orientation.flips else (low, high)
            side += [float(part.max(initial=0.0)) for part in pair]
    return Sections(tuple(largest), tuple(ends[0]), tuple(ends[1]))
