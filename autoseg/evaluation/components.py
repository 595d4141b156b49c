"""What a rule would do to the Dice of every target, counted instead of tried.

The components of a target in a case are labelled once. For each is noted how many voxels every
target loses when it is removed, and how many of those were right. The Dice after
`largest_component` or any `min_component` is then a sum over a small table, and no volume is
written or read again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from scipy import ndimage

from autoseg.evaluation.label_maps import value_boxes
from autoseg.labels import Labels
from autoseg.masks import TOUCHING, mask_box
from autoseg.postprocess import change, removal_table
from autoseg.rules import ALL, Rule

DENSE_PAIRS = 1 << 16  # of values: so many are counted in a table


@dataclass(frozen=True)
class Counts:
    """Voxels of the K targets in one case, int64 (K,); without ignored ones."""

    reference: np.ndarray
    predicted: np.ndarray
    both: np.ndarray
    annotated: np.ndarray  # (K,) bool

    def dice(self) -> np.ndarray:
        """Return (K,) 2 |R and P| / (|R| + |P|); NaN where both are empty or nothing is known."""
        total = self.reference + self.predicted
        known = self.annotated & (total > 0)
        return np.where(known, 2 * self.both / np.maximum(total, 1), np.nan)


@dataclass(frozen=True)
class Components:
    """The C components of one target (or of all together) in a case, in scan order."""

    mm3: np.ndarray  # (C,) volumes
    targets: tuple[int, ...]  # rows of the A targets that lose voxels with them
    predicted: np.ndarray  # (C, A) voxels that each of these loses with the component
    both: np.ndarray  # (C, A) those of them that the reference has too


@dataclass(frozen=True)
class CaseTable:
    """Counts of a case, and its components for each target and for ALL."""

    case: str
    counts: Counts
    components: Mapping[str, Components]


def tabulate(
    case: str,
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    labels: Labels,
    annotated: Sequence[str] | None = None,
) -> CaseTable:
    """Return the table of two label maps (Z, Y, X) of file values on one grid; `spacing` in mm."""
    box = mask_box((prediction != 0) | (reference != 0))
    if box is None:
        prediction, reference = prediction[:0], reference[:0]
    else:
        prediction, reference = prediction[box], reference[box]
    found, truth = labels.encode(prediction), labels.encode(reference)
    counts = count(found, truth, labels, annotated)
    scopes = (ALL, *labels.names) if len(labels.names) > 1 else labels.names
    found = np.where(found == labels.ignored_index, 0, found)
    boxes = value_boxes(found)
    components = {
        scope: _components(found, truth, boxes, labels, scope, prod(spacing)) for scope in scopes
    }
    return CaseTable(case, counts, components)


def count(
    found: np.ndarray, truth: np.ndarray, labels: Labels, annotated: Sequence[str] | None = None
) -> Counts:
    """Return the counts of two arrays of value indices (`Labels.encode`) of one shape."""
    known = np.asarray([annotated is None or name in annotated for name in labels.names])
    ours, theirs, voxels = _joint(found, truth, labels)
    in_reference, in_prediction = labels.membership[:, ours], labels.membership[:, theirs]
    sums = (mask @ voxels for mask in (in_reference, in_prediction, in_reference & in_prediction))
    reference, predicted, both = sums
    return Counts(reference, predicted, both, known)


def _joint(
    found: np.ndarray, truth: np.ndarray, labels: Labels
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs of value indices, reference and prediction, that meet, and their voxels.

    Voxels that the reference ignores are not counted; a predicted ignore value is background.
    """
    size = len(labels.values) + 1
    valid = truth.ravel() != labels.ignored_index
    theirs = np.where(found.ravel() == labels.ignored_index, 0, found.ravel())
    pairs = truth.ravel()[valid].astype(np.int64) * size + theirs[valid]
    if size * size > pairs.size + DENSE_PAIRS:  # thousands of values, of which few meet
        met, voxels = np.unique(pairs, return_counts=True)
    else:
        counts = np.bincount(pairs)
        met = np.flatnonzero(counts)
        voxels = counts[met]
    return met // size, met % size, voxels


def _components(
    found: np.ndarray,
    truth: np.ndarray,
    boxes: Mapping[int, tuple[slice, ...]],
    labels: Labels,
    scope: str,
    voxel_mm3: float,
) -> Components:
    """Return the components of a scope in `found`, where the value indices lie in `boxes`."""
    member = labels.membership
    own = np.ones(len(labels.values) + 1, bool) if scope == ALL else (
        member[labels.names.index(scope)]
    )  # fmt: skip
    loses = _losers(labels, scope)
    targets = tuple(loses)
    parts = [boxes[int(index)] for index in np.flatnonzero(own) if int(index) in boxes]
    if not parts:
        nothing = np.zeros((0, len(targets)), dtype=np.int64)
        return Components(np.zeros(0), targets, nothing, nothing)
    box = tuple(
        slice(min(side.start for side in sides), max(side.stop for side in sides))
        for sides in zip(*parts, strict=True)
    )
    found, truth = found[box], truth[box]
    inside = (found > 0) & own[found]
    numbers, size = ndimage.label(inside, TOUCHING)
    mm3 = np.bincount(numbers.ravel(), minlength=size + 1)[1:] * voxel_mm3
    ours, theirs, number = found[inside], truth[inside], numbers[inside] - 1
    predicted, both = np.zeros((2, size, len(targets)), dtype=np.int64)
    valid = theirs != labels.ignored_index
    for column, (row, lost_values) in enumerate(loses.items()):
        lost = valid & lost_values[ours]
        predicted[:, column] = np.bincount(number[lost], minlength=size)
        right = lost & member[row][np.where(valid, theirs, 0)]
        both[:, column] = np.bincount(number[right], minlength=size)
    return Components(mm3, targets, predicted, both)


def _losers(labels: Labels, scope: str) -> dict[int, np.ndarray]:
    """Return the targets that lose a voxel when `scope` does, and in which value indices (V + 1,).

    These are the target itself and what lies in it.
    """
    member, table = labels.membership, removal_table(labels, scope)
    rows = range(len(member))
    if labels.exclusive and scope != ALL:  # nothing lies in it
        rows = range(labels.names.index(scope), labels.names.index(scope) + 1)
    lost = ((row, member[row] & ~member[row, table]) for row in rows)
    return {row: values for row, values in lost if values.any()}


def counts_without(table: CaseTable, scope: str, rule: Rule) -> Counts:
    """Return the counts of a case after a component rule, from its table alone."""
    parts = table.components[scope]
    gone = np.ones(len(parts.mm3), dtype=bool)
    if rule.name == "largest_component" and gone.size:
        gone[int(parts.mm3.argmax())] = False
    elif rule.name == "min_component":
        gone = parts.mm3 * (1 + 1e-9) < (rule.value or 0.0)
    predicted, both = table.counts.predicted.copy(), table.counts.both.copy()
    rows = list(parts.targets)
    predicted[rows] -= parts.predicted[gone].sum(0)
    both[rows] -= parts.both[gone].sum(0)
    return Counts(table.counts.reference, predicted, both, table.counts.annotated)


def counts_with(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: Sequence[float],
    labels: Labels,
    before: Counts,
    scope: str,
    rule: Rule,
) -> Counts:
    """Return the counts of a case after any rule, by trying it where it changes something."""
    changed = change(prediction, spacing, labels, scope, rule)
    if changed is None:
        return before
    box, values = changed
    moved = values != prediction[box]
    if not moved.any():
        return before
    truth = labels.encode(reference[box][moved])
    old = count(labels.encode(prediction[box][moved]), truth, labels)
    new = count(labels.encode(values[moved]), truth, labels)
    return Counts(
        before.reference,
        before.predicted + new.predicted - old.predicted,
        before.both + new.both - old.both,
        before.annotated,
    )
