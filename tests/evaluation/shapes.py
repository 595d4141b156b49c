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


def corner_object() -> tuple[np.ndarray, np.ndarray]:
    """G6: an object in the corner of the volume, and nothing."""
    return box((12, 12, 12), (0, 4), (0, 4), (0, 4)), np.zeros((12, 12, 12), dtype=bool)


def balls() -> tuple[np.ndarray, np.ndarray]:
    """G5: balls of radius 10 and 12 voxels."""
    return ball(10), ball(12)


# (shapes, spacing, mode, {metric: value}); NSD at 1 mm; as published: four to six decimals.
GOLDEN = [
    (shifted_cubes, UNIT, "surfel",
     {"dice": 0.8, "iou": 0.666667, "hd": 2, "hd95": 2, "assd": 0.6798, "masd": 0.6798,
      "asd_ref_to_pred": 0.6798, "asd_pred_to_ref": 0.6798, "nsd": 0.7229}),
    (shifted_cubes, UNIT, "voxel",
     {"hd": 2, "hd95": 2, "assd": 0.6885, "masd": 0.6885, "nsd": 0.7213}),
    (shifted_cubes, UNIT, "vertex",
     {"hd": 2, "hd95": 2, "hd95_mean": 2, "assd": 0.6844, "nsd": 0.7176}),
    (shifted_cubes, THICK, "surfel",
     {"hd": 6, "hd95": 6, "assd": 1.0199, "asd_ref_to_pred": 1.0199, "nsd": 0.7700}),
    (shifted_cubes, THICK, "voxel", {"hd": 6, "hd95": 6, "assd": 1.6967, "nsd": 0.6475}),
    (shifted_cubes, THICK, "vertex", {"hd": 6, "hd95_mean": 6, "assd": 1.6794, "nsd": 0.6512}),
    (far_cubes, UNIT, "surfel",
     {"dice": 0.96899, "hd": 24.4949, "hd95": 21.8632, "asd_ref_to_pred": 0,
      "asd_pred_to_ref": 2.6878, "nsd": 0.9329}),
    (far_cubes, UNIT, "voxel",
     {"hd": 24.4949, "hd95": 22.1517, "assd": 1.2006, "masd": 1.1388, "nsd": 0.9457}),
    (far_cubes, UNIT, "vertex",
     {"hd": 24.4949, "hd95": 22.0919, "hd95_mean": 11.0459, "assd": 1.6086, "nsd": 0.9247}),
    (far_cubes, THICK, "surfel", {"hd": 61.6441, "hd95": 55.8211, "nsd": 0.9320}),
    (far_cubes, THICK, "voxel", {"hd": 61.6441, "hd95": 57.5484, "nsd": 0.9457}),
    (far_cubes, THICK, "vertex", {"hd": 61.6441, "hd95_mean": 29.0086}),
    (balls, UNIT, "surfel",
     {"dice": 0.73644, "hd": 2.4495, "hd95": 2.2361, "asd_ref_to_pred": 1.5669,
      "asd_pred_to_ref": 1.5858}),
    (balls, UNIT, "voxel", {"hd": 2.4495, "hd95": 2.2361, "assd": 1.8909}),
    (holed_cubes, UNIT, "surfel", {"hd": 4}),
    (holed_cubes, UNIT, "voxel", {"hd": 3}),
    (distant_voxels, UNIT, "surfel", {"hd": 3, "assd": 2.5}),
    (distant_voxels, UNIT, "vertex", {"hd": 3, "assd": 2.5}),
    (distant_voxels, UNIT, "voxel", {"hd": 3, "assd": 3}),
    (corner_object, UNIT, "surfel", {"nsd": 0, "dice": 0}),
    (corner_object, UNIT, "voxel", {"nsd": 0, "dice": 0}),
    (corner_object, UNIT, "vertex", {"nsd": 0, "dice": 0}),
]  # fmt: skip
