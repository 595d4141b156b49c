"""What will be used to predict, and the evidence for it."""

from __future__ import annotations

from autoseg.report.html import Section, bullets, heading, not_yet, paragraph, table
from autoseg.report.material import Material
from autoseg.report.means import means_table
from autoseg.results import Choice, RuleTrial


def about_choice(material: Material) -> Section:
    """Return the chapter of the chosen model or pair and its rules."""
    choice = material.choice
    if choice is None:
        return not_yet("Choice", "Nothing is chosen yet: run autoseg_evaluate.")
    rows = [
        [name, f"{dice:.4f}", "chosen" if _is(name, choice) else ""]
        for name, dice in sorted(choice.evidence.items(), key=lambda item: -item[1])
    ]
    parts = [
        paragraph(f"Chosen: {' + '.join(choice.models)}."),
        bullets(choice.reasons),
        table(("model", "mean foreground Dice", ""), rows, words=(2,)),
        _estimate(choice),
    ]
    if material.chosen is not None:
        what = "With its rules" if choice.rules else "The pair"
        parts += [heading(what), means_table(material.chosen)]
    if choice.trials:
        parts += [heading("Rules that were tried"), _trials(choice.trials)]
    return Section("Choice", "".join(parts))


def _is(name: str, choice: Choice) -> bool:
    return name in (" + ".join(choice.models), "+".join(choice.models))


def _estimate(choice: Choice) -> str:
    found = choice.estimate
    if found is None:
        return ""
    text = (
        f"Dice {found.apparent:.4f} on the {found.cases} cases the choice was made on; "
        f"{found.nested:.4f} when it is made again without each {found.by}, and that part is "
        f"scored: the difference, {found.apparent - found.nested:.4f}, is what the choice flatters."
    )
    return paragraph(text)


def _trials(trials: tuple[RuleTrial, ...]) -> str:
    rows = [
        [trial.scope, trial.rule, "yes" if trial.adopted else "no", *_change(trial)]
        for trial in trials
    ]
    head = ("target", "rule", "adopted", "Dice before", "after")
    return table(head, rows, words=(1, 2))


def _change(trial: RuleTrial) -> list[str]:
    """Return the mean Dice before and after, over the targets the rule is about."""
    names = list(trial.before) if trial.scope == "*" else [trial.scope]
    told = []
    for dice in (trial.before, trial.after):
        known = [value for name in names if (value := dice.get(name)) is not None]
        told.append(f"{sum(known) / len(known):.4f}" if known else "-")
    return told
