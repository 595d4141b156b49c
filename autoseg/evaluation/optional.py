"""The groups of metrics that are measured when asked for: lesions, topology, calibration."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.errors import UsageError, suggest
from autoseg.evaluation.calibration import (
    BINS,
    CALIBRATION_METRICS,
    MARGIN_MM,
    measure_calibration,
)
from autoseg.evaluation.label_maps import LabelMap, target_masks
from autoseg.evaluation.lesions import LesionRules, measure_lesions
from autoseg.evaluation.topology import TOPOLOGY_METRICS, measure_topology
from autoseg.labels import Labels
from autoseg.results import SKIPPED, Value

LESIONS, TOPOLOGY, CALIBRATION = GROUPS = ("lesions", "topology", "calibration")


@dataclass(frozen=True)
class OptionalGroups:
    """Which groups are measured, and how."""

    groups: tuple[str, ...] = ()
    lesions: LesionRules = field(default_factory=LesionRules)
    probabilities: Path | None = None  # folder of <case>.npz, for calibration

    def __post_init__(self) -> None:
        check_groups(self.groups)
        if (CALIBRATION in self.groups) != (self.probabilities is not None):
            raise UsageError(
                "calibration and probabilities need each other",
                expected="--groups calibration --probabilities FOLDER",
            )
        if self.lesions != LesionRules() and LESIONS not in self.groups:
            raise UsageError("rules of lesions without the group", remedy="--groups lesions")

    def header(self) -> dict[str, Any]:
        """Return what a number of these groups needs beside it; nothing without groups."""
        notes: dict[str, Any] = {}
        if LESIONS in self.groups:
            notes["lesions"] = self.lesions
        if CALIBRATION in self.groups:
            notes["calibration"] = {"margin_mm": MARGIN_MM, "bins": BINS}
        return {"groups": list(self.groups), **notes} if self.groups else {}


def check_groups(groups: Collection[str]) -> None:
    """Raise UsageError naming the near one for a group that does not exist."""
    for name in groups:
        if name not in GROUPS:
            raise UsageError(f"unknown group of metrics '{name}'", remedy=suggest(name, GROUPS))


def measure_groups(
    groups: Collection[str],
    reference: LabelMap,
    prediction: LabelMap,
    labels: Labels,
    target: str,
    spacing: Sequence[float],
    flat_axis: int | None = None,
    lesion_rules: LesionRules | None = None,
    probabilities: np.ndarray | None = None,
) -> dict[str, Value]:
    """Return the metrics of these groups for one target; `probabilities` (channels, Z, Y, X)."""
    values: dict[str, Value] = {}
    if LESIONS in groups or TOPOLOGY in groups:
        masks = target_masks(reference, prediction, labels, target)
        steps = list(spacing)
        if flat_axis is not None:
            masks = masks[0].max(flat_axis, initial=False), masks[1].max(flat_axis, initial=False)
            del steps[flat_axis]
        if LESIONS in groups:
            values |= measure_lesions(*masks, steps, lesion_rules or LesionRules())
        if TOPOLOGY in groups:
            values |= measure_topology(*masks, steps)
    if CALIBRATION in groups:
        if probabilities is None:
            raise UsageError("calibration without probabilities", expected="probabilities=")
        values |= measure_calibration(probabilities, reference, prediction, labels, target, spacing)
    return values


def skipped_groups(
    groups: Collection[str], lesion_rules: LesionRules | None = None
) -> dict[str, Value]:
    """Return what stands for these groups where a target is not judged in a case."""
    names = {
        LESIONS: (lesion_rules or LesionRules()).metrics,
        TOPOLOGY: TOPOLOGY_METRICS,
        CALIBRATION: CALIBRATION_METRICS,
    }
    return {
        key: Value(None, SKIPPED) for group in GROUPS if group in groups for key in names[group]
    }
