"""From a scan to the array a network sees, and back again.

`prepare` does, in this order and for these reasons:

1. **turn** to canonical orientation, so that left is left in every scan (a model that another
   program trained says in its plan how it wants them);
2. **reorder axes** as the plan says, the coarsest first, so that networks know which one it is;
3. **crop** to what is non-zero, so that margins cost nothing and do not enter statistics;
4. **normalise**, before resampling: interpolation then mixes numbers of one scale, and statistics
   come from values that were measured;
5. **resample** to the configuration's spacing.

Every step is recorded in a `Frame`, the receipt that `restore` and `place` need to go back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from autoseg.errors import DataError
from autoseg.image import Geometry, Image, Orientation, orientation_of, reorient
from autoseg.labels import Labels
from autoseg.plan import Configuration, IntensityStats, Plan
from autoseg.preprocessing.crop import Box, crop, inside_mask, nonzero_box
from autoseg.preprocessing.intensity import find_normalizer
from autoseg.preprocessing.operators import operators
from autoseg.preprocessing.resample import resample, resampled_shape
from autoseg.preprocessing.resample_labels import resample_labels

OUTSIDE = 1e4  # score, with this sign or the other, where nothing was predicted
NO_STATS = IntensityStats(0.0, 1.0, 0.0, 0.0, 0.0, 0.0)

Triple = tuple[int, int, int]
Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Frame:
    """How a prepared array lies on the grid of the scan it came from.

    *Turned* means the plan's orientation with its axes in the plan's order: the grid of `box`,
    `spacing`, `prepared_shape` and `prepared_spacing`.
    """

    source: Geometry
    orientation: Orientation
    axis_order: Triple  # oriented axes in the order of prepared arrays
    box: Box  # half-open, in voxels of the turned scan
    prepared_shape: Triple
    spacing: Spacing  # mm, of the turned scan
    prepared_spacing: Spacing  # mm, as the configuration asks

    @property
    def cropped_shape(self) -> Triple:
        """Voxels of the box: the prepared array's shape before resampling."""
        z, y, x = (stop - start for start, stop in self.box)
        return z, y, x

    @property
    def turned_shape(self) -> Triple:
        """Voxels of the whole scan with its axes in the order of prepared arrays."""
        canonical = [self.source.shape[axis] for axis in self.orientation.permutation]
        z, y, x = (canonical[axis] for axis in self.axis_order)
        return z, y, x

    def source_box(self, box: Box) -> Box:
        """Return a half-open `box` of the turned scan in voxels of the source grid."""
        sides: list[tuple[int, int]] = [(0, 0)] * 3
        for axis, (start, stop) in zip(self.axis_order, box, strict=True):
            source = self.orientation.permutation[axis]
            if axis in self.orientation.flips:
                size = self.source.shape[source]
                start, stop = size - stop, size - start
            sides[source] = (start, stop)
        return sides[0], sides[1], sides[2]

    def turn(self, array: np.ndarray) -> np.ndarray:
        """Return `array` (..., Z, Y, X) of the source grid turned, as a view."""
        return _permute(self.orientation.apply(array), self.axis_order)

    def turn_back(self, array: np.ndarray) -> np.ndarray:
        """Return a turned array (..., z, y, x) with the axes of the source grid, as a view."""
        z, y, x = (int(axis) for axis in np.argsort(self.axis_order))
        return self.orientation.undo(_permute(array, (z, y, x)))


def prepare(
    image: Image, plan: Plan, configuration: Configuration, trust: bool = False
) -> tuple[np.ndarray, Frame]:
    """Return the array (C, z, y, x) float32 that networks of `configuration` see, and its receipt.

    `trust` allows normalisers that are not built in, named "package.module:function" in the plan.
    `image` (C, Z, Y, X) is not changed. Raises DataError when it has not the plan's channels.
    """
    if image.array.shape[0] != len(plan.channels):
        raise DataError(
            f"{image.array.shape[0]} channels",
            expected=f"{len(plan.channels)} ({', '.join(plan.channels)})",
        )
    frame, turned = _make_frame(image, plan, configuration)
    # A copy in C order, so that sums do not depend on how the scan lay in memory.
    array = np.array(crop(turned, frame.box), dtype=np.float32, order="C")
    _normalize(array, plan, configuration, trust)
    array = resample(array, frame.prepared_shape, frame.spacing, frame.prepared_spacing)
    return array, frame


def largest_shape(source: Geometry, plan: Plan, configuration: Configuration) -> Triple:
    """Return the shape of a prepared scan on the grid `source` of which nothing is cropped."""
    oriented = reorient(source, orientation_of(source.direction_matrix, plan.orientation))
    spacing, prepared_spacing = _spacings(oriented, plan, configuration)
    return resampled_shape(
        [oriented.shape[axis] for axis in plan.axis_order], spacing, prepared_spacing
    )


def _make_frame(image: Image, plan: Plan, configuration: Configuration) -> tuple[Frame, np.ndarray]:
    source = image.geometry
    orientation = orientation_of(source.direction_matrix, plan.orientation)
    turned = _permute(orientation.apply(image.array), plan.axis_order)
    box = nonzero_box(turned)
    spacing, prepared_spacing = _spacings(reorient(source, orientation), plan, configuration)
    shape = resampled_shape([stop - start for start, stop in box], spacing, prepared_spacing)
    frame = Frame(source, orientation, plan.axis_order, box, shape, spacing, prepared_spacing)
    return frame, turned


def _spacings(
    oriented: Geometry, plan: Plan, configuration: Configuration
) -> tuple[Spacing, Spacing]:
    """Return mm of the turned and of the prepared scan, axes in the plan's order."""
    spacing = _triple(float(oriented.spacing[axis]) for axis in plan.axis_order)
    prepared_spacing = _triple(
        own if wanted is None else float(wanted)
        for own, wanted in zip(spacing, configuration.spacing, strict=True)
    )
    return spacing, prepared_spacing


def _normalize(array: np.ndarray, plan: Plan, configuration: Configuration, trust: bool) -> None:
    inside = inside_mask(array) if any(configuration.mask_normalization) else None
    for channel, name in enumerate(configuration.normalizers):
        normalizer = find_normalizer(name, trust)
        stats = plan.intensities[channel] if channel < len(plan.intensities) else NO_STATS
        masked = configuration.mask_normalization[channel]
        array[channel] = normalizer(array[channel], stats, inside if masked else None)


def prepare_labels(label_map: np.ndarray, frame: Frame, labels: Labels) -> np.ndarray:
    """Return value indices (z, y, x) on the prepared grid of a label map (Z, Y, X).

    `label_map` holds file values on the source grid; an undeclared value raises ValueError.
    """
    cropped = np.ascontiguousarray(crop(frame.turn(label_map), frame.box))
    indices = labels.encode(cropped)
    return resample_labels(indices, frame.prepared_shape, frame.spacing, frame.prepared_spacing)


def restore_operators(
    frame: Frame,
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Return the (n_cropped, n_prepared) matrices from the prepared grid to the box.

    Linear; nearest along a separate axis; None where an axis keeps its size.
    """
    return operators(
        frame.prepared_shape, frame.cropped_shape, frame.prepared_spacing, frame.spacing, order=1
    )


def restore(scores: np.ndarray, frame: Frame, background: int | None = 0) -> np.ndarray:
    """Return `scores` (K, z, y, x) float32 of the prepared grid on the source grid (K, Z, Y, X).

    Outside the box every score is -OUTSIDE, except +OUTSIDE in channel `background`: so background
    wins. Pass None for overlapping targets, which have no background channel.
    This holds all scores on the source grid: for large scans decode in the box, then `place`.
    """
    inside = resample(scores, frame.cropped_shape, frame.prepared_spacing, frame.spacing, order=1)
    turned = np.full((scores.shape[0], *frame.turned_shape), -OUTSIDE, dtype=np.float32)
    if background is not None:
        turned[background] = OUTSIDE
    crop(turned, frame.box)[...] = inside
    return np.ascontiguousarray(frame.turn_back(turned))


def place(label_map: np.ndarray, frame: Frame, fill: int = 0) -> np.ndarray:
    """Return `label_map` (z, y, x) of the box on the source grid (Z, Y, X), `fill` around it."""
    turned = np.full(frame.turned_shape, fill, dtype=label_map.dtype)
    crop(turned, frame.box)[...] = label_map
    return np.ascontiguousarray(frame.turn_back(turned))


def _permute(array: np.ndarray, axes: Triple) -> np.ndarray:
    lead = array.ndim - 3
    return array.transpose((*range(lead), *(lead + axis for axis in axes)))


def _triple(values: Iterable[float]) -> Spacing:
    z, y, x = values
    return z, y, x
