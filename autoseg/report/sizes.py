"""How large everything is: grids of the scans and volumes of the targets, as far as is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from autoseg.plan import Fingerprint
from autoseg.report.material import Material
from autoseg.results import DatasetStatistics

AXES = ("Z", "Y", "X")


@dataclass(frozen=True)
class Sizes:
    """Each scan's grid (Z, Y, X), and the targets in the cases that hold them."""

    spacings: Mapping[str, tuple[float, float, float]]  # mm, by case
    shapes: Mapping[str, tuple[int, int, int]]  # voxels, by case
    volumes: Mapping[str, Mapping[str, float]]  # ml, by target and case


def sizes_of(material: Material) -> Sizes | None:
    """Return what the statistics say, else the plan's fingerprint; None with neither."""
    if material.statistics is not None:
        return measured_sizes(material.statistics)
    return None if material.fingerprint is None else planned_sizes(material.fingerprint)


def measured_sizes(found: DatasetStatistics) -> Sizes:
    """Return the grids as they are stored."""
    return Sizes(
        {case.case: case.spacing for case in found.cases},
        {case.case: case.shape for case in found.cases},
        {
            name: {
                case.case: case.targets[name].volume_ml
                for case in found.cases
                if name in case.targets and case.targets[name].voxels
            }
            for name in found.targets
        },
    )


def planned_sizes(found: Fingerprint) -> Sizes:
    """Return the grids in canonical orientation, after cropping to what is not zero."""
    return Sizes(
        dict(zip(found.cases, found.spacings, strict=True)),
        dict(zip(found.cases, found.shapes, strict=True)),
        {
            name: {case: ml for case, ml in zip(found.cases, volumes, strict=True) if ml > 0}
            for name, volumes in found.target_volumes_ml.items()
        },
    )
