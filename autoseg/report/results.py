"""What the models are worth: the cross-validation as tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from math import floor, sqrt
from statistics import mean, variance

from autoseg.errors import number_of
from autoseg.report.charts import ranking, scatter
from autoseg.report.html import (
    Section,
    figure,
    heading,
    not_yet,
    paragraph,
    side_by_side,
    table,
)
from autoseg.report.material import Material, Model
from autoseg.report.means import (
    case_means,
    dice_by_case,
    means_table,
    number,
    present,
    success_table,
    tags_table,
)  # fmt: skip
from autoseg.report.panels import distribution_figures
from autoseg.results import Mean, Summary

ENDS = 20  # targets at each end of the ranking
STANDS_OUT = 2.58  # standard errors: by chance one of a hundred folds


def about_results(material: Material) -> Section:
    """Return the chapter of every model's cross-validation."""
    scored = [model for model in material.models if model.summary]
    if not scored:
        text = f"Nothing has been validated yet: run {material.to_train}."
        return not_yet("Results", text)
    return Section("Results", "".join(_of_model(model, material) for model in scored))


def _of_model(model: Model, material: Material) -> str:
    assert model.summary is not None
    summary = model.summary
    done = f"{len(set(model.fold_of.values()))} of {len(material.folds)} folds"
    cases = number_of(len(summary.cases), "case")
    text = f"{cases}, each scored by the one fold that has not seen it; {done}."
    if not model.fold_of:
        text = f"{cases}."
    parts = [heading(model.name), paragraph(text)]
    if not summary.mean:
        failed = (
            f"{number_of(len(summary.failed), 'case')} could not be scored: there are no means."
        )
        return "".join([*parts, paragraph(failed, "warn")])
    parts += [means_table(summary), tags_table(summary), success_table(summary)]
    parts += [side_by_side(row) for row in (_by_target(summary), _scatters(summary)) if row]
    return "".join([*parts, _folds(model, summary)])


def _by_target(summary: Summary) -> list[str]:
    """Return charts with a row for each target."""
    shown = present(summary)
    dice = {target: dice_by_case(summary, target) for target in shown}
    lowest = min((value for found in dice.values() for value in found.values()), default=0.0)
    text = "Dice of each case; the box from p25 to p75, median and n at the right."
    charts = distribution_figures(dice, "Dice", text, (floor(lowest * 10) / 10, 1.0))
    return charts + _rankings(shown) if len(shown) > 1 else charts


def _scatters(summary: Summary) -> list[str]:
    shown, charts = present(summary), []
    for metric, across, limits in (("iou", "IoU", (0.0, 1.0)), ("hd95", "HD95 mm", None)):
        points = _pairs(summary, list(shown), metric)
        if points:
            chart = scatter(points, across, "Dice", limits, (0.0, 1.0))
            charts.append(figure(chart, f"Dice against {across}, of each case and target."))
    return charts


def _rankings(shown: Mapping[str, Mapping[str, Mean]]) -> list[str]:
    rows = [
        (target, means["dice"].mean, means["dice"].ci95, means["dice"].n)
        for target, means in shown.items()
    ]
    ordered = sorted(((t, m, c, n) for t, m, c, n in rows if m is not None), key=lambda r: -r[1])
    if len(ordered) <= 2 * ENDS:
        parts = {"Targets by mean Dice, with 95 % intervals.": ordered}
    else:
        parts = {
            f"The {ENDS} targets of the highest mean Dice.": ordered[:ENDS],
            f"The {ENDS} targets of the lowest mean Dice.": ordered[-ENDS:],
        }
    return [figure(ranking(part, "Dice", (0.0, 1.0)), text) for text, part in parts.items()]


def _pairs(
    summary: Summary, targets: list[str], metric: str
) -> list[tuple[float, float, str, int]]:
    found = []
    for colour, target in enumerate(targets):
        for case in summary.cases:
            values = case.metrics[target]
            x, y = (values[m].value if m in values else None for m in (metric, "dice"))
            if x is not None and y is not None:
                title = f"{case.case}, {target}: Dice {y:.4f}, {metric} {x:.4g}"
                found.append((x, y, title, colour))
    return found


def _folds(model: Model, summary: Summary) -> str:
    """Return the mean Dice of each fold, and which of them differ from the others."""
    means = case_means(summary)
    by_fold: dict[str, list[float]] = {}
    for case, dice in means.items():
        by_fold.setdefault(model.fold_of.get(case, "?"), []).append(dice)
    if len(by_fold) < 2:
        return ""
    rows = []
    for fold, ours in sorted(by_fold.items()):
        others = [dice for other, found in by_fold.items() if other != fold for dice in found]
        rows.append([fold, str(len(ours)), number(mean(ours)), number(mean(others)),
                     disagreement(ours, others)])  # fmt: skip
    head = ("fold", "n", "Dice of its cases", "of all others", "")
    caption = f"A fold stands out beyond {STANDS_OUT} standard errors of the difference."
    return heading("Folds") + table(head, rows, caption, words=(4,))


def disagreement(ours: list[float], others: list[float]) -> str:
    """Say whether the mean of a fold's cases differs from that of all others by more than chance.

    Welch's standard error; with fewer than three cases on a side nothing is said.
    """
    if min(len(ours), len(others)) < 3:
        return "too few cases to tell"
    error = sqrt(variance(ours) / len(ours) + variance(others) / len(others))
    difference = mean(ours) - mean(others)
    if abs(difference) <= STANDS_OUT * error:
        return ""
    return f"{'better' if difference > 0 else 'worse'} by {abs(difference):.4f}: look at its cases"
