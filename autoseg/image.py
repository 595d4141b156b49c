"""Voxel grids in the scanner room, and the glossary of axis letters used everywhere.

Letters: B batch, C channels, K targets, Z Y X space (the order of every array), S any space,
P patch.
World axes are named in the same reversed order as arrays: (z, y, x) of the LPS convention, in mm.
*Canonical* means: array axis Z points most nearly along +z (head), Y along +y (back), X along +x
(left).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SPACING_TOLERANCE = 1e-3  # relative; or SPACING_TOLERANCE_MM, whichever is larger
SPACING_TOLERANCE_MM = 1e-4
ORIGIN_TOLERANCE_MM = 1e-2  # real data differ by 3e-4 (MSD liver)
DIRECTION_TOLERANCE = 1e-3

# How scans are turned before anything else: to canonical orientation, not at all, or, as readers
# of nnU-Net that reorient do, with Y towards the front and X towards the right.
CANONICAL, STORED, RAS = "canonical", "stored", "RAS"

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Geometry:
    """A voxel grid: axes (Z, Y, X); mm; `direction` is a 3x3 matrix row by row.

    Voxel index i (z, y, x) lies at `origin + direction @ (spacing * i)`; rows of `direction` are
    world axes (z, y, x), columns are array axes (Z, Y, X).
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = IDENTITY

    @property
    def direction_matrix(self) -> np.ndarray:
        """(3, 3) float64: rows world (z, y, x), columns array axes (Z, Y, X)."""
        return np.asarray(self.direction, dtype=np.float64).reshape(3, 3)

    @property
    def diagonal_mm(self) -> float:
        """Length of the grid's diagonal in mm: the largest distance possible inside it."""
        return float(np.linalg.norm(np.multiply(self.shape, self.spacing)))

    def position(self, index: np.ndarray) -> np.ndarray:
        """Return world positions (..., 3) in mm, order (z, y, x), of voxel indices (..., 3)."""
        return (
            np.asarray(self.origin) + (np.asarray(index) * self.spacing) @ self.direction_matrix.T
        )

    def index(self, position: np.ndarray) -> np.ndarray:
        """Return voxel indices (..., 3), not rounded, of world positions (..., 3) in mm."""
        offset = np.asarray(position) - np.asarray(self.origin)
        return (offset @ self.direction_matrix) / self.spacing


@dataclass(frozen=True)
class Image:
    """Intensities (C, Z, Y, X), or labels (1, Z, Y, X), on a grid."""

    array: np.ndarray
    geometry: Geometry


@dataclass(frozen=True)
class Orientation:
    """How to turn a scan to canonical orientation without touching a value.

    `permutation[i]` is the source axis that becomes canonical axis i; `flips` are the canonical
    axes (after permuting) that are reversed.
    """

    permutation: tuple[int, int, int] = (0, 1, 2)
    flips: tuple[int, ...] = ()

    def apply(self, array: np.ndarray) -> np.ndarray:
        """Return `array` (..., Z, Y, X) in canonical orientation, as a view."""
        lead = array.ndim - 3
        axes = (*range(lead), *(lead + axis for axis in self.permutation))
        return np.flip(array.transpose(axes), tuple(lead + axis for axis in self.flips))

    def undo(self, array: np.ndarray) -> np.ndarray:
        """Return canonical `array` (..., Z, Y, X) in the source's own orientation, as a view."""
        lead = array.ndim - 3
        flipped = np.flip(array, tuple(lead + axis for axis in self.flips))
        inverse = np.argsort(self.permutation)
        return flipped.transpose((*range(lead), *(lead + int(axis) for axis in inverse)))


def canonical_orientation(direction: np.ndarray) -> Orientation:
    """Return the turn that brings a grid with this (3, 3) direction nearest to canonical.

    The assignment of array axes to world axes is the one with the largest sum of absolute cosines,
    so it is a permutation even at 45 degrees.
    """
    cosines = np.abs(direction)
    permutations = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    # Rounding makes an exact tie (45 degrees) go to the first permutation instead of to noise.
    best = max(permutations, key=lambda p: round(sum(cosines[w, a] for w, a in enumerate(p)), 6))
    flips = tuple(world for world, axis in enumerate(best) if direction[world, axis] < 0)
    return Orientation(best, flips)


def orientation_of(direction: np.ndarray, name: str) -> Orientation:
    """Return the turn of a grid with this (3, 3) direction to `name`: CANONICAL, STORED or RAS."""
    if name == STORED:
        return Orientation()
    canonical = canonical_orientation(direction)
    if name == CANONICAL:
        return canonical
    if name == RAS:
        return Orientation(canonical.permutation, tuple(sorted({1, 2} ^ set(canonical.flips))))
    raise ValueError(f"orientation '{name}' is not {CANONICAL}, {STORED} or {RAS}")


def reorient(geometry: Geometry, orientation: Orientation) -> Geometry:
    """Return the grid of `orientation.apply(array)`: same voxels, same places, other order."""
    permutation = list(orientation.permutation)
    direction = geometry.direction_matrix[:, permutation].copy()
    shape = tuple(geometry.shape[axis] for axis in permutation)
    spacing = tuple(geometry.spacing[axis] for axis in permutation)
    origin = np.asarray(geometry.origin, dtype=np.float64)
    for axis in orientation.flips:
        origin = origin + direction[:, axis] * spacing[axis] * (shape[axis] - 1)
        direction[:, axis] *= -1
    return Geometry(
        (shape[0], shape[1], shape[2]),
        (spacing[0], spacing[1], spacing[2]),
        (float(origin[0]), float(origin[1]), float(origin[2])),
        tuple(float(cosine) for cosine in direction.ravel()),
    )


def grid_differences(found: Geometry, expected: Geometry) -> list[tuple[str, str, str]]:
    """Return what differs beyond tolerance as (property, found, expected); empty means same grid.

    Tolerances: spacing 1e-3 relative or 1e-4 mm, origin 1e-2 mm, direction 1e-3 per cosine.
    """
    if found.shape != expected.shape:
        return [("shape", "x".join(map(str, found.shape)), "x".join(map(str, expected.shape)))]
    differences = []
    gap = np.abs(np.subtract(found.spacing, expected.spacing))
    allowed = np.maximum(SPACING_TOLERANCE * np.asarray(expected.spacing), SPACING_TOLERANCE_MM)
    if (gap > allowed).any():
        differences.append(("spacing", _numbers(found.spacing), _numbers(expected.spacing)))
    if np.abs(np.subtract(found.origin, expected.origin)).max() > ORIGIN_TOLERANCE_MM:
        differences.append(("origin", _numbers(found.origin), _numbers(expected.origin)))
    if np.abs(np.subtract(found.direction, expected.direction)).max() > DIRECTION_TOLERANCE:
        differences.append(("direction", _numbers(found.direction), _numbers(expected.direction)))
    return differences


def same_grid(found: Geometry, expected: Geometry) -> bool:
    """Tell whether two grids are the same within the tolerances of `grid_differences`."""
    return not grid_differences(found, expected)


def _numbers(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.6g}" for value in values) + ")"
