"""What the models are worth: the cross-validation as tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping

from autoseg.report.html import Section, heading, hint, paragraph, table
from autoseg.report.material import Material, Model
from autoseg.results import Mean, Summary

SUCCESS = (0.5, 0.7, 0.8)  # Dice from which a case counts as one that worked
ENDS = 20  # targets at each end of the ranking


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
    done = f"{len(model.runs)} of {len(material.folds) or 5} folds"
    text = f"{len(summary.cases)} cases, each scored by the one fold that has not seen it; {done}."
    parts = [heading(model.name), paragraph(text)]
    if not summary.mean:
        failed = f"{len(summary.failed)} cases could not be scored: there are no means."
        return "".join([*parts, paragraph(failed, "warn")])
    return "".join([*parts, means_table(summary), success_table(summary)])


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
    mean = means.get(metric)
    if mean is None:
        return "-"
    own = "" if mean.n == usual else f" (n={mean.n})"
    return number(mean.mean, 2 if metric in ("hd95", "assd") else 4) + own
