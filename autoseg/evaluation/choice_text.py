"""The cross-validation as text for the screen: tables, what was chosen, and how sure that is."""

from __future__ import annotations

from autoseg.errors import number_of
from autoseg.evaluation.crossvalidation import CrossValidation
from autoseg.evaluation.layout import Table, lay_out
from autoseg.evaluation.overview import format_table
from autoseg.evaluation.select import PLUS
from autoseg.results import Choice


def format_crossvalidation(result: CrossValidation, style: str = "plain") -> str:
    """Return the tables of each model with the number of its folds, and why one is chosen."""
    lines = []
    for model, summary in result.summaries.items():
        folds = result.folds[model]
        of = f" of {result.of}" if result.of else ""
        title = f"{result.dataset} {model}, {len(folds)}{of} folds ({', '.join(folds)})"
        lines += [lay_out([Table(title)], style), format_table(summary, style), ""]
    if result.final is not None:
        models = PLUS.join(result.choice.models)
        title = f"{result.dataset} {models}, with its rules"
        lines += [lay_out([Table(title)], style), format_table(result.final, style), ""]
    notes = [*result.notes, *(f"best: {why}" for why in result.choice.reasons)]
    notes += [*_about_rules(result.choice), *_about_optimism(result)]
    return "\n".join([*lines, lay_out([Table(notes=tuple(notes))], style)])


def _about_rules(choice: Choice) -> list[str]:
    if not choice.trials:
        return []
    lines = []
    for trial in choice.trials:
        if not trial.adopted:
            continue
        changes = ", ".join(
            f"{name} {was:.4f} -> {now:.4f} (n={trial.n[name]})"
            for name, was in trial.before.items()
            if was is not None and (now := trial.after[name]) is not None and now != was
        )
        scope = "all targets" if trial.scope == "*" else trial.scope
        lines.append(f"rule: {scope}: {trial.rule}: Dice {changes}")
    return lines or ["rules: none of those tried helped a target without harming another"]


def _about_optimism(result: CrossValidation) -> list[str]:
    estimate = result.choice.estimate
    if estimate is None:
        return ["optimism: cannot be estimated from so few cases"] if result.choice.models else []
    same = len(set(estimate.chosen)) == 1
    return [
        f"Dice {estimate.apparent:.4f} on the {number_of(estimate.cases, 'case')} "
        "that were chosen by; "
        f"{estimate.nested:.4f} where each {estimate.by} was left out of the choice "
        f"(optimism {estimate.apparent - estimate.nested:+.4f}; {estimate.parts} parts, "
        f"{'the same choice each time' if same else f'{len(set(estimate.chosen))} choices'})"
    ]
