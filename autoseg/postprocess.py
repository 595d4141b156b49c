"""Rules on label maps: what is removed from, or added to, each target after decoding.

A rule is a name and at most one number. Rules are applied in four stages; within a stage first
those of all targets together (`ALL`), then target by target in writing order:

    1  threshold          probability above which an overlapping target is present (when decoding)
    2  largest_component  only the largest component stays
       min_component      components smaller than so many mm3 go; min_voxels: than so many voxels
    3  fill_holes         what a target encloses on all sides belongs to it
    4  closing, opening   with a ball of so many mm; gaussian: the mask blurred by so many mm, and
                          cut at a half

Components touch at faces, edges or corners. A voxel that is removed gets the value of what it still
is (a kidney where a tumour was removed), else background. A voxel is added only where a value says
both what it was and what it becomes: background always, the voxels of exclusive targets never.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from autoseg.labels import Labels
from autoseg.masks import (
    Box,
    closing,
    fill_holes,
    gaussian,
    largest_component,
    mask_box,
    min_component,
    min_voxels,
    opening,
)
from autoseg.rules import ALL, Rule, Rules, in_order


def apply_rules(
    label_map: np.ndarray, spacing: Sequence[float], labels: Labels, rules: Rules
) -> np.ndarray:
    """Return a label map (Z, Y, X) of file values with `rules` applied; `spacing` in mm.

    The input is not changed. Thresholds are for the decoder and change nothing here.
    """
    steps = [step for step in in_order(rules, labels) if step[1].name != "threshold"]
    result = label_map.copy() if steps else label_map
    for scope, rule in steps:
        changed = change(result, spacing, labels, scope, rule)
        if changed is not None:
            box, values = changed
            result[box] = values
    return result


def change(
    label_map: np.ndarray, spacing: Sequence[float], labels: Labels, scope: str, rule: Rule
) -> tuple[Box, np.ndarray] | None:
    """Return the box that a rule changes in a label map and the values there; None: nothing."""
    box = mask_box(scope_mask(label_map, labels, scope))
    if box is None:
        return None
    # One voxel more, so that only the border of the image itself is without background.
    box = tuple(
        slice(max(0, side.start - 1), min(n, side.stop + 1))
        for side, n in zip(box, label_map.shape, strict=True)
    )
    part = label_map[box].copy()
    mask = scope_mask(part, labels, scope)
    new = _FUNCTIONS[rule.name](mask, spacing, rule.value or 0.0)
    for where, table in (
        (mask & ~new, removal_table(labels, scope)),
        (new & ~mask, addition_table(labels, scope)),
    ):
        if where.any():
            part[where] = _of_values(table, labels, int(part.max()))[part[where]]
    return box, part


def _of_values(table: np.ndarray, labels: Labels, largest: int) -> np.ndarray:
    """Return a table of value indices as one of label values; undeclared values stay."""
    values = np.asarray([0, *labels.values])
    lookup = np.arange(max(largest, int(values.max())) + 1)
    lookup[values] = values[table]
    return lookup


_FUNCTIONS: dict[str, Callable[[np.ndarray, Sequence[float], float], np.ndarray]] = {
    "largest_component": lambda mask, spacing, value: largest_component(mask),
    "min_component": min_component,
    "min_voxels": lambda mask, spacing, value: min_voxels(mask, value),
    "fill_holes": lambda mask, spacing, value: fill_holes(mask),
    "closing": closing,
    "opening": opening,
    "gaussian": gaussian,
}


def scope_mask(label_map: np.ndarray, labels: Labels, scope: str) -> np.ndarray:
    """Return the boolean mask of a target, or of all targets together, in a label map."""
    if scope != ALL:
        return labels.mask(label_map, scope)
    return (
        np.asarray(label_map != 0) if labels.ignore is None else np.isin(label_map, labels.values)
    )


# --- which value a voxel gets --------------------------------------------------------------------


def removal_table(labels: Labels, scope: str) -> np.ndarray:
    """Return (V + 1,) the value index that each value index gets where `scope` is removed.

    It is the one that belongs to most of the voxel's other targets and to nothing else.
    """
    table = np.arange(len(labels.values) + 1)
    if scope == ALL:
        return np.zeros_like(table)
    member = labels.membership
    row = labels.names.index(scope)
    if labels.exclusive:  # nothing is left but background
        table[member[row]] = 0
        return table
    for index in np.flatnonzero(member[row]):
        wanted = member[:, index].copy()
        wanted[row] = False
        fits = ~(member & ~wanted[:, None]).any(0)
        table[index] = int(np.where(fits, member.sum(0), -1).argmax())
    return table


def addition_table(labels: Labels, scope: str) -> np.ndarray:
    """Return (V + 1,) the value index that each value index gets where target `scope` is added.

    It is the one that belongs to the target, to all that the voxel belonged to, and to least else;
    a voxel for which there is none keeps its own.
    """
    table = np.arange(len(labels.values) + 1)
    if scope == ALL:
        return table
    member = labels.membership
    row = labels.names.index(scope)
    first = labels.index_of[labels.targets[scope][0]]
    if labels.exclusive:  # only background becomes it
        table[0] = first
        return table
    for index in np.flatnonzero(~member[row]):
        wanted = member[:, index].copy()
        wanted[row] = True
        fits = ~(wanted[:, None] & ~member).any(0)
        size = np.where(fits, member.sum(0), len(member) + 1)
        best = first if size[first] == size.min() else int(size.argmin())
        table[index] = best if fits[best] else index
    return table
