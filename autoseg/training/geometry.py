"""Random rotation and scaling of a patch, drawn before the patch is read.

Known in advance, the transform tells which voxels it will need. Exactly those are read: no padding
shows in the corners of a rotated patch, and an untransformed patch costs no more than itself.
"""

from __future__ import annotations

import numpy as np

from autoseg.plan import Design, Triple

ROTATION_PROBABILITY = 0.2
SCALING_PROBABILITY = 0.2
SCALING = (0.7, 1.4)  # how much of the scan a patch covers, relative to its own size


def draw_transform(
    design: Design, spacing_mm: tuple[float, float, float], rng: np.random.Generator
) -> np.ndarray | None:
    """Return a (3, 3) matrix from patch offsets to scan offsets in voxels (Z, Y, X), or None.

    None (in 64 % of the draws) means: as it is. Rotations are about the patch's centre, by up to
    `design.rotation_degrees`, in millimetres, so that anatomy is not sheared on anisotropic voxels.
    Flat patches are rotated and scaled within their slices only.
    """
    rotated, scaled = rng.random(2) < (ROTATION_PROBABILITY, SCALING_PROBABILITY)
    if not (rotated or scaled):
        return None
    matrix = np.eye(3)
    if rotated:
        limits = np.deg2rad(design.rotation_degrees)
        matrix = rotation(rng.uniform(-limits, limits))
        matrix = matrix * np.asarray(spacing_mm) / np.asarray(spacing_mm)[:, None]
    if scaled:
        first = 1 if design.is_2d or design.dummy_2d else 0
        matrix[first:] *= rng.uniform(*SCALING)
    return matrix


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
