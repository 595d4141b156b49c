"""Random rotation and scaling of a patch, drawn before the patch is read.

Known in advance, the transform tells which voxels it will need. Exactly those are read: no padding
shows in the corners of a rotated patch, and an untransformed patch costs no more than itself.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoseg.config import TrainConfig
from autoseg.errors import UsageError
from autoseg.plan import Design, Triple

ALIKE = 1.1  # spacings of two axes between which a quarter turn may lead


@dataclass(frozen=True)
class Transforms:
    """How likely transforms are, and how far they go."""

    rotation: float  # probability
    scaling: float  # probability
    scales: tuple[float, float]  # how much of the scan a patch covers, relative to its own size
    quarter_turns: float = 0.0  # probability
    each_axis: float = 1.0  # probability of an axis to take part in a rotation
    same_scale: bool = True  # along all axes
    flat: bool = False  # within slices only
    rotation_degrees: tuple[float, float, float] = (30.0, 30.0, 30.0)  # about Z, Y, X, at most


TRANSFORMS = {
    "default": Transforms(rotation=0.2, scaling=0.2, scales=(0.7, 1.4)),
    "strong": Transforms(0.4, 0.2, (0.7, 1.43), 0.5, each_axis=0.5, same_scale=False),
}
KINDS = ("rotation", "scaling", "quarter_turns")


# With `augmentation_with`, where the augmentation has none.
ADDED = dataclasses.replace(TRANSFORMS["default"], quarter_turns=0.5)


def added_kinds(config: TrainConfig) -> dict[str, float | None]:
    """Return the kinds of change in `augmentation_with`, and their probability where it is said.

    Raises UsageError for a probability that cannot be one.
    """
    found: dict[str, float | None] = {}
    for entry in config.augmentation_with:
        name, separator, text = entry.partition("=")
        try:
            chance = float(text) if separator else None
        except ValueError:
            chance = -1.0
        if chance is not None and not 0 <= chance <= 1:
            raise UsageError(f"augmentation_with={entry}", expected="a probability from 0 to 1")
        found[name.strip()] = chance
    return found


def kinds_of(augmentation: str) -> tuple[str, ...]:
    """Return the kinds of transforms that an augmentation has."""
    transforms = TRANSFORMS.get(augmentation)
    return tuple(kind for kind in KINDS if transforms and getattr(transforms, kind))


def keeps_slices_apart(config: TrainConfig, design: Design) -> bool:
    """Tell whether changes of a 3-D patch must not mix its slices."""
    return design.dummy_2d if config.dummy_2d is None else config.dummy_2d and not design.is_2d


def transforms_of(config: TrainConfig, design: Design) -> Transforms | None:
    """Return what `draw_transform` is to do; None where the augmentation does without."""
    known = TRANSFORMS.get(config.augmentation)
    added = added_kinds(config)
    if known is None and not set(added) & set(KINDS):
        return None
    chances: dict[str, Any] = {}
    for kind in KINDS:
        chance = getattr(known, kind) if known and kind not in config.augmentation_without else 0.0
        if kind in added:
            own = added[kind]
            chance = getattr(ADDED, kind) if own is None else own
        chances[kind] = min(1.0, chance * config.augmentation_strength)
    apart = keeps_slices_apart(config, design)
    return dataclasses.replace(
        known or ADDED,
        **chances,
        flat=apart or design.is_2d,
        rotation_degrees=_rotation_degrees(design, apart),
    )


def _rotation_degrees(design: Design, apart: bool) -> tuple[float, float, float]:
    if apart == design.dummy_2d:
        return design.rotation_degrees
    return (180.0, 0.0, 0.0) if apart else (30.0, 30.0, 30.0)


def draw_transform(
    transforms: Transforms, spacing_mm: tuple[float, float, float], rng: np.random.Generator
) -> np.ndarray | None:
    """Return a (3, 3) matrix from patch offsets to scan offsets in voxels (Z, Y, X), or None.

    None (in 64 % of the draws of "default") means: as it is. Rotations are about the patch's
    centre, in millimetres, so that anatomy is not sheared on anisotropic voxels.
    """
    rotated, scaled = rng.random(2) < (transforms.rotation, transforms.scaling)
    turned = transforms.quarter_turns > 0 and rng.random() < transforms.quarter_turns
    turn = _quarter_turn(spacing_mm, transforms.flat, rng) if turned else None
    if not rotated and not scaled and turn is None:
        return None
    matrix = np.eye(3)
    if rotated:
        limits = np.deg2rad(transforms.rotation_degrees)
        angles = rng.uniform(-limits, limits)
        if transforms.each_axis < 1:
            angles = angles * (rng.random(3) < transforms.each_axis)
        matrix = rotation(angles)
    if turn is not None:
        matrix = matrix @ turn
    if rotated or turn is not None:
        matrix = matrix * np.asarray(spacing_mm) / np.asarray(spacing_mm)[:, None]
    if scaled:
        first = 1 if transforms.flat else 0
        if transforms.same_scale:
            matrix[first:] *= rng.uniform(*transforms.scales)
        else:
            matrix[first:] *= rng.uniform(*transforms.scales, (3 - first, 1))
    return matrix


def _quarter_turn(
    spacing_mm: tuple[float, float, float], flat: bool, rng: np.random.Generator
) -> np.ndarray | None:
    """Return a rotation by 90, 180 or 270 degrees in a plane of like voxels; None without one.

    Where slices are thick, an upright patch seen lying looks like no scan.
    """
    planes = ((1, 2),) if flat else ((1, 2), (0, 2), (0, 1))
    found = [
        about
        for about, (i, j) in enumerate(planes)
        if max(spacing_mm[i], spacing_mm[j]) <= ALIKE * min(spacing_mm[i], spacing_mm[j])
    ]
    if not found:
        return None
    angles = np.zeros(3)
    angles[rng.choice(found)] = np.pi / 2 * rng.integers(1, 4)
    return rotation(angles).round()


def rotation(angles: np.ndarray) -> np.ndarray:
    """Return the (3, 3) rotation by angles (3,) in radians about Z, then Y, then X; axes (Z, Y, X).

    >>> rotation(np.array([np.pi / 2, 0, 0])).round()[1:, 1:]  # in the plane of Y and X
    array([[ 0., -1.],
           [ 1.,  0.]])
    """
    matrix = np.eye(3)
    for axis, (i, j) in enumerate(((1, 2), (0, 2), (0, 1))):
        turn = np.eye(3)
        cosine, sine = np.cos(angles[axis]), np.sin(angles[axis])
        turn[i, i] = turn[j, j] = cosine
        turn[i, j], turn[j, i] = -sine, sine
        matrix = turn @ matrix
    return matrix


def covered_box(
    matrix: np.ndarray, centre: np.ndarray, patch_size: Triple, shape: Triple
) -> tuple[np.ndarray, np.ndarray]:
    """Return start and stop (3,) of the scan's voxels that the transformed patch can touch.

    `centre` (3,) is the patch's centre in voxel coordinates of the scan, of size `shape`. Linear
    interpolation looks at both neighbours, so the box reaches to them; it never leaves the scan and
    always holds one voxel at least.
    """
    reach = np.abs(matrix) @ ((np.asarray(patch_size) - 1) / 2)
    limit = np.asarray(shape)
    start = np.clip(np.floor(centre - reach).astype(int), 0, limit - 1)
    stop = np.clip(np.ceil(centre + reach).astype(int) + 1, start + 1, limit)
    return start, stop


def places_along_axes(
    matrix: np.ndarray, centre: np.ndarray, patch_size: Triple, shape: Triple
) -> np.ndarray:
    """Return where voxels of a patch come from, as a sum of three rows of (Z + Y + X, 3) float32.

    Voxel v of the patch comes from `centre + matrix @ (v - (patch_size - 1) / 2)` in voxels of an
    array of `shape`: the sum of row v[0], of row v[1] of those after the first Z, and of row v[2]
    of the rest. As torch's `grid_sample` wants it: (x, y, z), from -1 to 1 between outer faces.
    """
    size, rows = np.asarray(shape), []
    for axis, length in enumerate(patch_size):
        offsets = np.arange(length) - (length - 1) / 2
        rows.append(offsets[:, None] * (2 * matrix[:, axis] / size))
    rows[0] += (2 * np.asarray(centre) + 1) / size - 1
    return np.concatenate(rows)[:, ::-1].astype(np.float32)


def first_slice_of(matrix: np.ndarray, centre: np.ndarray, patch_size: Triple) -> int | None:
    """Return which slice of what was read slice 0 of the patch is, below 0 if it was not read.

    None where voxels of a slice come from several. `centre` as for `places_along_axes`.
    """
    apart = matrix[0, 0] == 1 and not matrix[0, 1:].any() and not matrix[1:, 0].any()
    first = float(centre[0]) - (patch_size[0] - 1) / 2
    return int(first) if apart and first.is_integer() else None
