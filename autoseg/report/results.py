"""What the models are worth: the cross-validation as tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from math import floor, sqrt
from statistics import mean, variance

from autoseg.report.charts import distributions, ranking, scatter
from autoseg.report.html import Section, figure, heading, hint, paragraph, side_by_side, table
from autoseg.report.material import Material, Model
from autoseg.results import Mean, Summary

SUCCESS = (0.5, 0.7, 0.8)  # Dice from which a case counts as one that worked
ENDS = 20  # targets at each end of the ranking
STANDS_OUT = 2.58  # standard errors: by chance one of a hundred folds


def about_results(material: Material) -> Section:
    """Return the chapter of every model's cross-validation."""
    scored = [model for model in material.models if model.summary]
    if not scored:
        text = "Nothing has been validated yet: run autoseg_train 3d_fullres 0."
        return Section("Results", hint(text))
    return Section("Results", "".join(_of_model(model, material) for model in scored))


def _of_model(model: Model, material: Material) -> str:
    assert model.summary is not None
    summary = model.summary
    done = f"{len(set(model.fold_of.values()))} of {len(material.folds)} folds"
    text = f"{len(summary.cases)} cases, each scored by the one fold that has not seen it; {done}."
    parts = [heading(model.name), paragraph(text)]
    if not summary.mean:
        failed = f"{len(summary.failed)} cases could not be scored: there are no means."
        return "".join([*parts, paragraph(failed, "warn")])
    parts += [means_table(summary), success_table(summary), side_by_side(_charts(summary))]
    return "".join([*parts, _folds(model, summary)])


def _charts(summary: Summary) -> list[str]:
    present = _present(summary)
    dice = {target: dice_by_case(summary, target) for target in present}
    lowest = min((value for found in dice.values() for value in found.values()), default=0.0)
    text = "Dice of each case; the box from p25 to p75, median and n at the right."
    charts = [figure(distributions(dice, "Dice", (floor(lowest * 10) / 10, 1.0)), text)]
    if len(present) > 1:
        charts += _rankings(present)
    for metric, across, limits in (("iou", "IoU", (0.0, 1.0)), ("hd95", "HD95 mm", None)):
        points = _pairs(summary, list(present), metric)
        if points:
            chart = scatter(points, across, "Dice", limits, (0.0, 1.0))
            charts.append(figure(chart, f"Dice against {across}, of each case and target."))
    return charts


def _rankings(present: Mapping[str, Mapping[str, Mean]]) -> list[str]:
    rows = [
        (target, means["dice"].mean, means["dice"].ci95, means["dice"].n)
        for target, means in present.items()
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
    for number, target in enumerate(targets):
        for case in summary.cases:
            values = case.metrics[target]
            x, y = (values[m].value if m in values else None for m in (metric, "dice"))
            if x is not None and y is not None:
                title = f"{case.case}, {target}: Dice {y:.4f}, {metric} {x:.4g}"
                found.append((x, y, title, number))
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


def case_means(summary: Summary) -> dict[str, float]:
    """Return the mean Dice over the targets of each case where any is defined."""
    values: dict[str, list[float]] = {}
    for target in _present(summary):
        for case, dice in dice_by_case(summary, target).items():
            values.setdefault(case, []).append(dice)
    return {case: mean(found) for case, found in values.items()}


def means_table(summary: Summary) -> str:
    """Return the means of every target that occurs, with intervals and n."""
    shown = _present(summary)
    head = ("target", "n", "Dice", "95 % interval", "median", "sd", "min", "IoU", "NSD",
            "HD95 mm", "ASSD mm")  # fmt: skip
    rows = [_means_row(name, means) for name, means in shown.items()]
    if len(shown) > 1:
        rows.append(_means_row("mean of targets", summary.foreground_mean))
        if summary.case_mean:
            rows.append(_means_row("mean within cases", summary.case_mean))
    absent = summary.targets_without_reference
    note = paragraph(f"In no label: {', '.join(absent)}.", "soft") if absent else ""
    caption = "Mean over cases; intervals by bootstrap over patients."
    return table(head, rows, caption) + note


def success_table(summary: Summary) -> str:
    """Return the share of cases whose Dice reaches each of `SUCCESS`, by target."""
    rows = []
    for target in _present(summary):
        found = dice_by_case(summary, target)
        shares = [sum(dice >= least for dice in found.values()) for least in SUCCESS]
        rows.append([target, str(len(found)), *(share(count, len(found)) for count in shares)])
    head = ("target", "n", *(f"Dice ≥ {least:g}" for least in SUCCESS))
    return table(head, rows, "Cases that reach a Dice; a missed target counts as 0.")


def dice_in(summary: Summary, case: str) -> dict[str, float]:
    """Return the Dice of each target that occurs, in one case, where it is defined."""
    values = {target: dice_by_case(summary, target).get(case) for target in _present(summary)}
    return {target: dice for target, dice in values.items() if dice is not None}


def dice_by_case(summary: Summary, target: str) -> dict[str, float]:
    """Return the Dice of each case in which it is defined."""
    values = {case.case: case.metrics[target]["dice"].value for case in summary.cases}
    return {case: value for case, value in values.items() if value is not None}


def share(count: int, of: int) -> str:
    """Return "85.0 % (34)"."""
    return f"{count / of:.1%} ({count})".replace("%", " %") if of else "-"


def number(value: float | None, places: int = 4) -> str:
    """Return a number with so many decimals; "-" for none."""
    return "-" if value is None else f"{value:.{places}f}"


def _present(summary: Summary) -> dict[str, Mapping[str, Mean]]:
    absent = summary.targets_without_reference
    return {name: means for name, means in summary.mean.items() if name not in absent}


def _means_row(name: str, means: Mapping[str, Mean]) -> list[str]:
    dice = means["dice"]
    n = str(dice.n) if dice.n == dice.of else f"{dice.n} of {dice.of}"
    interval = "-" if dice.ci95 is None else " to ".join(number(end, 3) for end in dice.ci95)
    cells = [name, n, number(dice.mean), interval, number(dice.median), number(dice.std)]
    cells += [number(dice.minimum)]
    return cells + [_cell(means, metric, dice.n) for metric in ("iou", "nsd", "hd95", "assd")]


def _cell(means: Mapping[str, Mean], metric: str, usual: int) -> str:
    found = means.get(metric)
    if found is None:
        return "-"
    own = "" if found.n == usual else f" (n={found.n})"
    return number(found.mean, 2 if metric in ("hd95", "assd") else 4) + own
