"""Scores of one case, from two label maps; and the settings that every score is stored with.

>>> scores = [score_case(prediction, reference, geometry, labels, case="patient_007")]
>>> summary = summarise(scores, labels, make_header(labels))
>>> write_summary(folder, summary)
>>> text = format_table(summary)
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

import autoseg
from autoseg.errors import DataError, UsageError, suggest
from autoseg.evaluation.calibration import check_probabilities
from autoseg.evaluation.label_maps import (
    LabelMap,
    judged_voxels,
    load_label_map,
    target_masks,
    undeclared,
)
from autoseg.evaluation.lesions import LesionRules
from autoseg.evaluation.metrics import SCORES, measure_target, skipped
from autoseg.evaluation.optional import check_groups, measure_groups, skipped_groups
from autoseg.evaluation.overview import format_table
from autoseg.evaluation.summary import summarise
from autoseg.evaluation.surface import MODES
from autoseg.evaluation.tables import read_summary, write_summary
from autoseg.image import Geometry
from autoseg.labels import Labels
from autoseg.results import MISSING_PRED, PRED_EMPTY, CaseScores, Value

__all__ = [
    "choose_tolerances", "format_table", "make_header", "read_summary", "score_case", "summarise",
    "write_summary",
]  # fmt: skip

NSD_TOLERANCE_MM = 2.0  # where nobody declared one; no value is right for every organ


def score_case(
    prediction: np.ndarray | None,
    reference: np.ndarray,
    geometry: Geometry,
    labels: Labels,
    *,
    case: str,
    tags: tuple[str, ...] = (),
    tolerances: Mapping[str, float] | None = None,
    mode: str = "surfel",
    annotated: tuple[str, ...] | None = None,
    reference_file: str = "",
    prediction_file: str = "",
    groups: Collection[str] = (),
    lesion_rules: LesionRules | None = None,
    probabilities: np.ndarray | None = None,
) -> CaseScores:
    """Return every metric of every target in one case.

    `prediction` and `reference` are label maps (Z, Y, X) of file values on one grid, `geometry` is
    the reference's. No prediction (None) counts as an empty one, with status `missing_pred`.
    `tolerances`: mm for each target, None: as `choose_tolerances`. Targets that are not in
    `annotated` are skipped; None: all are annotated.
    `groups`: what else is measured, of lesions, topology, calibration (`evaluation/optional.py`);
    calibration needs `probabilities` (channels, Z, Y, X).
    Raises DataError naming the case for shapes that differ and for values that no target has.
    """
    if mode not in MODES:
        raise UsageError(f"unknown surface mode '{mode}'", remedy=suggest(mode, MODES))
    found = np.zeros(reference.shape, np.uint8) if prediction is None else prediction
    _check_shapes(found, reference, geometry, case)
    ours = load_label_map(reference, reference_file or f"{case} (reference)")
    theirs = load_label_map(found, prediction_file or f"{case} (prediction)")
    _check_values(ours, theirs, labels, case, reference_file, prediction_file)
    check_groups(groups)
    if probabilities is not None:
        check_probabilities(probabilities, geometry.shape, labels, case)
    limits = choose_tolerances(labels)[0] | dict(tolerances or {})
    flat_axis = geometry.shape.index(1) if 1 in geometry.shape else None
    voxels = judged_voxels(ours, labels)
    metrics: dict[str, Mapping[str, Value]] = {}
    for target in labels.names:
        if not voxels or (annotated is not None and target not in annotated):
            metrics[target] = skipped() | skipped_groups(groups, lesion_rules)
            continue
        masks = target_masks(ours, theirs, labels, target)
        values = measure_target(*masks, geometry.spacing, limits[target], mode, flat_axis, voxels)
        values |= measure_groups(
            groups, ours, theirs, labels, target, geometry.spacing, flat_axis, lesion_rules,
            probabilities,
        )  # fmt: skip
        metrics[target] = _mark_missing(values) if prediction is None else values
    return CaseScores(
        case, metrics, geometry.spacing, geometry.diagonal_mm, reference_file, prediction_file,
        tags, 3 if flat_axis is None else 2,
    )  # fmt: skip


def choose_tolerances(
    labels: Labels, argument: float | Mapping[str, float] | None = None
) -> tuple[dict[str, float], dict[str, str]]:
    """Return for each target the NSD tolerance in mm, and where it comes from.

    The argument (one number, or one for each target named) goes before the dataset's declaration,
    that before the fixed `NSD_TOLERANCE_MM`. It never depends on a case's spacing: scores of
    different cases could not be compared.
    """
    given = argument if isinstance(argument, Mapping) else {}
    if isinstance(argument, int | float):
        given = dict.fromkeys(labels.names, float(argument))
    declared = labels.nsd_tolerance_mm
    tolerances, sources = {}, {}
    for name in [*given, *declared]:
        if name not in labels.targets:
            remedy = suggest(name, labels.names)
            raise UsageError(f"NSD tolerance for an unknown target '{name}'", remedy=remedy)
    for name in labels.names:
        known = {"argument": name in given, "dataset": name in declared, "default": True}
        sources[name] = next(source for source, applies in known.items() if applies)
        tolerances[name] = float(given.get(name, declared.get(name, NSD_TOLERANCE_MM)))
        if not 0 <= tolerances[name] < float("inf"):
            raise UsageError(
                f"NSD tolerance of {tolerances[name]} mm for '{name}'", expected="0 mm or more"
            )
    return tolerances, sources


def make_header(
    labels: Labels,
    argument: float | Mapping[str, float] | None = None,
    mode: str = "surfel",
    **more: Any,
) -> dict[str, Any]:
    """Return what a number needs beside it to be comparable: version, mode, tolerances, policy."""
    tolerances, sources = choose_tolerances(labels, argument)
    return {
        "autoseg": autoseg.__version__,
        "mode": mode,
        "hd95": "maximum of the two directed 95th percentiles, mm",
        "assd": "pooled over both directions, mm",
        "nsd_tolerance_mm": tolerances,
        "nsd_tolerance_source": sources,
        "both_empty": "null",
        "targets": {name: list(values) for name, values in labels.targets.items()},
        "ignore": labels.ignore,
        **more,
    }


def _check_shapes(
    prediction: np.ndarray, reference: np.ndarray, geometry: Geometry, case: str
) -> None:
    for array, name in ((reference, "reference"), (prediction, "prediction")):
        if array.shape != tuple(geometry.shape):
            raise DataError(
                f"the {name} has {_size(array.shape)} voxels",
                place=case,
                expected=_size(geometry.shape),
                remedy="predict on the grid of the image that was labelled",
            )


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _check_values(
    reference: LabelMap,
    prediction: LabelMap,
    labels: Labels,
    case: str,
    reference_file: str,
    prediction_file: str,
) -> None:
    ignored = [] if labels.ignore is None else [labels.ignore]
    ours, theirs = (
        reference_file or f"{case} (reference)",
        prediction_file or f"{case} (prediction)",
    )
    problems = [
        *undeclared(reference, [*labels.values, *ignored], ours, "--reference-map"),
        *undeclared(prediction, labels.values, theirs, "--label-map"),
    ]
    if problems:
        raise DataError("has label values of no target", place=case, problems=problems)


def _mark_missing(values: Mapping[str, Value]) -> dict[str, Value]:
    """Return the values with the status `missing_pred`, where there was something to predict."""
    if not values["n_ref"].value:
        return dict(values)
    return {
        key: Value(value.value, MISSING_PRED)
        if key in SCORES or value.status == PRED_EMPTY
        else value
        for key, value in values.items()
    }
