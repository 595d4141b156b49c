"""From `Fingerprint` to `Plan`: a numbered chain of small rules, each with its reason.

    1 target spacing      4 3d_fullres, every size      6 batch Dice and cascade
    2 axis order          5 3d_lowres, when needed      7 2d, every size
    3 normalisers

The rules and their numbers are nnU-Net's (size M agrees with its default planner: tests/golden);
sizes are in `sizes.py`. The plan does not depend on the machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from autoseg import __version__
from autoseg.errors import number_of
from autoseg.labels import Labels
from autoseg.plan import Configuration, Design, Fingerprint, Plan
from autoseg.planning.normalizers import choose_normalizers
from autoseg.planning.sizes import BUDGETS, Task, budget_of, make_design
from autoseg.planning.spacing import (
    choose_axis_order,
    choose_spacing,
    is_flat,
    median_resampled_shape,
    percent,
    times,
)

SAME = "the same as {}; these data can use no more"
LOWRES_BELOW = 0.25  # patch / median case under which a coarser configuration is added
LOWRES_STEP = 1.03
LOWRES_SMALLER = 2.0  # times fewer voxels than 3d_fullres, or it is not worth while


@dataclass(frozen=True)
class Grid:
    """The median case on the grid of a configuration, plan axis order."""

    spacing: np.ndarray  # mm
    shape: np.ndarray  # voxels; medians of an even number of cases may be halves
    voxels: float


@dataclass(frozen=True)
class Common:
    """What all configurations share."""

    cases: int
    channels: int
    outputs: int
    normalizers: tuple[str, ...]
    mask: tuple[bool, ...]
    sizes: tuple[str, ...]


def make_plan(
    fingerprint: Fingerprint,
    labels: Labels,
    name: str,
    *,
    file_ending: str = ".nii.gz",
    memory_gb: float | None = None,
    spacing: tuple[float, float, float] | None = None,
    coarse_spacing: tuple[float, float, float] | None = None,
) -> Plan:
    """Return the plan for a data set; the same fingerprint gives the same plan on every machine.

    `memory_gb` adds a size for a GPU of that memory ("16GB"); `spacing` (mm, canonical Z, Y, X)
    replaces the target spacing, `coarse_spacing` that of 3d_lowres, which is then always planned.
    """
    target, spacing_reason = choose_spacing(fingerprint)
    if spacing is not None:
        target, spacing_reason = spacing, f"Target spacing {times(spacing)} mm: set by hand."
    axis_order, order_reason = choose_axis_order(fingerprint, target)
    normalizers, mask, normalizer_reasons = choose_normalizers(fingerprint)
    sizes = (*BUDGETS, *([f"{memory_gb:g}GB"] if memory_gb else []))
    common = Common(
        len(fingerprint.cases),
        len(fingerprint.channels),
        output_count(labels),
        normalizers,
        mask,
        sizes,
    )
    order = list(axis_order)
    shape = median_resampled_shape(fingerprint, target)[order]
    grid = Grid(np.asarray(target)[order], shape, float(np.prod(shape)))
    slices = float(np.median(fingerprint.shapes, axis=0)[axis_order[0]])
    configurations, reasons_2d = _plan_2d(common, grid, slices)
    reasons_3d = ["The data are flat: only 2d is planned."]
    if not is_flat(fingerprint):
        by_hand = None if coarse_spacing is None else np.asarray(coarse_spacing)[order]
        volumes, reasons_3d = _plan_3d(common, grid, by_hand)
        configurations |= volumes
    reasons = [_summary(fingerprint), spacing_reason, order_reason, *normalizer_reasons]
    reasons += [*reasons_3d, *reasons_2d, *_left_right(labels)]
    reasons += [f"Warning: {warning}" for warning in fingerprint.warnings]
    return Plan(
        name,
        fingerprint.channels,
        labels,
        axis_order,
        fingerprint.intensities,
        configurations,
        tuple(reasons),
        file_ending,
        __version__,
        units=fingerprint.units,
        usual=fingerprint.usual,
    )


def output_count(labels: Labels) -> int:
    """Return the outputs that the memory estimate counts.

    nnU-Net counts every entry of "labels", background and ignore included, for regions as well.
    """
    return 1 + len(labels.targets) + (labels.ignore is not None)


def _summary(fingerprint: Fingerprint) -> str:
    shape = times([int(edge) for edge in np.median(fingerprint.shapes, axis=0)])
    spacing = times([float(s) for s in np.median(fingerprint.spacings, axis=0)])
    number = len(fingerprint.cases)
    return (
        f"{number_of(number, 'case')}, median {shape} voxels of {spacing} mm (Z, Y, X) "
        f"inside the non-zero box, which keeps {percent(fingerprint.kept_fraction)} of a scan."
    )


# --- 4 to 6 volumes ------------------------------------------------------------------------------


def _plan_3d(
    common: Common, grid: Grid, coarse_spacing: np.ndarray | None = None
) -> tuple[dict[str, Configuration], list[str]]:
    sizes, reasons = _make_sizes(common, "3d_fullres", _task(common, grid))
    fullres = _configuration(common, "3d_fullres", grid, sizes)
    coarse, lowres_reason = choose_lowres(common, grid, sizes["M"])
    # Asking for a coarser grid changes nothing about the fine one.
    fullres = replace(fullres, batch_dice=coarse is not None)
    dice = "3d_fullres: Dice is taken per patch, which sees much of a case."
    if coarse is not None:
        dice = (
            "Dice is taken over the batch in 3d_fullres, whose patch sees little of a case, and "
            "per patch in 3d_lowres."
        )
    if coarse_spacing is not None:
        coarse = _on_grid(grid, coarse_spacing)
        lowres_reason = f"3d_lowres at {times(coarse_spacing.tolist())} mm: set by hand."
    reasons.append(lowres_reason)
    if coarse is None:
        return {"3d_fullres": fullres}, [*reasons, dice]
    coarse_sizes, coarse_reasons = _make_sizes(common, "3d_lowres", _task(common, coarse))
    reasons += [
        *coarse_reasons,
        dice,
        "3d_cascade_fullres: 3d_fullres with the prediction of 3d_lowres as a further input.",
    ]
    return {
        "3d_lowres": _configuration(common, "3d_lowres", coarse, coarse_sizes),
        "3d_fullres": fullres,
        "3d_cascade_fullres": replace(fullres, name="3d_cascade_fullres", previous="3d_lowres"),
    }, reasons


def choose_lowres(common: Common, grid: Grid, design: Design) -> tuple[Grid | None, str]:
    """Return the coarser grid on which a patch of size M sees a quarter of the median case.

    None when that is so already. `design` is size M on `grid`. Axes that are twice finer than the
    coarsest go first.
    """
    patch, coarse = prod(design.patch_size), grid
    seen = f"a patch of size M sees {percent(min(1.0, patch / grid.voxels))} of the median case"
    while patch / coarse.voxels < LOWRES_BELOW:
        spacing = coarse.spacing.copy()
        finer = spacing.max() / spacing > 2
        spacing[finer if finer.any() else slice(None)] *= LOWRES_STEP
        coarse = _on_grid(grid, spacing)
        # Planned anew at every step: on another grid the same memory gives another patch.
        patch = prod(make_design(_task(common, coarse), BUDGETS["M"])[0].patch_size)
    if coarse is grid:
        return None, f"No 3d_lowres: {seen} (below {percent(LOWRES_BELOW)} there is one)."
    if grid.voxels / coarse.voxels < LOWRES_SMALLER:
        return None, f"No 3d_lowres: {seen}, but it would have more than half of the voxels."
    return coarse, (
        f"3d_lowres at {times(coarse.spacing.tolist())} mm: {seen}, below "
        f"{percent(LOWRES_BELOW)}; on this grid it sees that much."
    )


def _on_grid(grid: Grid, spacing: np.ndarray) -> Grid:
    """Return the median case at another spacing."""
    shape = grid.spacing / spacing * grid.shape
    whole = np.array([max(1, round(edge)) for edge in shape.tolist()])
    return Grid(spacing, whole, float(np.prod(shape)))


# --- 7 slices ------------------------------------------------------------------------------------


def _plan_2d(
    common: Common, grid: Grid, slices: float
) -> tuple[dict[str, Configuration], list[str]]:
    plane = Grid(grid.spacing[1:], grid.shape[1:], grid.voxels)
    sizes, reasons = _make_sizes(common, "2d", _task(common, plane))
    whole = replace(grid, shape=np.array([slices, *grid.shape[1:]]))
    configuration = _configuration(common, "2d", whole, sizes)
    spacing = (None, configuration.spacing[1], configuration.spacing[2])
    reasons.append("2d: Dice is taken over the batch, as one slice seldom shows every target.")
    return {"2d": replace(configuration, spacing=spacing, batch_dice=True)}, reasons


# --- shared --------------------------------------------------------------------------------------


def _task(common: Common, grid: Grid) -> Task:
    return Task(
        tuple(grid.spacing.tolist()),
        tuple(grid.shape.tolist()),
        grid.voxels * common.cases,
        common.channels,
        common.outputs,
    )


def _make_sizes(common: Common, name: str, task: Task) -> tuple[dict[str, Design], list[str]]:
    designs: dict[str, Design] = {}
    reasons = []
    for size in common.sizes:
        design, reason = make_design(task, budget_of(size))
        twin = next((known for known in designs if designs[known] == design), None)
        if twin is not None:
            reason = SAME.format(twin)
        designs[size] = design
        reasons.append(f"{name} {size}: {reason}.")
    return designs, reasons


def _configuration(
    common: Common, name: str, grid: Grid, sizes: Mapping[str, Design]
) -> Configuration:
    z, y, x = grid.spacing.tolist()
    depth, height, width = (max(1, round(edge)) for edge in grid.shape.tolist())
    return Configuration(
        name,
        (z, y, x),
        (depth, height, width),
        common.normalizers,
        common.mask,
        batch_dice=False,
        sizes=dict(sizes),
    )


def _left_right(labels: Labels) -> list[str]:
    reasons = [
        f"Mirroring left-right exchanges {left} and {right}." for left, right in labels.pairs
    ]
    if labels.lonely_sides:
        reasons.append(f"Warning: {labels.lonely_warning}.")
    return reasons
