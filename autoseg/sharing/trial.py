"""A made-up scan that every bundle carries as a few numbers, drawn alike on every computer.

A body in nothing (or in air), organs, texture and noise, in the intensities of the training data,
on a grid that is neither canonical nor of the prepared spacing: so turning, cropping, normalising,
resampling, tiling and mirroring all take part. Whole numbers up to the last step: no generator of
random numbers whose stream a later version may change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from autoseg.errors import CorruptError
from autoseg.image import Geometry, Image
from autoseg.labels import Labels
from autoseg.plan import Configuration, Design, Plan, Triple

SEED = 20240229
EDGE = 48  # voxels of a tile at most, where the network allows it: seconds on a laptop
LONGER = 0.25  # how much the scan sticks out of the tile along its longest axis
SLICES = 3  # of a scan for a 2-D model
COARSER = (1.1, 1.25, 0.9)  # voxels of the scan / prepared voxels, plan axis order
THICKER = 2.5  # slices of a 2-D model's scan / its pixels
MARGIN = 2  # voxels around the body
TURNED = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, -1.0)  # stored towards head, front and right
AIR = -1000.0  # HU around the body of a CT
CELL = 6  # voxels; texture varies over about twice as much
# Organs: centre and radii in parts of the body, and how much brighter, in standard deviations.
ORGANS = (
    ((0.45, 0.42, 0.34), (0.34, 0.24, 0.22), 1.4),
    ((0.55, 0.60, 0.72), (0.26, 0.18, 0.14), -1.1),
    ((0.40, 0.38, 0.30), (0.13, 0.10, 0.11), 0.9),
    ((0.65, 0.28, 0.60), (0.12, 0.10, 0.10), 6.0),  # beyond what a CT is clipped to, either way
    ((0.35, 0.72, 0.50), (0.12, 0.10, 0.10), -6.0),
)
TEXTURE, NOISE = 0.9, 0.3  # standard deviations
MOST_VOXELS = 1 << 25  # of a scan from elsewhere
GREY_LEVELS = 64  # in a standard deviation; a CT has whole Hounsfield units


@dataclass(frozen=True)
class Look:
    """Intensities of one channel."""

    mean: float
    std: float
    outside: float
    step: float  # between neighbouring values


@dataclass(frozen=True)
class Trial:
    """A made-up scan, and how a network looks at it; nothing in it is read from the plan again."""

    seed: int
    shape: Triple  # voxels (Z, Y, X)
    spacing: tuple[float, float, float]  # mm
    direction: tuple[float, ...]
    channels: tuple[Look, ...]
    tile: Triple  # voxels, plan axis order: the patch, or a smaller one
    step: float
    mirror: str
    image_sha256: str


def check_trial(trial: Trial, channels: int, patch: Triple) -> None:
    """Raise CorruptError for a scan from elsewhere that would fill the memory, or fits no model."""
    sizes = (*trial.shape, *trial.tile)
    fits = (
        len(trial.channels) == channels
        and len(trial.direction) == 9
        and min(sizes) >= 1
        and prod(trial.shape) <= MOST_VOXELS
        and all(0 < own <= largest for own, largest in zip(trial.tile, patch, strict=True))
        and all(0 < mm < float("inf") for mm in trial.spacing)
        and all(look.step > 0 for look in trial.channels)
        and 0.1 <= trial.step <= 1
    )
    if not fits:
        raise CorruptError("the scan of the test case fits no model of this plan")


def make_trial(plan: Plan, settings: Configuration, design: Design, any_size: bool) -> Trial:
    """Return the scan for a model; `any_size`: its network takes tiles smaller than the patch."""
    tile = choose_tile(design) if any_size else design.patch_size
    wanted = [SLICES, *tile[1:]] if design.is_2d else list(tile)
    longest = int(np.argmax(tile))
    wanted[longest] += round(tile[longest] * LONGER)
    own = THICKER * min(s for s in settings.spacing if s is not None)
    prepared = [own if s is None else float(s) for s in settings.spacing]
    shape, spacing = [0, 0, 0], [0.0, 0.0, 0.0]
    for axis, size, mm, factor in zip(plan.axis_order, wanted, prepared, COARSER, strict=True):
        factor = 1.0 if settings.is_2d and axis == plan.axis_order[0] else factor
        shape[axis] = max(1, round(size / factor))
        spacing[axis] = round(mm * factor, 6)
    looks = tuple(_look(plan, settings, channel) for channel in range(len(plan.channels)))
    trial = Trial(
        SEED, (shape[0], shape[1], shape[2]), (spacing[0], spacing[1], spacing[2]), TURNED, looks,
        tile, 0.5, "half", "",
    )  # fmt: skip
    return replace(trial, image_sha256=image_hash(draw(trial)))


def choose_tile(design: Design) -> Triple:
    """Return the largest tile of at most EDGE voxels an axis that the strides divide."""
    edges = []
    for axis, patch in enumerate(design.patch_size):
        divisor = prod(stride[axis] for stride in design.network.strides)
        # Two voxels at least in the coarsest stage, or there is nothing to normalise.
        most = max(EDGE, 2 * divisor) // divisor * divisor
        edges.append(min(patch, most))
    return edges[0], edges[1], edges[2]


def _look(plan: Plan, settings: Configuration, channel: int) -> Look:
    ct = settings.normalizers[channel] == "ct"
    stats = plan.intensities[channel] if channel < len(plan.intensities) else None
    mean, std = (stats.mean, stats.std) if stats else (0.0, 1.0)
    std = std if std > 0 else 1.0
    return Look(mean, std, AIR if ct else 0.0, 1.0 if ct else std / GREY_LEVELS)


def image_hash(image: Image) -> str:
    """Return the SHA-256 of the intensities."""
    return hashlib.sha256(np.ascontiguousarray(image.array, "<f4").tobytes()).hexdigest()


def draw(trial: Trial) -> Image:
    """Return the scan (C, Z, Y, X) float32."""
    places = [_places(size) for size in trial.shape]
    z, y, x = np.meshgrid(*places, indexing="ij", sparse=True)
    body = z**4 + y**4 + x**4 <= 1
    level = np.zeros(trial.shape)
    for centre, radii, brighter in ORGANS:
        level[_ellipsoid((z, y, x), centre, radii)] += brighter
    channels = []
    for number, look in enumerate(trial.channels):
        seed = trial.seed + 1000 * number
        # Every channel shows other organs brighter: they are not copies of each other.
        deviation = level * (1 - 0.5 * number) + TEXTURE * _texture(trial.shape, seed)
        deviation += NOISE * _noise(trial.shape, seed + 1)
        values = np.rint((look.mean + look.std * deviation) / look.step) * look.step
        channels.append(np.where(body, values, look.outside))
    array = np.stack(channels).astype(np.float32)
    return Image(array, Geometry(trial.shape, trial.spacing, direction=trial.direction))


def draw_labels(trial: Trial, labels: Labels) -> np.ndarray:
    """Return a label map (Z, Y, X) that a previous stage might predict: organs, value by value."""
    places = [_places(size) for size in trial.shape]
    z, y, x = np.meshgrid(*places, indexing="ij", sparse=True)
    label_map = np.zeros(trial.shape, dtype=labels.dtype)
    for number, (centre, radii, _) in enumerate(ORGANS):
        value = labels.values[number % len(labels.values)]
        label_map[_ellipsoid((z, y, x), centre, radii)] = value
    return label_map


def _places(size: int) -> np.ndarray:
    """Return where voxels lie along one axis: -1 to 1 in the body, more in the margin."""
    margin = MARGIN if size > 4 * MARGIN else 0
    inner = size - 2 * margin
    return (2 * (np.arange(size) - margin) + 1 - inner) / inner


def _ellipsoid(
    grid: Sequence[np.ndarray], centre: Sequence[float], radii: Sequence[float]
) -> np.ndarray:
    parts = [((a + 1) / 2 - c) / r for a, c, r in zip(grid, centre, radii, strict=True)]
    return parts[0] ** 2 + parts[1] ** 2 + parts[2] ** 2 <= 1


def _texture(shape: Triple, seed: int) -> np.ndarray:
    """Return smooth values, mostly in -1 to 1: a coarse chess board of chance, averaged."""
    coarse = tuple(-(-size // CELL) + 2 for size in shape)
    field = _chance(coarse, seed).astype(np.int64)
    for axis, size in enumerate(shape):
        field = np.repeat(field, CELL, axis)
        sums = np.cumsum(field, axis)
        width = CELL - 1
        upper = np.take(sums, range(width, width + size), axis)
        field = upper - np.take(sums, range(size), axis)
    average = field / float((CELL - 1) ** 3 * 0xFFFF)
    return 2.0 * (2 * average - 1)


def _noise(shape: Triple, seed: int) -> np.ndarray:
    """Return noise of about standard deviation one: the sum of three dice, as a bell."""
    dice = sum(_chance(shape, seed + throw).astype(np.int64) for throw in range(3))
    return np.asarray(2 * (dice / 0xFFFF - 1.5))


def _chance(shape: Sequence[int], seed: int) -> np.ndarray:
    """Return whole numbers 0 to 65535: the voxel's number, hashed by two rounds of xor-multiply."""
    number = np.arange(prod(shape), dtype=np.uint32) + np.uint32(seed * 2654435769 % 2**32)
    number ^= number >> np.uint32(16)
    number *= np.uint32(0x7FEB352D)
    number ^= number >> np.uint32(15)
    number *= np.uint32(0x846CA68B)
    number ^= number >> np.uint32(16)
    return (number >> np.uint32(16)).reshape(shape)
