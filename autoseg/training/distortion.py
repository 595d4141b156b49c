"""The prediction of a cascade's previous stage, made worse at random.

Its errors on new scans are other ones, and a network that finds it always right would copy it. So
label maps are changed now and then, as nnU-Net does: values grown, shrunk, opened or closed by a
ball, and robbed of a connected component. All of it works on value indices, inside the box of each
value, in the thread that makes the batches.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from autoseg.preprocessing.resample_labels import value_boxes

RESHAPE_PROBABILITY, REMOVE_PROBABILITY = 0.4, 0.2  # per patch
VALUE_PROBABILITY = 0.5  # of each value in a patch that was chosen
RADII = (1, 8)  # voxels, both included
LARGEST_REMOVED = 0.15  # of the patch's voxels
FAR = 100  # above the largest radius squared; with that added still a uint8
TOUCHING = np.ones((3, 3, 3), dtype=bool)  # neighbours by a corner belong together

Box = tuple[slice, slice, slice]


def distort(indices: np.ndarray, patch_voxels: int, rng: np.random.Generator) -> np.ndarray:
    """Return `indices` (z, y, x) changed at random, in place; most often not at all."""
    if rng.random() < RESHAPE_PROBABILITY:
        reshape_values(indices, rng)
    if rng.random() < REMOVE_PROBABILITY:
        remove_components(indices, LARGEST_REMOVED * patch_voxels, rng)
    return indices


def reshape_values(indices: np.ndarray, rng: np.random.Generator) -> None:
    """Change the shape of half of the values, one after the other in random order, in place.

    What a value gains it takes from the others; what it loses becomes background.
    """
    operations = list(OPERATIONS.values())
    for value, box in _chosen(value_boxes(indices), rng):
        radius = int(rng.integers(RADII[0], RADII[1] + 1))
        operation = operations[rng.integers(len(operations))]
        # Twice the radius: what is grown by it has to be seen from the other side, too.
        part = indices[_grown(box, 2 * radius, indices.shape)]
        before = part == value
        after = operation(before, radius)
        part[before & ~after] = 0
        part[after] = value


def remove_components(indices: np.ndarray, most_voxels: float, rng: np.random.Generator) -> None:
    """Make one connected component of half of the values background, in place.

    Only those below `most_voxels` are drawn from.
    """
    for value, box in _chosen(value_boxes(indices), rng):
        part = indices[box]
        components, count = ndimage.label(part == value, TOUCHING)
        sizes = np.bincount(components.ravel(), minlength=count + 1)[1:]
        small = np.flatnonzero(sizes < most_voxels) + 1
        if len(small):
            part[components == rng.choice(small)] = 0


def _chosen(boxes: dict[int, Box], rng: np.random.Generator) -> list[tuple[int, Box]]:
    values = rng.permutation(list(boxes))
    taken = rng.random(len(values)) < VALUE_PROBABILITY
    return [(int(value), boxes[int(value)]) for value in values[taken]]


def _grown(box: Box, margin: int, shape: tuple[int, ...]) -> Box:
    z, y, x = (
        slice(max(0, side.start - margin), min(size, side.stop + margin))
        for side, size in zip(box, shape, strict=True)
    )
    return z, y, x


# --- morphology with a ball: (z, y, x) bool in and out, radius in voxels, at most 8 ---------------


def dilate(mask: np.ndarray, radius: int) -> np.ndarray:
    """Return every voxel whose centre is within `radius` of one of the mask's.

    The squared distance to the mask is a minimum along one axis after the other (Felzenszwalb and
    Huttenlocher 2012), here only as far as the radius: a few passes of bytes over the volume.
    """
    squared = np.where(mask, np.uint8(0), np.uint8(FAR))
    for axis in range(mask.ndim):
        before = np.moveaxis(squared, axis, 0)
        squared = squared.copy()
        after = np.moveaxis(squared, axis, 0)
        for step in range(1, min(radius, len(before) - 1) + 1):
            moved = before + np.uint8(step * step)
            np.minimum(after[step:], moved[:-step], out=after[step:])
            np.minimum(after[:-step], moved[step:], out=after[:-step])
    return squared <= radius * radius


def erode(mask: np.ndarray, radius: int) -> np.ndarray:
    """Return the voxels with the whole ball inside the mask; outside the volume counts as mask."""
    return ~dilate(~mask, radius)


def closing(mask: np.ndarray, radius: int) -> np.ndarray:
    """Return the mask without gaps that the ball does not fit into."""
    return erode(dilate(mask, radius), radius)


def opening(mask: np.ndarray, radius: int) -> np.ndarray:
    """Return the part of the mask that the ball fits into."""
    return dilate(erode(mask, radius), radius)


OPERATIONS = {"dilate": dilate, "erode": erode, "close": closing, "open": opening}
