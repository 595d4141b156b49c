"""The plan of another data set, taken over: spacing, patch, batch and network as there.

What nnU-Net's `move_plans_between_datasets` is for: a model trained there has the same network and
sees the same grid, so its weights fit.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from autoseg.errors import UsageError
from autoseg.plan import Configuration, Fingerprint, Plan
from autoseg.planning.planner import SAME
from autoseg.planning.spacing import is_flat, median_resampled_shape, times


def adopt_plan(own: Plan, other: Plan, fingerprint: Fingerprint) -> Plan:
    """Return `own`, the plan that the rules make of `fingerprint`, with what `other` decided.

    Targets, channels and file type stay those of the data. Normalisation is taken over where the
    channels have the same names in the same order, with the intensities it rests on. Raises
    UsageError when flat data are given a plan of volumes.
    """
    known = dict(other.configurations)
    if is_flat(fingerprint):
        known = {name: c for name, c in known.items() if c.is_2d}
    if not known:
        raise UsageError(
            f"these data are flat, and the plan of {other.dataset} has no 2d",
            remedy="leave --plan-from out",
        )
    alike = own.channels == other.channels
    configurations = {
        name: _adopted(configuration, own, other, alike, fingerprint)
        for name, configuration in known.items()
    }
    return replace(
        own,
        axis_order=other.axis_order,
        orientation=other.orientation,
        intensities=other.intensities if alike else own.intensities,
        units=other.units if alike else own.units,
        configurations=configurations,
        reasons=tuple(_reasons(own, other, configurations, alike)),
    )


def _adopted(
    configuration: Configuration, own: Plan, other: Plan, alike: bool, fingerprint: Fingerprint
) -> Configuration:
    shape = _median_shape(configuration, other, fingerprint)
    ours = next(iter(own.configurations.values()))
    if alike:
        return replace(configuration, median_shape=shape)
    return replace(
        configuration,
        median_shape=shape,
        normalizers=ours.normalizers,
        mask_normalization=ours.mask_normalization,
    )


def _median_shape(
    configuration: Configuration, other: Plan, fingerprint: Fingerprint
) -> tuple[int, int, int]:
    """Return the median case of these data on the grid of that configuration."""
    order = list(other.axis_order)
    spacing = np.median(fingerprint.spacings, axis=0)
    for axis, edge in zip(order, configuration.spacing, strict=True):
        spacing[axis] = spacing[axis] if edge is None else edge
    z, y, x = (float(edge) for edge in spacing)
    shape = median_resampled_shape(fingerprint, (z, y, x))[order]
    if configuration.is_2d:
        shape[0] = np.median(fingerprint.shapes, axis=0)[order[0]]
    depth, height, width = (max(1, round(edge)) for edge in shape.tolist())
    return depth, height, width


def _reasons(
    own: Plan, other: Plan, configurations: dict[str, Configuration], alike: bool
) -> list[str]:
    reasons = [own.reasons[0]]
    names = ", ".join(configurations)
    reasons.append(
        f"Plan taken over from {other.dataset} ({names}): spacing, axis order, patch, batch, "
        "network and Dice as there."
    )
    for name, configuration in configurations.items():
        grid = times([edge for edge in configuration.spacing if edge is not None])
        reasons.append(
            f"{name}: {grid} mm as there; the median case of these data is "
            f"{times(configuration.median_shape)} voxels on that grid."
        )
        reasons += _sizes(configuration)
    told = f"{', '.join(own.channels)}; there {', '.join(other.channels)}"
    reasons.append(
        f"Normalisation as there, intensities included: the channels are the same ({told})."
        if alike
        else f"Normalisation by the rules for these data: the channels differ ({told})."
    )
    kept = ("Mirroring", "Warning:")
    return [*reasons, *(reason for reason in own.reasons if reason.startswith(kept))]


def _sizes(configuration: Configuration) -> list[str]:
    reasons = []
    for size, design in configuration.sizes.items():
        twin = next(s for s, d in configuration.sizes.items() if d == design)
        told = f"patch {times(design.patch_size)}, batch {design.batch_size}, as there"
        told = told if twin == size else SAME.partition(";")[0].format(twin)
        reasons.append(f"{configuration.name} {size}: {told}.")
    return reasons
