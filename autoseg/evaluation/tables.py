"""A summary as files: `summary.json` and `metrics.csv`."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from autoseg.errors import CorruptError
from autoseg.evaluation.means import value_of
from autoseg.evaluation.summary import worst_cases
from autoseg.files import read_json, write_json, write_text
from autoseg.records import from_json, to_json
from autoseg.results import OK, CaseScores, Summary, Value

SUMMARY, METRICS_TABLE = "summary.json", "metrics.csv"


def write_summary(folder: Path, summary: Summary) -> None:
    """Write `metrics.csv` (case, target, metric, value, status) and then `summary.json`."""
    write_text(folder / METRICS_TABLE, metrics_csv(summary.cases))
    write_json(folder / SUMMARY, summary_json(summary))


def metrics_csv(cases: Sequence[CaseScores]) -> str:
    """Return one line for each value, in long format; a value that is not defined is empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["case", "target", "metric", "value", "status"])
    for case in cases:
        for target, values in case.metrics.items():
            for metric, value in values.items():
                number = "" if value.value is None else repr(value.value)
                writer.writerow([case.case, target, metric, number, value.status])
    return stream.getvalue()


def summary_json(summary: Summary) -> dict[str, Any]:
    """Return the summary as JSON primitives; a status is written where it is not `ok`."""
    return {
        "header": to_json(summary.header),
        "n": len(summary.cases),
        "foreground_mean": to_json(summary.foreground_mean),
        "mean": to_json(summary.mean),
        "case_mean": to_json(summary.case_mean),
        "by_tag": to_json(summary.by_tag),
        "agreement": to_json(summary.agreement),
        "worst_cases": {target: _worst_json(summary, target) for target in summary.mean},
        "targets_without_reference": list(summary.targets_without_reference),
        "failed": to_json(summary.failed),
        "metric_per_case": [case_json(case) for case in summary.cases],
    }


def _worst_json(summary: Summary, target: str) -> list[dict[str, Any]]:
    return [
        {
            "case": case.case,
            "dice": value_of(case, target, "dice").value,
            "prediction_file": case.prediction_file,
            "reference_file": case.reference_file,
        }
        for case in worst_cases(summary.cases, target)
    ]


def case_json(case: CaseScores) -> dict[str, Any]:
    """Return the scores of a case as JSON primitives."""
    record = {
        name: to_json(getattr(case, name))
        for name in case.__dataclass_fields__
        if name != "metrics"
    }
    record["metrics"] = {
        target: {metric: value.value for metric, value in values.items()}
        for target, values in case.metrics.items()
    }
    record["status"] = {
        target: {metric: value.status for metric, value in values.items() if value.status != OK}
        for target, values in case.metrics.items()
    }
    return record


def read_summary(path: Path) -> Summary:
    """Return what `write_summary` wrote; `path` is `summary.json`. CorruptError if it is not."""
    record = read_json(path)
    try:
        rest = {name: record[name] for name in _COPIED if name in record}
        cases = tuple(read_case(entry) for entry in record["metric_per_case"])
        summary = replace(from_json(Summary, {**rest, "cases": []}, str(path)), cases=cases)
    except (KeyError, TypeError, AttributeError) as error:
        raise _no_summary(repr(error), path) from error
    for lacking in _lacking(summary):
        raise _no_summary(lacking, path)
    return summary


def _no_summary(why: str, path: Path) -> CorruptError:
    remedy = "remove the folder and evaluate again"
    return CorruptError(f"is not a summary of autoseg ({why})", place=str(path), remedy=remedy)


def _lacking(summary: Summary) -> Iterator[str]:
    """Yield what is not there though every reader of a summary counts on it."""
    means = {f"mean.{target}": found for target, found in summary.mean.items()}
    if summary.mean:
        means["foreground_mean"] = summary.foreground_mean
    if summary.case_mean:
        means["case_mean"] = summary.case_mean
    for tag, targets in summary.by_tag.items():
        means |= {f"by_tag.{tag}.{t}": targets.get(t, {}) for t in summary.mean}
    yield from (f"{place} lacks dice" for place, found in means.items() if "dice" not in found)
    for case in summary.cases:
        for target in summary.mean:
            missing = [name for name in _ALWAYS if name not in case.metrics.get(target, {})]
            if missing:
                yield f"{case.case} lacks {', '.join(missing)} of {target}"


_ALWAYS = ("dice", "n_ref", "vol_ref_ml", "vol_pred_ml")  # metrics of every target in every case


_COPIED = (
    "mean", "foreground_mean", "header", "targets_without_reference", "failed", "by_tag",
    "case_mean", "agreement",
)  # fmt: skip


def read_case(entry: Mapping[str, Any]) -> CaseScores:
    """Return what `case_json` gave; raise KeyError, TypeError or AttributeError if it is not."""
    status = entry["status"]
    # Not through from_json: there are ten thousands of these, and two fields are soon checked.
    metrics = {
        target: {
            metric: _read_value(value, status[target].get(metric, OK))
            for metric, value in values.items()
        }
        for target, values in entry["metrics"].items()
    }
    rest = {name: value for name, value in entry.items() if name not in ("metrics", "status")}
    case = from_json(CaseScores, {**rest, "metrics": {}}, str(entry["case"]))
    return replace(case, metrics=metrics)


def _read_value(value: Any, status: Any) -> Value:
    # What is larger is none of ours, and NaN is larger than nothing.
    known = value is None or (isinstance(value, int | float) and abs(value) <= sys.float_info.max)
    if not known or not isinstance(status, str):
        raise TypeError(f"{value!r} with status {status!r} is not a value")
    return Value(value, status)
