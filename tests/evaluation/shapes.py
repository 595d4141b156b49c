"""The shapes of the golden values, and the values themselves (docs/metrics.md)."""

from __future__ import annotations

import numpy as np

UNIT, THICK = (1.0, 1.0, 1.0), (3.0, 1.0, 1.0)


def box(shape: tuple[int, ...], *ranges: tuple[int, int]) -> np.ndarray:
    """Return a mask with ones in a box of half-open ranges."""
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(*side) for side in ranges)] = True
    return mask


def ball(radius: float, n: int = 31) -> np.ndarray:
    """Return the voxels whose centres lie within `radius` of the middle of an n^3 grid."""
    squares = (np.arange(n) - n // 2) ** 2
    return np.add.outer(np.add.outer(squares, squares), squares) <= radius * radius


def shifted_cubes() -> tuple[np.ndarray, np.ndarray]:
    """G1, G2: a cube of 10^3 in 20^3, and the same moved by two voxels along the first axis."""
    return (
        box((20, 20, 20), (4, 14), (5, 15), (5, 15)),
        box((20, 20, 20), (6, 16), (5, 15), (5, 15)),
    )


def far_cubes() -> tuple[np.ndarray, np.ndarray]:
    """G3, G4: a cube, and the same cube with a small one far away."""
    reference = box((40, 30, 30), (4, 14), (4, 14), (4, 14))
    return reference, reference | box((40, 30, 30), (30, 34), (20, 24), (20, 24))


def holed_cubes() -> tuple[np.ndarray, np.ndarray]:
    """G5b: a cube of 10^3, and the same with a hole of 2^3 in its middle."""
    reference = box((14, 14, 14), (2, 12), (2, 12), (2, 12))
    return reference, reference & ~box((14, 14, 14), (6, 8), (6, 8), (6, 8))


def distant_voxels() -> tuple[np.ndarray, np.ndarray]:
    """G5c: two single voxels, three apart."""
    shape = (5, 5, 9)
    return box(shape, (2, 3), (2, 3), (2, 3)), box(shape, (2, 3), (2, 3), (5, 6))


# (shapes, spacing, mode, {metric: value}); NSD at 1 mm; four decimals as published.
GOLDEN = [
    (shifted_cubes, UNIT, "surfel",
     {"dice": 0.8, "iou": 0.666667, "hd": 2, "hd95": 2, "assd": 0.6798, "nsd": 0.7229}),
    (shifted_cubes, UNIT, "voxel", {"hd": 2, "hd95": 2, "assd": 0.6885, "nsd": 0.7213}),
    (shifted_cubes, THICK, "surfel", {"hd": 6, "hd95": 6, "assd": 1.0199, "nsd": 0.7700}),
    (shifted_cubes, THICK, "voxel", {"hd": 6, "hd95": 6, "assd": 1.6967, "nsd": 0.6475}),
    (far_cubes, UNIT, "surfel",
     {"dice": 0.96899, "hd": 24.4949, "hd95": 21.8632, "nsd": 0.9329}),
    (far_cubes, UNIT, "voxel",
     {"hd": 24.4949, "hd95": 22.1517, "assd": 1.2006, "nsd": 0.9457}),
    (far_cubes, THICK, "surfel", {"hd": 61.6441, "hd95": 55.8211, "nsd": 0.9320}),
    (far_cubes, THICK, "voxel", {"hd": 61.6441, "hd95": 57.5484, "nsd": 0.9457}),
    (lambda: (ball(10), ball(12)), UNIT, "surfel",
     {"dice": 0.73644, "hd": 2.4495, "hd95": 2.2361}),
    (lambda: (ball(10), ball(12)), UNIT, "voxel", {"assd": 1.8909}),
    (holed_cubes, UNIT, "surfel", {"hd": 4}),
    (holed_cubes, UNIT, "voxel", {"hd": 3}),
    (distant_voxels, UNIT, "surfel", {"hd": 3, "assd": 2.5}),
    (distant_voxels, UNIT, "voxel", {"hd": 3, "assd": 3}),
]  # fmt: skip
