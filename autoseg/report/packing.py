"""Volumes as text for a page: few levels, differences along X, deflate, base64.

The page undoes it with the browser's own inflate (`viewer_volume.js`).
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

POSITIONS = 4096  # levels at most: 12 bits
CT_LOWEST = -1024.0  # HU, the first of 4096 levels; what lies outside is shown as the outermost
FINE_HU = (-192.0, 320.0)  # brain and soft tissue, where windows are narrow; multiples of 32
# HU between levels, inside and outside FINE_HU; the first that fits into the file is taken.
CT_STEPS = ((1, 1), (1, 4), (2, 8), (4, 16), (8, 32))
STEPS = (1, 2, 4, 8, 16)  # positions between levels of everything else
BITS_PER_VOXEL = 5.2  # 512x512x100 voxels are 23 MB of base64
SMALL = 1 << 21  # bytes that any image may take
TAILS = (0.1, 99.9)  # percentiles; beyond them one span more is told apart
SAMPLED_SLICES = 8  # to guess the size
TINIEST = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class Packed:
    """A volume as indices into `values`, (Z, Y, X), X fastest.

    `data`: base64 of zlib of `planes` blocks of bytes, the low bytes of all voxels first. A number
    there is the difference to the voxel before, d, as 2d, or -2d - 1 where it is negative; sums
    are modulo 65536. `beyond`: some voxels lie below the first, above the last value.
    """

    values: tuple[float, ...]
    planes: int
    data: str
    beyond: tuple[bool, bool] = (False, False)


@dataclass(frozen=True)
class _Scale:
    """Equidistant values low, low + unit, ...: `positions` of them."""

    low: float
    unit: float
    positions: int

    def place(self, array: np.ndarray) -> np.ndarray:
        """Return the nearest position (int64) of each value; outside, the first or the last."""
        steps = np.nan_to_num((array.astype(np.float64) - self.low) / self.unit)
        return np.rint(np.clip(steps, 0, self.positions - 1)).astype(np.int64)

    def beyond(self, array: np.ndarray) -> tuple[bool, bool]:
        """Tell whether values lie below the first position, above the last."""
        low, high = self.low - self.unit / 2, self.low + self.unit * (self.positions - 0.5)
        return bool((array < low).any()), bool((array > high).any())


def pack_image(image: np.ndarray, hounsfield: bool, bits: float = BITS_PER_VOXEL) -> Packed:
    """Return intensities (Z, Y, X) in as many levels as fit into `bits` a voxel.

    Whole numbers are kept as they are where that fits, those of a CT within -1024 to 3071 HU.
    """
    scale = _scale_of(image, hounsfield)
    allowed = max(SMALL, int(image.size * bits / 8))
    every = max(1, len(image) // SAMPLED_SLICES)
    sample = image[every // 2 :: every]
    for level_of in _levellings(scale, hounsfield):
        guess = len(_deflated(level_of, scale, sample)[0]) * image.size / sample.size
        if guess <= allowed:
            break
    data, planes = _deflated(level_of, scale, image)
    counts = np.bincount(level_of)
    centres = np.bincount(level_of, np.arange(scale.positions)) / counts
    digits = 3 - math.floor(math.log10(scale.unit))  # a thousandth of a step
    values = tuple(round(scale.low + scale.unit * float(centre), digits) for centre in centres)
    return Packed(values, planes, base64.b64encode(data).decode(), scale.beyond(image))


def pack_labels(label_map: np.ndarray) -> Packed:
    """Return a label map (Z, Y, X) of integers from 0 to 65535, exactly."""
    present = sorted({0}.union(*(np.unique(part).tolist() for part in label_map)))
    index_of = np.zeros(present[-1] + 1, dtype=np.int64)
    index_of[present] = np.arange(len(present))
    data, planes = _deflated(index_of, _Scale(0, 1, len(index_of)), label_map)
    return Packed(tuple(present), planes, base64.b64encode(data).decode())


def _scale_of(image: np.ndarray, hounsfield: bool) -> _Scale:
    if hounsfield:
        return _Scale(CT_LOWEST, 1.0, POSITIONS)
    finite = image if image.dtype.kind in "uib" else image[np.isfinite(image)]
    if finite.size == 0:
        return _Scale(0.0, 1.0, 1)
    lowest, highest = float(finite.min()), float(finite.max())
    if lowest == highest:
        return _Scale(lowest, abs(lowest) / 100 or 1.0, 1)
    if image.dtype.kind in "uib" and highest - lowest < POSITIONS:
        return _Scale(lowest, 1.0, int(highest - lowest) + 1)
    first, last = np.percentile(finite.reshape(-1)[:: max(1, finite.size >> 20)], TAILS)
    # A single hot voxel must not take the levels of everything else.
    low = max(lowest, float(2 * first - last)) if last > first else lowest
    high = min(highest, float(2 * last - first)) if last > first else highest
    return _Scale(low, max((high - low) / (POSITIONS - 1), TINIEST), POSITIONS)


def _levellings(scale: _Scale, hounsfield: bool) -> Iterator[np.ndarray]:
    """Yield the level of each position, from fine to coarse."""
    positions = np.arange(scale.positions)
    if not hounsfield:
        yield from (positions // step for step in STEPS)
        return
    for fine, coarse in CT_STEPS:
        hu = scale.low + positions
        first = np.where((hu >= FINE_HU[0]) & (hu < FINE_HU[1]), hu % fine == 0, hu % coarse == 0)
        first[0] = False  # level 0 begins there
        yield np.cumsum(first)


def _deflated(level_of: np.ndarray, scale: _Scale, volume: np.ndarray) -> tuple[bytes, int]:
    """Return zlib's bytes of the levels of `volume` (Z, Y, X), and how many bytes a voxel takes."""
    numbers = np.empty(volume.shape, dtype=np.uint16)
    before = 0
    for part, result in zip(volume, numbers, strict=True):  # slice by slice, to spare memory
        levels = level_of[scale.place(part)].ravel()
        steps = np.diff(levels, prepend=before).astype(np.int16).astype(np.int32)  # wraps around
        before = levels[-1]
        result[...] = np.where(steps < 0, -2 * steps - 1, 2 * steps).reshape(part.shape)
    planes = 1 if numbers.size == 0 or numbers.max() < 256 else 2
    # Runs only: on noise smaller than with all of deflate, in less than half the time.
    deflate = zlib.compressobj(6, strategy=zlib.Z_RLE)
    blocks: Sequence[bytes] = [
        deflate.compress((part >> (8 * plane)).astype(np.uint8).tobytes())
        for plane in range(planes)
        for part in numbers
    ]
    return b"".join([*blocks, deflate.flush()]), planes
