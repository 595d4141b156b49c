"""What the scans and labels of a dataset are like, in numbers: sizes, volumes, intensities.

`measure` looks at one case; `summarise` puts the cases together. Intensities are those of the
files, before any preparation. Of numbers that repeat, as the integers of a CT do, everything is
exact; where too many are different, see `distribution.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from autoseg.dataset import Case, Dataset
from autoseg.image import Image, canonical_orientation
from autoseg.importing.distribution import (
    Distribution,
    distribution_of,
    intensities_of,
    pooled,
    thinned,
)
from autoseg.labels import Labels
from autoseg.results import (
    CaseStatistics,
    DatasetStatistics,
    Intensities,
    Range,
    TargetInCase,
    TargetStatistics,
)


@dataclass(frozen=True)
class Measured:
    """One case: its numbers, and the distributions that go into those of the dataset."""

    case: CaseStatistics
    distributions: Mapping[str, tuple[Distribution, ...]]  # of each target with voxels, by channel


def measure(case: Case, image: Image, label_map: np.ndarray, dataset: Dataset) -> Measured:
    """Return what `image` (C, Z, Y, X) and `label_map` (Z, Y, X), file values, hold.

    Slices are counted across the axis that lies nearest to the body's. Targets that are not
    annotated in this case are left out. Each voxel is sorted to its target once, however many
    targets there are.
    """
    labels, geometry = dataset.labels, image.geometry
    indices = labels.encode(label_map)
    groups = _Groups(indices, labels)
    upright = canonical_orientation(geometry.direction_matrix)
    held = _slices_of(upright.apply(indices), labels)
    annotated = labels.names if case.annotated is None else case.annotated
    voxel_ml = prod(geometry.spacing) / 1000
    distributions: dict[str, tuple[Distribution, ...]] = {}
    targets = {}
    for name in labels.names:
        if name not in annotated:
            continue
        voxels = groups.count(name)
        if voxels:
            distributions[name] = tuple(
                distribution_of(groups.values(channel, name)) for channel in image.array
            )
        parts = distributions.get(name, ())
        targets[name] = TargetInCase(
            voxels, voxels * voxel_ml, held[name], _by_channel(dataset.channels, parts)
        )
    shape = upright.apply(indices).shape
    whole = [distribution_of(channel) for channel in image.array]
    statistics = CaseStatistics(
        case.id, geometry.shape, geometry.spacing, shape[0], prod(geometry.shape),
        _by_channel(dataset.channels, whole), targets, case.group, case.tags,
    )  # fmt: skip
    thin = {name: tuple(map(thinned, parts)) for name, parts in distributions.items()}
    return Measured(statistics, thin)


class _Groups:
    """The voxels of a label map by value: sorted once, each target is then a few slices."""

    def __init__(self, indices: np.ndarray, labels: Labels) -> None:
        self.labels = labels
        flat = indices.ravel()
        places = np.flatnonzero((flat > 0) & (flat <= len(labels.values)))
        inside = flat[places]
        # Stable sorting of small integers takes one pass for each of their bytes.
        self.places = places[np.argsort(inside, kind="stable")]
        counts = np.bincount(inside, minlength=len(labels.values) + 1)
        self.ends = np.cumsum(counts)

    def _spans(self, target: str) -> Iterator[slice]:
        for value in self.labels.targets[target]:
            index = self.labels.index_of[value]
            yield slice(int(self.ends[index - 1]), int(self.ends[index]))

    def count(self, target: str) -> int:
        return sum(span.stop - span.start for span in self._spans(target))

    def values(self, channel: np.ndarray, target: str) -> np.ndarray:
        """Return the intensities (n,) of a target in a channel (Z, Y, X)."""
        flat = channel.reshape(-1)
        return np.concatenate([flat[self.places[span]] for span in self._spans(target)])


def _slices_of(indices: np.ndarray, labels: Labels) -> dict[str, int]:
    """Return how many slices (first axis) of an upright map of value indices hold each target."""
    there = np.zeros((len(indices), len(labels.values) + 1), bool)
    for seen, plane in zip(there, indices, strict=True):
        counts = np.bincount(plane.ravel(), minlength=there.shape[1])
        seen[:] = counts[: there.shape[1]] > 0
    columns = {
        name: [labels.index_of[value] for value in values]
        for name, values in labels.targets.items()
    }
    return {name: int(there[:, which].any(1).sum()) for name, which in columns.items()}


# --- distributions -------------------------------------------------------------------------------


# --- all cases -----------------------------------------------------------------------------------


def _by_channel(channels: Sequence[str], parts: Sequence[Distribution]) -> dict[str, Intensities]:
    return {name: intensities_of(part) for name, part in zip(channels, parts, strict=False)}


def summarise(measured: Iterable[Measured], dataset: Dataset) -> DatasetStatistics:
    """Return the numbers of each case, sorted by name, and of all of them by target.

    The cases are taken one by one; of each only its numbers are kept.
    """
    found: list[CaseStatistics] = []
    together: dict[str, list[Distribution]] = {}
    for one in measured:
        found.append(one.case)
        for name, parts in one.distributions.items():
            known = together.get(name)
            together[name] = list(parts) if known is None else list(map(pooled, known, parts))
    cases = tuple(sorted(found, key=lambda case: case.case))
    return DatasetStatistics(
        dataset.name,
        dataset.channels,
        dataset.labels.targets,
        cases,
        _of_axes([case.shape for case in cases]),
        _of_axes([case.spacing for case in cases]),
        _range([case.slices for case in cases]),
        {
            name: _over_cases(name, cases, _by_channel(dataset.channels, together.get(name, ())))
            for name in dataset.labels.names
        },
    )


def _of_axes(
    edges: Sequence[tuple[float, float, float]],
) -> tuple[Range | None, Range | None, Range | None]:
    z, y, x = ([edge[axis] for edge in edges] for axis in range(3))
    return _range(z), _range(y), _range(x)


def _over_cases(
    name: str, cases: Sequence[CaseStatistics], intensities: Mapping[str, Intensities]
) -> TargetStatistics:
    judged = [case for case in cases if name in case.targets]
    held = [case.targets[name] for case in judged if case.targets[name].voxels]
    voxels = sum(target.voxels for target in held)
    return TargetStatistics(
        annotated=len(judged),
        cases=len(held),
        voxels=voxels,
        share=voxels / max(1, sum(case.voxels for case in judged)),
        slices=sum(target.slices for target in held),
        of_slices=sum(case.slices for case in judged),
        volume_ml=_range([target.volume_ml for target in held]),
        intensities=intensities,
    )


def _range(numbers: Sequence[float]) -> Range | None:
    if not numbers:
        return None
    return Range(
        float(min(numbers)), float(np.median(numbers)), float(max(numbers)), float(np.mean(numbers))
    )
