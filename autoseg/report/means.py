"""What a summary says in tables: means with n and intervals, shares of cases, means of a case."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import mean

from autoseg.report.html import bullets, table
from autoseg.results import IN_WORDS, OK, REF_EMPTY, Mean, Summary

SUCCESS = (0.5, 0.7, 0.8)  # Dice from which a case counts as one that worked


def means_table(summary: Summary) -> str:
    """Return the means of every target that occurs, with intervals and n."""
    shown = present(summary)
    missed = any(
        means["hd95"].penalised != means["hd95"].mean for means in shown.values() if "hd95" in means
    )
    head = ["target", "n", "Dice", "95 % interval", "median", "sd", "min", "IoU", "NSD", "HD95 mm"]
    head += [*(["penalised"] if missed else []), "ASSD mm"]
    rows = [_means_row(name, means, missed) for name, means in shown.items()]
    if len(shown) > 1:
        rows.append(_means_row("mean of targets", summary.foreground_mean, missed))
        if summary.case_mean:
            rows.append(_means_row("mean within cases", summary.case_mean, missed))
    caption = "Mean over cases; intervals by bootstrap over patients."
    if missed:
        caption += " Penalised: a missed or falsely found target counts at the image's diagonal."
    return table(head, rows, caption) + bullets(_remarks(summary, shown))


def _remarks(summary: Summary, shown: Mapping[str, Mapping[str, Mean]]) -> list[str]:
    """Say what happened to cases that were not simply scored, and why intervals are lacking."""
    lines = []
    for target, means in shown.items():
        statuses = means["dice"].statuses
        if set(statuses) - {OK}:
            told = ", ".join(f"{n} {IN_WORDS[status]}" for status, n in statuses.items())
            lines.append(f"{target}: {told}.")
    methods = {means["dice"].ci95_method for means in shown.values()}
    for reason in sorted(method for method in methods if method.startswith("none: ")):
        lines.append(f"Without an interval: {reason.removeprefix('none: ')}.")
    absent = summary.targets_without_reference
    return lines + ([f"In no label: {', '.join(absent)}."] if absent else [])


def tags_table(summary: Summary) -> str:
    """Return the mean Dice of each tag's cases by target; nothing where no case has a tag."""
    rows = []
    for tag, targets in summary.by_tag.items():
        for target in present(summary):
            dice = targets[target]["dice"]
            told = ", ".join(f"{n} {IN_WORDS[status]}" for status, n in dice.statuses.items())
            rows.append([tag or "without a tag", target, str(dice.n), number(dice.mean),
                         _interval(dice), told])  # fmt: skip
    head = ("tag", "target", "n", "Dice", "95 % interval", "of these")
    return table(head, rows, "By tag of the case.", words=(1, 5)) if rows else ""


def success_table(summary: Summary) -> str:
    """Return the share of cases whose Dice reaches each of `SUCCESS`, by target."""
    rows = []
    for target in present(summary):
        found = dice_by_case(summary, target)
        shares = [sum(dice >= least for dice in found.values()) for least in SUCCESS]
        rows.append([target, str(len(found)), *(share(count, len(found)) for count in shares)])
    head = ("target", "n", *(f"Dice ≥ {least:g}" for least in SUCCESS))
    return table(
        head, rows, "Cases that reach a Dice; a missed or falsely found target counts as 0."
    )


def case_means(summary: Summary) -> dict[str, float]:
    """Return the mean Dice over the targets of each case where any is defined."""
    values: dict[str, list[float]] = {}
    for target in present(summary):
        for case, dice in dice_by_case(summary, target).items():
            values.setdefault(case, []).append(dice)
    return {case: mean(found) for case, found in values.items()}


def means_where_present(summary: Summary) -> dict[str, float]:
    """Return the mean Dice over the targets that the label of each case holds, where it holds any.

    What is found where nothing is has a list of its own: a Dice of 0 whatever its size.
    """
    values = {
        case.case: [
            value.value
            for target in present(summary)
            if (value := case.metrics[target]["dice"]).value is not None
            and value.status != REF_EMPTY
        ]
        for case in summary.cases
    }
    return {case: mean(found) for case, found in values.items() if found}


def dice_in(summary: Summary, case: str) -> dict[str, float]:
    """Return the Dice of each target that occurs, in one case, where it is defined."""
    values = {target: dice_by_case(summary, target).get(case) for target in present(summary)}
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


def present(summary: Summary) -> dict[str, Mapping[str, Mean]]:
    """Return the means of each target that occurs in a label."""
    absent = summary.targets_without_reference
    return {name: means for name, means in summary.mean.items() if name not in absent}


def _interval(mean: Mean) -> str:
    return "-" if mean.ci95 is None else " to ".join(number(end, 3) for end in mean.ci95)


def _means_row(name: str, means: Mapping[str, Mean], missed: bool) -> list[str]:
    dice = means["dice"]
    n = str(dice.n) if dice.n == dice.of else f"{dice.n} of {dice.of}"
    cells = [name, n, number(dice.mean), _interval(dice), number(dice.median), number(dice.std)]
    cells += [number(dice.minimum)]
    cells += [_cell(means, metric, dice.n) for metric in ("iou", "nsd", "hd95")]
    if missed:
        cells.append(number(means["hd95"].penalised, 2) if "hd95" in means else "-")
    return [*cells, _cell(means, "assd", dice.n)]


def _cell(means: Mapping[str, Mean], metric: str, usual: int) -> str:
    found = means.get(metric)
    if found is None:
        return "-"
    own = "" if found.n == usual else f" (n={found.n})"
    return number(found.mean, 2 if metric in ("hd95", "assd") else 4) + own
