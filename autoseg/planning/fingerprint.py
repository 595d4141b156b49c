"""What the planner must know about the data, gathered case by case in flat memory.

`measure_case` turns a scan into a few kilobytes; `combine` merges them. Foreground intensities are
kept as evenly spaced quantiles, so every case weighs the same however large its targets are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from autoseg.image import Image, canonical_orientation, reorient
from autoseg.labels import Labels
from autoseg.plan import ChannelUnits, Fingerprint, IntensityStats, Triple
from autoseg.preprocessing.crop import nonzero_box
from autoseg.preprocessing.traits import sections, traits_of
from autoseg.preprocessing.units import ScanUnits, combine_units, look_at
from autoseg.usual import Sections, Traits, usual

MOST_QUANTILES = 2_000_000  # kept per channel over all cases: 8 MB
QUANTILES_PER_CASE = (100, 1000)  # fewest, most
SAMPLED_VOXELS = 1_000_000  # of a case's foreground, from which its quantiles are taken
BLOCK = 1 << 20  # voxels summed at once in double precision


@dataclass(frozen=True)
class ChannelMeasure:
    """Intensities of one channel of one case."""

    quantiles: np.ndarray  # (n,) float32 of the foreground, ascending; empty without foreground
    mean: float  # of the foreground, as the next three
    mean_square: float
    minimum: float
    maximum: float
    units: ScanUnits  # of the whole scan


@dataclass(frozen=True)
class CaseMeasure:
    """What one case contributes to the fingerprint; canonical orientation (Z, Y, X)."""

    case: str
    spacing: tuple[float, float, float]  # mm
    shape: Triple  # voxels, after cropping to the non-zero box
    kept_fraction: float
    channels: tuple[ChannelMeasure, ...]
    target_volumes_ml: Mapping[str, float]
    traits: Traits
    sections: Mapping[str, Sections]  # of targets that are there


def quantile_count(cases: int) -> int:
    """Return how many quantiles a case may keep when there are so many cases."""
    fewest, most = QUANTILES_PER_CASE
    return min(most, max(fewest, MOST_QUANTILES // max(cases, 1)))


def measure_case(
    case_id: str,
    image: Image,
    label_map: np.ndarray | None,
    labels: Labels,
    quantiles: int = QUANTILES_PER_CASE[1],
) -> CaseMeasure:
    """Return what `image` (C, Z, Y, X) and its `label_map` (Z, Y, X, file values) contribute."""
    orientation = canonical_orientation(image.geometry.direction_matrix)
    box = nonzero_box(image.array)
    edges = [stop - start for start, stop in box]
    shape = tuple(edges[axis] for axis in orientation.permutation)
    inside = _foreground(image, label_map, labels)
    voxel_ml = prod(image.geometry.spacing) / 1000
    volumes = {
        name: 0.0
        if label_map is None
        else float(np.count_nonzero(labels.mask(label_map, name))) * voxel_ml
        for name in labels.names
    }
    return CaseMeasure(
        case_id,
        reorient(image.geometry, orientation).spacing,
        (shape[0], shape[1], shape[2]),
        prod(edges) / prod(image.geometry.shape),
        tuple(_measure_channel(channel, inside, quantiles) for channel in image.array),
        volumes,
        traits_of(image, box),
        {} if label_map is None else sections(label_map, labels, image.geometry),
    )


def _foreground(image: Image, label_map: np.ndarray | None, labels: Labels) -> np.ndarray:
    """Return (Z, Y, X) bool: labelled, and not ignored."""
    if label_map is None:
        return np.zeros(image.array.shape[1:], dtype=bool)
    inside = label_map > 0
    if labels.ignore is not None:
        inside &= label_map != labels.ignore
    return inside


def _measure_channel(channel: np.ndarray, inside: np.ndarray, count: int) -> ChannelMeasure:
    units = look_at(channel)
    values = channel[inside].astype(np.float32, copy=False)
    if not values.size:
        empty = np.zeros(0, dtype=np.float32)
        return ChannelMeasure(empty, 0.0, 0.0, 0.0, 0.0, units)
    blocks = (values[i : i + BLOCK].astype(np.float64) for i in range(0, values.size, BLOCK))
    sums = [(float(block.sum()), float(np.dot(block, block))) for block in blocks]
    mean, mean_square = (sum(part) / values.size for part in zip(*sums, strict=True))
    sample = values
    if values.size > SAMPLED_VOXELS:
        # A fixed seed: the fingerprint must not depend on chance.
        sample = np.random.default_rng(0).choice(values, SAMPLED_VOXELS, replace=False)
    # Sorting is several times faster than np.quantile, which partitions once per quantile.
    places = (np.arange(count) + 0.5) / count * (sample.size - 1)
    quantiles = np.interp(places, np.arange(sample.size), np.sort(sample)).astype(np.float32)
    minimum, maximum = float(values.min()), float(values.max())
    return ChannelMeasure(quantiles, mean, mean_square, minimum, maximum, units)


def combine(
    measures: Sequence[CaseMeasure], channels: Sequence[str], labels: Labels
) -> Fingerprint:
    """Return the fingerprint of the whole data set; the order of `measures` does not matter."""
    ordered = sorted(measures, key=lambda measure: measure.case)
    by_channel = [[case.channels[i] for case in ordered] for i in range(len(channels))]
    units = tuple(combine_units([part.units for part in parts]) for parts in by_channel)
    warnings = _unit_warnings(ordered, channels, units) + _target_warnings(ordered, labels)
    return Fingerprint(
        cases=tuple(measure.case for measure in ordered),
        spacings=tuple(measure.spacing for measure in ordered),
        shapes=tuple(measure.shape for measure in ordered),
        kept_fraction=float(np.median([measure.kept_fraction for measure in ordered])),
        channels=tuple(channels),
        intensities=tuple(_combine_channel(parts) for parts in by_channel),
        target_volumes_ml={
            name: tuple(round(measure.target_volumes_ml[name], 6) for measure in ordered)
            for name in labels.names
        },
        warnings=tuple(warnings),
        units=units,
        usual=usual(
            [measure.traits for measure in ordered], [measure.sections for measure in ordered]
        ),
    )


def _combine_channel(parts: Sequence[ChannelMeasure]) -> IntensityStats:
    """Return the statistics of the mixture in which every case with foreground weighs the same."""
    filled = [part for part in parts if part.quantiles.size]
    if not filled:
        return IntensityStats(0.0, 1.0, 0.0, 0.0, 0.0, 0.0)
    mean = float(np.mean([part.mean for part in filled]))
    variance = float(np.mean([part.mean_square for part in filled])) - mean**2
    pooled = np.concatenate([part.quantiles for part in filled])
    low, high = (float(value) for value in np.percentile(pooled, (0.5, 99.5)))
    return IntensityStats(
        mean,
        max(variance, 0.0) ** 0.5,
        low,
        high,
        min(part.minimum for part in filled),
        max(part.maximum for part in filled),
    )


def _unit_warnings(
    measures: Sequence[CaseMeasure], channels: Sequence[str], units: Sequence[ChannelUnits]
) -> list[str]:
    warnings = []
    for index, (name, known) in enumerate(zip(channels, units, strict=True)):
        odd = [case for case in measures if case.channels[index].units.contradicts]
        if known.is_hounsfield:
            scans = [(case.case, case.channels[index].units) for case in odd]
            warnings += [
                f"channel {name} of {case}: values from {scan.lowest:.4g} to {scan.highest:.4g} "
                "cannot be Hounsfield units, as the other scans have; correct or remove it."
                for case, scan in scans
            ]
        elif name.casefold() == "ct" and odd:
            warnings.append(
                f"channel {name} is named CT, but {len(odd)} of {known.cases} scans cannot be in "
                f"Hounsfield units ({odd[0].case}: from {odd[0].channels[index].units.lowest:.4g})."
            )
    return warnings


def _target_warnings(measures: Sequence[CaseMeasure], labels: Labels) -> list[str]:
    return [
        f"target {name} occurs in no case: it cannot be learnt."
        for name in labels.names
        if not any(measure.target_volumes_ml[name] for measure in measures)
    ]
