"""A summary as tables that a person reads: means with n, intervals, worst cases, volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from autoseg.case_files import PICTURES
from autoseg.errors import number_of
from autoseg.evaluation.compat import format_compat
from autoseg.evaluation.layout import Table, lay_out
from autoseg.evaluation.means import MISSES, foreground_mean, value_of
from autoseg.evaluation.metrics import DISTANCES, METRICS
from autoseg.evaluation.statistics import FEWEST_FOR_BCA
from autoseg.evaluation.summary import WORST, groups, judged, occurs, patients_of
from autoseg.records import to_json
from autoseg.results import IN_WORDS, OK, CaseScores, Mean, Summary

TITLES = {"dice": "Dice", "nsd": "NSD", "hd95": "HD95 mm", "assd": "ASSD mm"}
ON_SCREEN = 20  # targets whose volumes are shown there; all are in summary.json
PIXELS = "pictures without a size (in <case>.json): a pixel counts as 1 mm, a picture as 1 mm thick"


def format_table(summary: Summary, style: str = "plain") -> str:
    """Return the tables of a summary: `plain` for the screen, `markdown` or `latex` for a paper.

    No mean stands without its n: that of the row, unless the cell has its own. Where anything was
    missed, the penalised mean of a distance stands beside the plain one.
    """
    tables = [Table(_title(summary))] if summary.by_tag or not summary.mean else []
    if not summary.mean:
        tables.append(Table(notes=("no means: the evaluation is incomplete",)))
    for tag, group in groups(summary.cases).items():
        tables += _group_tables(tag or "without a tag", group, summary.by_tag.get(tag, {}))
    if summary.mean:
        title = f"all cases ({len(summary.cases)})" if summary.by_tag else _title(summary)
        absent = summary.targets_without_reference
        foreground = summary.foreground_mean
        tables.append(_score_table(title, summary.mean, absent, foreground, summary.case_mean))
        tables += _further_table(summary)
        few = len(summary.agreement) <= ON_SCREEN or style != "plain"
        tables += [_volume_table(summary)] if summary.agreement and few else []
        tables += [_worst_table(summary)] if style == "plain" else []
    ends = [f"in no reference: {', '.join(summary.targets_without_reference)}"]
    ends = ends if summary.targets_without_reference else []
    ends += [PIXELS] if _without_size(summary.cases) else []
    ends += format_compat(summary.header)
    ends += [f"failed: {case}: {reason}" for case, reason in summary.failed.items()]
    tables += [Table(notes=tuple(ends))] if ends else []
    return lay_out(tables, style)


def count_cases(cases: int, patients: int | None = None) -> str:
    """Return "1 case", "2 cases", and of how many patients they are where that is not the same."""
    text = number_of(cases, "case")
    if patients is None or patients == cases:
        return text
    return f"{text} of {number_of(patients, 'patient')}"


def digits(metric: str) -> int:
    """Return how many decimals a value of this metric deserves."""
    if metric.endswith("_ml"):
        return 3  # a voxel is often a microlitre
    return 2 if metric in DISTANCES or metric.endswith(("_mm", "hd95")) else 4


def number(value: float | None, metric: str) -> str:
    """Return a value with the digits of its metric; "-" for none."""
    return "-" if value is None else f"{value:.{digits(metric)}f}"


def bounds(interval: tuple[float, float] | None, metric: str) -> str:
    """Return an interval in brackets, a fraction with one digit less than itself; "-" for none."""
    if interval is None:
        return "-"
    places = min(digits(metric), 3)
    return f"[{interval[0]:.{places}f}, {interval[1]:.{places}f}]"


def describe_settings(header: Mapping[str, object]) -> str:
    """Return the surface mode and the tolerances of NSD, which every number depends on."""
    parts = [f"surfaces: {header.get('mode', 'unknown')}"]
    tolerances, sources = header.get("nsd_tolerance_mm"), header.get("nsd_tolerance_source")
    if isinstance(tolerances, Mapping) and isinstance(sources, Mapping):
        kinds = sorted({(tolerances[name], sources[name]) for name in tolerances})
        parts.append("NSD within " + ", ".join(f"{mm:g} mm ({source})" for mm, source in kinds))
    return "; ".join(parts)


def _without_size(cases: Sequence[CaseScores]) -> bool:
    """Is any case a picture whose voxel size nobody gave (pictures.spacing_beside)?"""
    plain = [case for case in cases if case.spacing == (1, 1, 1)]
    files = (case.reference_file or case.prediction_file for case in plain)
    return any(file.lower().endswith(PICTURES) for file in files)


def _title(summary: Summary) -> str:
    patients = len(set(patients_of(summary.cases)))
    return f"{count_cases(len(summary.cases), patients)}; {describe_settings(summary.header)}"


def _score_table(
    title: str,
    mean: Mapping[str, Mapping[str, Mean]],
    absent: Sequence[str],
    foreground: Mapping[str, Mean],
    within: Mapping[str, Mean],
) -> Table:
    shown = {target: means for target, means in mean.items() if target not in absent}
    missed = any(_missed(means) for means in shown.values())
    head = ["target", "n", "Dice", "sd", "95 % interval", "median", "min"]
    for metric in ("nsd", "hd95", "assd"):
        head += [TITLES[metric], *(["penalised"] if missed and metric in DISTANCES else [])]
    rows = [_row(target, means, missed) for target, means in shown.items()]
    if len(shown) > 1:
        rows.append(_row("mean of targets", foreground, missed, "targets"))
        rows += [_row("mean within cases", within, missed)] if within else []
    notes = [_statuses(target, means) for target, means in shown.items()]
    everything = [*shown.values(), within] if within else list(shown.values())
    notes.append(_about_intervals([means["dice"] for means in everything]))
    return Table(title, tuple(head), tuple(rows), tuple(note for note in notes if note))


def _row(name: str, means: Mapping[str, Mean], missed: bool, unit: str = "") -> tuple[str, ...]:
    dice = means["dice"]
    of = "" if dice.n == dice.of else f" of {dice.of}"
    cells = [name, " ".join(word for word in (f"{dice.n}{of}", unit) if word)]
    cells += [number(dice.mean, "dice"), number(dice.std, "dice"), bounds(dice.ci95, "dice")]
    cells += [number(dice.median, "dice"), number(dice.minimum, "dice")]
    for metric in ("nsd", "hd95", "assd"):
        mean = means[metric]
        own = "" if mean.n == dice.n else f" (n={mean.n})"
        cells.append(number(mean.mean, metric) + own)
        if missed and metric in DISTANCES:
            cells.append(number(mean.penalised, metric))
    return tuple(cells)


def _missed(means: Mapping[str, Mean]) -> int:
    return sum(means["hd95"].statuses.get(status, 0) for status in MISSES)


def _statuses(target: str, means: Mapping[str, Mean]) -> str:
    """Spell out what happened to the cases of a target, where not all were simply scored."""
    statuses = means["dice"].statuses
    if set(statuses) <= {OK}:
        return ""
    return f"  {target}: " + ", ".join(f"{n} {IN_WORDS[status]}" for status, n in statuses.items())


def _about_intervals(means: Sequence[Mean]) -> str:
    kinds = {mean.ci95_method for mean in means if mean.ci95_method}
    lacking = sorted(kind for kind in kinds if kind.startswith("none"))
    if lacking:
        return f"  no interval where n is small ({lacking[0].removeprefix('none: ')})"
    if "percentile" in kinds:
        return f"  with fewer than {FEWEST_FOR_BCA} patients the intervals are too narrow"
    return ""


def _further_table(summary: Summary) -> list[Table]:
    """Return a line for each metric that is measured only when asked for."""
    rows = [
        (
            target, metric, str(mean.n) if mean.n == mean.of else f"{mean.n} of {mean.of}",
            number(mean.mean, metric), number(mean.std, metric), bounds(mean.ci95, metric),
            number(mean.median, metric), number(mean.minimum, metric), number(mean.maximum, metric),
        )
        for target, means in summary.mean.items()
        for metric, mean in means.items()
        if metric not in METRICS and target not in summary.targets_without_reference
        if mean.n or metric != "cldice_grid_mm"  # nothing was resampled
    ]  # fmt: skip
    head = ("target", "metric", "n", "mean", "sd", "95 % interval", "median", "min", "max")
    notes = tuple(_about_lesions(summary.header))
    return [Table("further metrics", head, tuple(rows), notes, text=(1,))] if rows else []


def _about_lesions(header: Mapping[str, object]) -> list[str]:
    """Say by which rules lesions were counted: scores by other rules are others."""
    rules = to_json(header.get("lesions"))
    if not isinstance(rules, dict):
        return []
    found = rules["detection_iou"]
    overlap = f"overlap by IoU > {found:g}" if found else "overlap at all"
    parts = [f"lesions are found that {overlap}; sq, rq, pq: by IoU > {rules['panoptic_iou']:g}"]
    if rules["min_volume_mm3"]:
        parts.append(f"below {rules['min_volume_mm3']:g} mm3 left out")
    parts += [f"preset {rules['preset']}"] if rules["preset"] else []
    return ["  " + "; ".join(parts)]


def _volume_table(summary: Summary) -> Table:
    rows = []
    for target, found in summary.agreement.items():
        limits = "-" if found.limits_ml is None else _signed_bounds(found.limits_ml)
        icc2, icc3 = (f"{icc:.3f}" if icc is not None else "-" for icc in (found.icc2, found.icc3))
        rows.append(
            (target, str(found.n), f"{found.bias_ml:+.3g}", limits, icc2,
             bounds(found.icc2_ci95, "icc"), icc3)
        )  # fmt: skip
    head = ("target", "n", "bias ml", "95 % limits of agreement", "ICC(2,1)", "95 % interval")
    title = "volumes: prediction - reference; ICC(2,1) absolute agreement, ICC(3,1) consistency"
    return Table(title, (*head, "ICC(3,1)"), tuple(rows))


def _signed_bounds(interval: tuple[float, float]) -> str:
    return f"[{interval[0]:+.3g}, {interval[1]:+.3g}]"


def _worst_table(summary: Summary) -> Table:
    """Return the lowest values of all targets together; `summary.json` has them of each."""
    found = [
        (value_of(case, target, "dice").value, target, case)
        for target in summary.mean
        for case in summary.cases
    ]
    known = [(dice, target, case) for dice, target, case in found if dice is not None]
    known.sort(key=lambda entry: (entry[0], entry[1], entry[2].case))
    rows = tuple(
        (case.case, target, number(dice, "dice"), case.prediction_file)
        for dice, target, case in known[:WORST]
    )
    return Table("lowest Dice", ("case", "target", "Dice", "prediction"), rows, text=(1, 3))


# --- groups --------------------------------------------------------------------------------------


def _group_tables(
    name: str, group: Sequence[CaseScores], mean: Mapping[str, Mapping[str, Mean]]
) -> list[Table]:
    """Return the scores of the cases with one tag; false positives where no reference has any."""
    title = f"{name} ({count_cases(len(group))})"
    absent = [target for target in mean if not occurs(group, target)]
    tables = []
    if len(absent) < len(mean):
        tables.append(_score_table(title, mean, absent, foreground_mean(mean, absent), {}))
    known = [target for target in absent if judged(group, target)]
    if known:
        tables.append(_false_positives(title, group, known))
    return tables


def _false_positives(title: str, cases: Sequence[CaseScores], absent: Sequence[str]) -> Table:
    head = (
        "in no reference", "n", "with false positives", "mean ml", "median ml", "max ml", "of case",
        "mean voxels",
    )  # fmt: skip
    rows = []
    for target in absent:
        group = judged(cases, target)
        volumes = [value_of(case, target, "fp_volume_ml").value or 0.0 for case in group]
        voxels = [value_of(case, target, "fp").value or 0.0 for case in group]
        largest = int(np.argmax(volumes))
        rows.append(
            (target, str(len(group)), str(sum(count > 0 for count in voxels)),
             f"{np.mean(volumes):.3g}", f"{np.median(volumes):.3g}", f"{volumes[largest]:.3g}",
             group[largest].case if volumes[largest] else "-", f"{np.mean(voxels):.1f}")
        )  # fmt: skip
    return Table(title, head, tuple(rows), text=(6,))
