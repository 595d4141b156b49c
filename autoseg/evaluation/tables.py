"""A summary as files (`summary.json`, `metrics.csv`) and as text for the screen."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from autoseg.errors import CorruptError
from autoseg.evaluation.metrics import DISTANCES, SCORES
from autoseg.evaluation.summary import MISSES, foreground_mean, groups, occurs
from autoseg.files import from_json, read_json, to_json, write_json, write_text
from autoseg.results import OK, CaseScores, Mean, Summary, Value

SUMMARY, METRICS_TABLE = "summary.json", "metrics.csv"
TITLES = {"dice": "Dice", "iou": "IoU", "hd95": "HD95 mm", "assd": "ASSD mm", "nsd": "NSD"}


# --- files ---------------------------------------------------------------------------------------


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
        "by_tag": to_json(summary.by_tag),
        "targets_without_reference": list(summary.targets_without_reference),
        "failed": to_json(summary.failed),
        "metric_per_case": [_case_json(case) for case in summary.cases],
    }


def _case_json(case: CaseScores) -> dict[str, Any]:
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
        rest = {name: record[name] for name in _COPIED}
        cases = tuple(_read_case(entry) for entry in record["metric_per_case"])
        return replace(from_json(Summary, {**rest, "cases": []}, str(path)), cases=cases)
    except (KeyError, TypeError, AttributeError) as error:
        raise CorruptError(
            f"is not a summary of autoseg ({error!r})",
            place=str(path),
            remedy="remove the folder and evaluate again",
        ) from error


_COPIED = ("mean", "foreground_mean", "header", "targets_without_reference", "failed", "by_tag")


def _read_case(entry: Mapping[str, Any]) -> CaseScores:
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
    if not isinstance(value, int | float | None) or not isinstance(status, str):
        raise TypeError(f"{value!r} with status {status!r} is not a value")
    return Value(value, status)


# --- text ----------------------------------------------------------------------------------------


def format_table(summary: Summary) -> str:
    """Return the table for the screen: every mean with its n, groups by tag, misses spelled out."""
    lines = [_title(summary)]
    if not summary.mean:
        lines.append("no means: the evaluation is incomplete")
    for tag, group in groups(summary.cases).items():
        mean = summary.by_tag.get(tag, {})
        lines += ["", f"{tag or 'without a tag'} ({_cases(len(group))})"]
        absent = [target for target in mean if not occurs(group, target)]
        if len(absent) < len(mean):
            lines += _rows(mean, foreground_mean(mean, absent), absent)
        lines += _false_positives(group, absent)
    if summary.mean:
        lines += ["", f"all cases ({len(summary.cases)})"] if summary.by_tag else []
        lines += _rows(summary.mean, summary.foreground_mean, summary.targets_without_reference)
    if summary.targets_without_reference:
        lines.append(f"in no reference: {', '.join(summary.targets_without_reference)}")
    lines += [f"failed: {case}: {reason}" for case, reason in summary.failed.items()]
    return "\n".join(lines)


def _title(summary: Summary) -> str:
    tolerances = summary.header.get("nsd_tolerance_mm")
    sources = summary.header.get("nsd_tolerance_source")
    parts = [_cases(len(summary.cases)), f"surfaces: {summary.header.get('mode', 'unknown')}"]
    if isinstance(tolerances, Mapping) and isinstance(sources, Mapping):
        kinds = sorted({(tolerances[name], sources[name]) for name in tolerances})
        parts.append("NSD within " + ", ".join(f"{mm:g} mm ({source})" for mm, source in kinds))
    return "; ".join(parts)


def _rows(
    mean: Mapping[str, Mapping[str, Mean]],
    foreground: Mapping[str, Mean],
    absent: Sequence[str],
) -> list[str]:
    table = [["target", *TITLES.values(), "Dice median"]]
    notes = []
    for target, means in mean.items():
        if target in absent:
            continue
        cells = [_cell(means[metric], metric) for metric in TITLES]
        table.append([target, *cells, _number(means["dice"].median, "dice")])
        notes += [_miss(target, metric, means[metric]) for metric in DISTANCES]
    if len(table) > 2:
        row = [_number(foreground[metric].mean, metric) for metric in SCORES]
        counts = {(entry.n, entry.of) for entry in foreground.values()}
        n, of = min(counts)
        name = f"mean of {n} targets" if n == of else f"mean of {n} to {of} targets"
        table.append([name, *row, ""])
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
    return lines + [note for note in notes if note]


def _cell(mean: Mean, metric: str) -> str:
    n = f"n={mean.n}" if mean.n == mean.of else f"n={mean.n} of {mean.of}"
    return f"{_number(mean.mean, metric)} {n}"


def _number(value: float | None, metric: str) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if metric in DISTANCES else f"{value:.4f}"


def _miss(target: str, metric: str, mean: Mean) -> str:
    missed = sum(mean.statuses.get(status, 0) for status in MISSES)
    if not missed:
        return ""
    return (
        f"  {target}: {metric} {_number(mean.mean, metric)} mm (n={mean.n} of {mean.of}; "
        f"penalised {_number(mean.penalised, metric)} mm; {missed} missed or false)"
    )


def _false_positives(group: Sequence[CaseScores], absent: Sequence[str]) -> list[str]:
    """Say what was found in a group where no reference has the target, as in controls."""
    lines = []
    for target in absent:
        voxels = [case.metrics[target]["fp"].value or 0 for case in group]
        volume = sum(case.metrics[target]["fp_volume_ml"].value or 0 for case in group)
        wrong = sum(count > 0 for count in voxels)
        lines.append(
            f"{target}: in no reference; false positives in {wrong} of {_cases(len(group))}: "
            f"{sum(voxels):.0f} voxels, {volume:.3g} ml "
            f"(mean {sum(voxels) / len(group):.1f} voxels a case)"
        )
    return lines


def _cases(n: int) -> str:
    return f"{n} case" if n == 1 else f"{n} cases"
