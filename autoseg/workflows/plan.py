"""The verb `plan`: check and measure the data in one pass, decide, make folds, prepare."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from autoseg.dataset import Dataset, find_dataset
from autoseg.errors import UsageError
from autoseg.locks import locked
from autoseg.plan import Plan
from autoseg.plan_file import save_plan
from autoseg.planning.decide import decide, read_other
from autoseg.planning.fold_table import tabulate_folds
from autoseg.planning.folds import (
    ANNOTATED,
    explain_annotated,
    load_folds,
    rule_of,
    save_folds,
    source_of,
)
from autoseg.planning.overrides import BY_HAND
from autoseg.planning.preset_files import read_presets
from autoseg.preprocessing.manifest import home_of
from autoseg.preprocessing.spool import spool
from autoseg.workflows.card import keep_about
from autoseg.workflows.measure import measure_dataset
from autoseg.workflows.plan_folds import (
    FOLDS,
    ChosenFolds,
    asked_rule,
    choose_folds,
    read_own_folds,
)
from autoseg.workflows.prepare import prepare_dataset
from autoseg.workflows.resources import bytes_to_prepare, choose_workers, is_large, require_disk
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)

SPOOL = "decoded"  # scans between their check and their preparation


def plan(
    workspace: Workspace,
    name: str | None = None,
    *,
    only: Sequence[str] | None = None,
    memory_gb: float | None = None,
    prepare: bool = True,
    settings: Sequence[str] = (),
    folds: Path | int | None = None,
    validation_tags: Sequence[str] | None = None,
    plan_from: Path | None = None,
    presets: Sequence[str] = (),
    workers: int | None = None,
) -> Plan:
    """Return the plan of a dataset in `raw/`, everything written to `prepared/<NAME>`.

    What is finished is kept: a second run does nothing, an interrupted one continues, changed data
    start anew. A plan edited by hand is respected as long as the data stay the same. `only` names
    the configurations to prepare; `workers` None starts processes where they pay. `folds` is a
    file with folds (`planning/fold_files.py`), or their number; with `validation_tags` only cases
    with one of these tags are validated; both hold until they are said anew. `plan_from` is the
    plan of another data set, or a folder that holds one, whose decisions are taken over, and
    followed from then on. `presets` are recipes to plan as configurations of their own, from then
    on: names, or paths of one's own that end with ".json".
    Raises DataError listing all problems of all files; UsageError for unknown names.
    """
    for setting in settings:
        if "=" not in setting:
            raise UsageError(f"--set {setting}", expected="name=value")
    if memory_gb is not None and not 0 < memory_gb < float("inf"):
        raise UsageError(f"--memory-gb {memory_gb:g}", expected="a number above 0")
    other = None if plan_from is None else read_other(plan_from)
    if other is not None and memory_gb is not None:
        raise UsageError("--memory-gb and --plan-from both say which sizes there are")
    recipes = read_presets(presets)  # a slip is told before any scan is read
    name = workspace.find_raw(name)
    folder = workspace.prepared(name)
    with (
        locked(folder, f"autoseg_plan -d {name}"),
        spool(folder / SPOOL, wanted=prepare) as decoded,
    ):
        found = find_dataset(workspace.raw(name))
        dataset = found.dataset
        # Before all files are read: a slip in a list is soon told.
        given = folds if isinstance(folds, Path) else None
        cases = dataset.cases if dataset else ()
        rule = asked_rule(workspace.folds(name), folds, validation_tags, cases)
        own = read_own_folds(given, workspace.raw(name), cases) if dataset else None
        fingerprint, changed = measure_dataset(folder, found, workers, decoded)
        assert dataset is not None  # or measuring had raised
        planned = decide(
            workspace.plan(name), dataset, fingerprint, changed, memory_gb, settings, other, recipes
        )
        names = _to_prepare(planned, only)
        chosen = choose_folds(workspace.folds(name), dataset, changed, own, given is not None, rule)
        others = [r for r in planned.reasons if not r.startswith((BY_HAND, ANNOTATED, FOLDS))]
        others += explain_annotated(dataset.cases, dataset.labels.names)
        by_hand = [r for r in planned.reasons if r.startswith(BY_HAND)]
        planned = replace(planned, reasons=(*others, chosen.reason, *by_hand))
        _save(workspace, planned, chosen)
        table = tabulate_folds(chosen.folds, dataset.cases)
        if table:
            log.info("%s", table)
        keep_about(workspace.raw(name), folder)
        if prepare:
            require_disk(folder, dataset, planned, names)
            needed = bytes_to_prepare(fingerprint, planned, names)
            processes = choose_workers(workers, is_large(dataset), needed)
            read = prepare_dataset(folder, dataset, planned, names, processes, decoded)
            _say_done(name, dataset, names, read, changed)
    return planned


def _to_prepare(planned: Plan, only: Sequence[str] | None) -> list[str]:
    """Return whose data to prepare; a cascade needs its previous stage's and, often, no others."""
    names: list[str] = []
    for configuration in (planned.configuration(name) for name in only or planned.configurations):
        names += [configuration.previous] if configuration.previous else []
        names.append(home_of(planned, configuration))
    return list(dict.fromkeys(names))


def _say_done(name: str, dataset: Dataset, names: Sequence[str], read: int, changed: bool) -> None:
    if read == 0 and not changed:
        log.info("%s: nothing to do, plan and data are up to date (%s)", name, ", ".join(names))
    else:
        log.info(
            "%s: %d of %d cases prepared now, complete: %s",
            name, read, len(dataset.cases), ", ".join(names),
        )  # fmt: skip


def _save(workspace: Workspace, planned: Plan, chosen: ChosenFolds) -> None:
    """Write what differs from the files; the time of plan.json says which dataset came last."""
    path = workspace.folds(planned.dataset)
    same = path.exists() and load_folds(path) == chosen.folds
    if not same or (source_of(path), rule_of(path)) != (chosen.source, chosen.rule):
        save_folds(path, chosen.folds, chosen.source, chosen.rule)
    save_plan(workspace.plan(planned.dataset), planned)
