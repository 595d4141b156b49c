"""What a search says and leaves: a line a trial, tables, the best settings, the report."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Sequence

from autoseg.config import TrainConfig, override
from autoseg.evaluation.layout import Table, lay_out
from autoseg.files import write_json, write_text
from autoseg.planning.folds import load_folds
from autoseg.progress import say_duration
from autoseg.records import to_json
from autoseg.training.budget import LENGTHS
from autoseg.training.search_space import settings_of
from autoseg.training.study import COMPLETE, FAILED, STATES, Tried, best_of
from autoseg.workflows.search_asked import Asked

SHOWN = 10  # trials in the table
# How long the trials were and how they were looked at is no finding.
NOT_FOUND = {*LENGTHS, "steps_per_epoch", "seed", "trackers"}


def describe_search(asked: Asked, trials: int | None) -> str:
    """Return the first line."""
    space = ", ".join(map(str, asked.space))
    count = "as many trials as fit" if trials is None else f"{trials} trials"
    return f"{_name(asked)}: {count} of {space}"


def _name(asked: Asked) -> str:
    folds = f"fold{'s' * (len(asked.folds) > 1)} {', '.join(asked.folds)}"
    return f"dataset {asked.dataset}, {asked.configuration}-{asked.size}, {folds}"


def describe_trial(trial: Tried, best: Tried | None, of: int | None) -> str:
    """Return the line of a trial that has ended, without the time that is left."""
    if trial.state == COMPLETE:
        said = f"Dice {trial.score:.4f}"
    else:
        said = trial.state + (f": {trial.error}" if trial.error else "")
    if best is not None:
        said += (
            ", the best so far"
            if best == trial
            else f" (best {best.score:.4f}, trial {best.number})"
        )
    number = f"trial {trial.number}" + ("" if of is None else f" of {of}")
    return f"{number}: {' '.join(settings_of(trial.values))}: {said}; {say_duration(trial.seconds)}"


def write_results(asked: Asked, tried: Sequence[Tried]) -> None:
    """Write `trials.csv`, a row a trial, the best one's settings to `best.json`, `report.txt`."""
    write_text(asked.folder / "trials.csv", trials_csv(tried, [p.name for p in asked.space]))
    best = best_of(tried)
    if best is not None:
        folds = ", ".join(asked.folds)
        about = (
            f"Found by autoseg search: Dice {best.score:.4f} on fold {folds} of {asked.dataset}, "
            f"the best of {_scored(tried)} trials, on the cases they were compared on."
        )
        write_json(asked.folder / "best.json", {"about": about, "train": found(asked, best)})
        write_text(asked.folder / "report.txt", f"{describe_result(asked, tried)}\n")


def trials_csv(tried: Sequence[Tried], names: Sequence[str]) -> str:
    """Return a line for each trial: number, settings, score, seconds, state, error."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["trial", *names, "score", "seconds", "state", "error"])
    for t in tried:
        score = "" if t.score is None else f"{t.score:.6f}"
        values = [t.values.get(name, "") for name in names]
        writer.writerow([t.number, *values, score, f"{t.seconds:.1f}", t.state, t.error])
    return stream.getvalue()


def found(asked: Asked, best: Tried) -> dict[str, object]:
    """Return the settings of a trial that are worth keeping, by name."""
    varied = settings_of(best.values)
    config = to_json(override(TrainConfig(), [*asked.settings, *varied]))
    fixed = {setting.partition("=")[0].strip() for setting in asked.settings} - NOT_FOUND
    return {name: config[name] for name in config if name in fixed | set(best.values)}


def _scored(tried: Sequence[Tried]) -> int:
    return sum(trial.state == COMPLETE for trial in tried)


def describe_result(asked: Asked, tried: Sequence[Tried]) -> str:
    """Return the report: the best trials, what their scores are worth, how to confirm the best."""
    best = best_of(tried)
    if best is None:
        return ""
    names = [parameter.name for parameter in asked.space]
    ranked = sorted(
        (t for t in tried if t.state == COMPLETE), key=lambda t: (-(t.score or 0), t.number)
    )
    rows = [
        (*(t.values[name] for name in names), str(t.number), f"{t.score:.4f}", f"{t.seconds:.0f}")
        for t in ranked[:SHOWN]
    ]
    states = [(sum(t.state == state for t in tried), state) for state in STATES]
    counts = ", ".join(f"{count} {state}" for count, state in states if count)
    seconds = say_duration(sum(t.seconds for t in tried))
    table = Table(
        title=f"{_name(asked)}: {len(tried)} trials ({counts}), {seconds}",
        head=(*names, "trial", "Dice", "seconds"),
        rows=tuple(rows),
        notes=(*_failures(tried), "", *_worth(asked, tried, best)),
        text=tuple(range(len(names))),
    )
    return lay_out([table])


def _failures(tried: Sequence[Tried]) -> list[str]:
    failed = [t for t in tried if t.state == FAILED]
    return [f"trial {t.number} failed: {t.error}" for t in failed[:SHOWN]]


def _worth(asked: Asked, tried: Sequence[Tried], best: Tried) -> list[str]:
    """Return what was found, why its score is too good, and the command that confirms it."""
    path = asked.folder / "best.json"
    folds = load_folds(asked.workspace.folds(asked.dataset))
    unseen = [str(n) for n in range(len(folds)) if str(n) not in asked.folds]
    where = f"-d {asked.dataset} --size {asked.size}"
    if str(asked.workspace.root) != ".":
        where += f" -w {shlex.quote(str(asked.workspace.root))}"
    lines = [
        f"best: trial {best.number}, Dice {best.score:.4f}: {' '.join(settings_of(best.values))}",
        f"its settings: {path}; its weights: {asked.trial(best.number) / 'bundle'}",
        f"This Dice is optimistic: it is the best of {_scored(tried)} on the cases that chose it.",
    ]
    if unseen:
        lines += [
            f"Not looked at: fold {', '.join(unseen)}. To confirm it there, beside the default "
            "settings in a workspace of their own:",
            f"  autoseg_train {asked.configuration} {unseen[0]} {where} --preset "
            f"{shlex.quote(str(path))}",
        ]
    else:
        lines.append("No fold is left that was not looked at: only new cases can confirm it.")
    return lines
