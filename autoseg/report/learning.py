"""Learning curves of every run: losses, and the Dice of each target on validation patches."""

from __future__ import annotations

from autoseg.report.charts import line_chart
from autoseg.report.html import Section, bullets, figure, heading, not_yet, side_by_side, table
from autoseg.report.material import History, Material, Model

CURVES = 7  # of targets; of more the lowest at the end are drawn
DICE, MEAN = "dice_", "mean of targets"
LOSSES = {"train_loss": "training", "validation_loss": "validation"}


def about_training(material: Material) -> Section:
    """Return the chapter of the trainings."""
    models = [model for model in material.models if model.runs]
    if not models:
        return not_yet("Training", f"Nothing is trained yet: run {material.to_train}.")
    return Section("Training", "".join(_of_model(model) for model in models))


def _of_model(model: Model) -> str:
    charts = [chart for fold, run in model.runs.items() for chart in _charts(fold, run.history)]
    columns = list(dict.fromkeys(name for run in model.runs.values() for name in run.facts))
    rows = [
        [fold, str(len(run.history)), *(run.facts.get(name, "-") for name in columns)]
        for fold, run in model.runs.items()
    ]
    return "".join(
        [
            heading(model.name),
            table(("fold", "epochs", *columns), rows),
            bullets(_reasons(model)),
            side_by_side(charts),
        ]
    )


def _reasons(model: Model) -> list[str]:
    """Return what was decided: once what all folds say, then what single folds say."""
    runs = model.runs
    all_say = [
        reason
        for reason in next(iter(runs.values())).reasons
        if all(reason in run.reasons for run in runs.values())
    ]
    return all_say + [
        f"Fold {fold}: {reason}"
        for fold, run in runs.items()
        for reason in run.reasons
        if reason not in all_say
    ]


def _charts(fold: str, history: History) -> list[str]:
    if not history:
        return []
    losses = {told: points(history, name) for name, told in LOSSES.items()}
    found = [figure(line_chart(losses, "epoch", "loss"), f"Fold {fold}: loss.")]
    dice = dice_curves(history)
    if dice:
        text = f"Fold {fold}: Dice of validation patches, lower and noisier than that of cases."
        found.append(figure(line_chart(dice, "epoch", "Dice", (0.0, 1.0)), text))
    return found


def dice_curves(history: History) -> dict[str, list[tuple[float, float]]]:
    """Return (epoch, Dice) of every target; of more than `CURVES` the mean and the lowest ones."""
    names = list(dict.fromkeys(name for row in history for name in row if name.startswith(DICE)))
    curves = {name.removeprefix(DICE): points(history, name) for name in names}
    curves = {name: found for name, found in curves.items() if found}
    if len(curves) <= CURVES:
        return curves
    lowest = sorted(curves, key=lambda name: curves[name][-1][1])[: CURVES - 1]
    rows = [(row["epoch"], [row[name] for name in names if name in row]) for row in history]
    mean = [(epoch, sum(values) / len(values)) for epoch, values in rows if values]
    return {MEAN: mean, **{name: curves[name] for name in lowest}}


def points(history: History, name: str) -> list[tuple[float, float]]:
    """Return (epoch, value) of a column where it has one."""
    return [(row["epoch"], row[name]) for row in history if name in row and "epoch" in row]
