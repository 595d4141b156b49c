"""Surfaces of label maps in mm.

A mask is smoothed, and its surface drawn at the height that encloses as many voxels as the mask
has, so that thin targets stay and volumes are right. Triangles are then joined to a number that a
browser turns without effort. scikit-image, in the extra [report], finds the surface.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from autoseg.errors import ResourceError
from autoseg.image import Geometry

SMOOTHED_VOXELS = 0.8  # standard deviation: steps between slices go, folds stay
VOXELS = 500_000  # a larger box around a target is drawn from means of blocks of voxels
MOST_TRIANGLES = 40_000  # of one surface
COARSER = 1.2  # cells grow by this until few enough triangles are left


@dataclass(frozen=True)
class Surface:
    """A closed surface: vertices (N, 3) mm and normals (N, 3) in world axes (z, y, x), triangles.

    The corners of a triangle (M, 3) run counter-clockwise, seen from outside.
    """

    vertices: np.ndarray
    normals: np.ndarray
    triangles: np.ndarray

    @property
    def volume_mm3(self) -> float:
        """The volume enclosed."""
        # x, y, z: the rule of signs is that of a right-handed system.
        a, b, c = (self.vertices[self.triangles[:, corner], ::-1] for corner in range(3))
        return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def surface_of(mask: np.ndarray, geometry: Geometry, most: int = MOST_TRIANGLES) -> Surface:
    """Return the surface of a mask (Z, Y, X), not empty, of about `most` triangles at most.

    Raises ResourceError when scikit-image is not installed.
    """
    marching_cubes = _marching_cubes()
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    blocks = _blocks([side.stop - side.start for side in box], geometry.spacing)
    inside = _block_means(mask[box], blocks)
    margin = math.ceil(3 * SMOOTHED_VOXELS) + 1
    smooth = ndimage.gaussian_filter(np.pad(inside, margin), SMOOTHED_VOXELS)
    vertices, triangles, _, _ = marching_cubes(smooth, _level(smooth, float(inside.sum())))
    # Centre of a block in voxels of the image.
    indices = (vertices - margin) * blocks + (np.asarray(blocks) - 1) / 2
    points = geometry.position(indices + [side.start for side in box])
    surface = _turned_outwards(points, triangles)
    size = math.sqrt(2 * _areas(surface).sum() / most)
    while len(surface.triangles) > most:
        surface = _joined(surface, size)
        size *= COARSER
    volume = np.count_nonzero(mask) * math.prod(geometry.spacing)
    return _with_volume(surface, volume, min(geometry.spacing) / 2)


def _marching_cubes() -> Any:
    try:
        from skimage.measure import marching_cubes
    except ImportError as error:
        raise ResourceError(
            "surfaces need scikit-image", remedy="pip install 'autoseg[report]'"
        ) from error
    return marching_cubes


def _blocks(shape: list[int], spacing: tuple[float, float, float]) -> tuple[int, ...]:
    """Return how many voxels (Z, Y, X) become one, as nearly a cube in mm as whole numbers allow"""
    volume = math.prod(shape) * math.prod(spacing)
    edge = (volume / VOXELS) ** (1 / 3)
    return tuple(max(1, round(edge / size)) for size in spacing)


def _block_means(mask: np.ndarray, blocks: tuple[int, ...]) -> np.ndarray:
    array: np.ndarray = np.pad(
        mask.astype(np.float32),
        [(0, -size % block) for size, block in zip(mask.shape, blocks, strict=True)],
    )
    for axis, block in enumerate(blocks):
        starts = np.arange(0, array.shape[axis], block)
        array = np.add.reduceat(array, starts, axis=axis) * np.float32(1 / block)
    return array


def _level(smooth: np.ndarray, count: float) -> float:
    """Return the height above which `smooth` (Z, Y, X) encloses `count` voxels.

    Counted in eighths of voxels, interpolated as the surface is: else plates become too thick.
    """
    points = smooth[None]
    for axis in (1, 2, 3):
        towards = [np.roll(points, step, axis) for step in (-1, 1)]
        points = np.concatenate([0.75 * points + 0.25 * other for other in towards])
    wanted = min(max(1, round(8 * count)), points.size - 1)
    highest = np.partition(points, (-wanted - 1, -wanted), axis=None)
    return float(highest[-wanted - 1] + highest[-wanted]) / 2


def _turned_outwards(points: np.ndarray, triangles: np.ndarray) -> Surface:
    """Return the surface with its volume positive, whatever the handedness of the image's axes."""
    surface = Surface(points, _normals(points, triangles), triangles)
    if surface.volume_mm3 >= 0:
        return surface
    triangles = triangles[:, ::-1]
    return Surface(points, _normals(points, triangles), triangles)


def _with_volume(surface: Surface, volume_mm3: float, most_mm: float) -> Surface:
    """Return the surface moved along its normals to enclose `volume_mm3`, but by `most_mm` only.

    Joining vertices cuts corners off.
    """
    lacking = (volume_mm3 - surface.volume_mm3) / _areas(surface).sum()
    moved = surface.vertices + surface.normals * np.clip(lacking, -most_mm, most_mm)
    return Surface(moved, surface.normals, surface.triangles)


def _normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    corners = points[triangles][..., ::-1]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, ::-1]
    sums = np.stack(
        [
            np.bincount(triangles.ravel(), np.repeat(across[:, axis], 3), len(points))
            for axis in range(3)
        ],
        axis=1,
    )
    return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)


def _areas(surface: Surface) -> np.ndarray:
    a, b, c = (surface.vertices[surface.triangles[:, corner]] for corner in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2


def _joined(surface: Surface, size: float) -> Surface:
    """Return the surface with all vertices of a cell of `size` mm joined to their mean."""
    cells = np.floor(surface.vertices / size).astype(np.int64)
    cells -= cells.min(axis=0)
    number = np.ravel_multi_index(tuple(cells.T), tuple(cells.max(axis=0) + 1))
    _, joined, counts = np.unique(number, return_inverse=True, return_counts=True)

    def mean(rows: np.ndarray) -> np.ndarray:
        sums = [np.bincount(joined, rows[:, axis]) for axis in range(3)]
        return np.stack(sums, axis=1) / counts[:, None]

    triangles = joined[surface.triangles]
    a, b, c = triangles.T
    normals = mean(surface.normals)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return Surface(mean(surface.vertices), normals, triangles[(a != b) & (b != c) & (c != a)])
