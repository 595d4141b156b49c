"""A summary in the spelling of nnU-Net's `summary.json`, for tools that read that file.

Keys and meaning as nnU-Net 2.8.1 writes them: targets by value, "1" or "(1, 2)"; means leave out
cases in which a metric is not defined. What differs: not defined is null, never NaN (which is not
JSON); a target that no reference holds does not take part in `foreground_mean`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autoseg.evaluation.summary import occurs
from autoseg.labels import Labels
from autoseg.results import CaseScores, Summary

FILE = "nnunet_summary.json"
KEYS = {
    "Dice": "dice", "FN": "fn", "FP": "fp", "IoU": "iou", "TN": "tn", "TP": "tp",
    "n_pred": "n_pred", "n_ref": "n_ref",
}  # fmt: skip


def nnunet_summary(summary: Summary, labels: Labels) -> dict[str, Any]:
    """Return `foreground_mean`, `mean` and `metric_per_case` as JSON primitives."""
    keys = {target: _key(values) for target, values in labels.targets.items()}
    cases = [_case(case, keys) for case in summary.cases]
    mean = {
        key: {name: _mean([case["metrics"][key][name] for case in cases]) for name in KEYS}
        for key in keys.values()
    }
    present = [keys[target] for target in keys if occurs(summary.cases, target)]
    foreground = {name: _mean([mean[key][name] for key in present]) for name in KEYS}
    return {
        "foreground_mean": foreground,
        "mean": mean,
        "metric_per_case": cases,
    }


def _key(values: tuple[int, ...]) -> str:
    return str(values[0]) if len(values) == 1 else str(tuple(sorted(values)))


def _case(case: CaseScores, keys: Mapping[str, str]) -> dict[str, Any]:
    return {
        "metrics": {
            key: {name: case.metrics[target][ours].value for name, ours in KEYS.items()}
            for target, key in keys.items()
        },
        "prediction_file": case.prediction_file,
        "reference_file": case.reference_file,
    }


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
