"""The verb `plan`: check and measure the data in one pass, decide, make folds, prepare."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from autoseg import __version__
from autoseg.dataset import Dataset, find_dataset
from autoseg.errors import UsageError
from autoseg.files import fingerprint_of, from_json, locked, to_json
from autoseg.plan import Fingerprint, Plan, load_plan, save_plan
from autoseg.planning.folds import (
    ANNOTATED,
    Fold,
    explain_annotated,
    is_edited,
    load_folds,
    make_folds,
    save_folds,
)
from autoseg.planning.overrides import BY_HAND, apply_settings
from autoseg.planning.planner import make_plan
from autoseg.preprocessing.manifest import home_of
from autoseg.workflows.card import keep_about
from autoseg.workflows.measure import measure_dataset
from autoseg.workflows.prepare import choose_workers, prepare_dataset, require_disk
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)

FOLDS = "Folds: "


def plan(
    workspace: Workspace,
    name: str | None = None,
    *,
    only: Sequence[str] | None = None,
    memory_gb: float | None = None,
    prepare: bool = True,
    settings: Sequence[str] = (),
    workers: int | None = None,
) -> Plan:
    """Return the plan of a dataset in `raw/`, everything written to `prepared/<NAME>`.

    What is finished is kept: a second run does nothing, an interrupted one continues, changed data
    start anew. A plan edited by hand is respected as long as the data stay the same. `only` names
    the configurations to prepare; `workers` None starts processes where they pay.
    Raises DataError listing all problems of all files; UsageError for unknown names.
    """
    for setting in settings:
        if "=" not in setting:
            raise UsageError(f"--set {setting}", expected="name=value")
    if memory_gb is not None and not 0 < memory_gb < float("inf"):
        raise UsageError(f"--memory-gb {memory_gb:g}", expected="a number above 0")
    name = workspace.find_raw(name)
    folder = workspace.prepared(name)
    with locked(folder, f"autoseg_plan -d {name}"):
        found = find_dataset(workspace.raw(name))
        fingerprint, changed = measure_dataset(folder, found, workers)
        dataset = found.dataset
        assert dataset is not None  # or measuring had raised
        planned = _decide(workspace.plan(name), dataset, fingerprint, changed, memory_gb, settings)
        names = _to_prepare(planned, only)
        folds, reason = _choose_folds(workspace.folds(name), dataset, changed)
        others = [r for r in planned.reasons if not r.startswith((BY_HAND, ANNOTATED, FOLDS))]
        others += explain_annotated(dataset.cases, dataset.labels.names)
        by_hand = [r for r in planned.reasons if r.startswith(BY_HAND)]
        planned = replace(planned, reasons=(*others, reason, *by_hand))
        _save(workspace, planned, folds)
        keep_about(workspace.raw(name), folder)
        if prepare:
            require_disk(folder, dataset, planned, names)
            processes = choose_workers(workers, dataset, fingerprint)
            read = prepare_dataset(folder, dataset, planned, names, processes)
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


# --- the plan ------------------------------------------------------------------------------------


def _decide(
    path: Path,
    dataset: Dataset,
    fingerprint: Fingerprint,
    changed: bool,
    memory_gb: float | None,
    settings: Sequence[str],
) -> Plan:
    """Return the plan: the one edited by hand where there is one, else what the rules say."""
    old = load_plan(path) if path.exists() else None
    fresh = make_plan(
        fingerprint,
        dataset.labels,
        dataset.name,
        file_ending=dataset.file_ending,
        memory_gb=memory_gb or _memory_of(old),
    )
    if old is None:
        return _signed(apply_settings(fresh, fingerprint, settings))
    by_rule = _with_former_settings(fresh, fingerprint, old.overrides)
    before = old if memory_gb is None else _with_new_sizes(old, by_rule)
    if _without_words(before) == _without_words(by_rule):
        return _signed(apply_settings(by_rule, fingerprint, settings))
    edited = old.digest != _digest(old)
    # Other versions may have other rules; models that were trained by the plan rely on it.
    if not changed and (edited or old.version != __version__):
        why = "edited by hand" if edited else f"made by version {old.version}"
        log.info("plan.json was %s and is kept; remove it to plan anew", why)
        return apply_settings(before, fingerprint, settings)
    if edited:
        aside = path.with_name("plan.before.json")
        save_plan(aside, old)
        log.warning("the data changed: planned anew, the former plan is kept as %s", aside)
    else:
        log.info("the data changed: planned anew")
    return _signed(apply_settings(by_rule, fingerprint, settings))


def _signed(plan: Plan) -> Plan:
    """Return `plan` with its digest, so that an edit of its file will be noticed."""
    as_read = from_json(Plan, to_json(plan))  # where 1 has become 1.0
    return replace(plan, digest=_digest(as_read))


def _digest(plan: Plan) -> str:
    words = to_json(_without_words(plan))
    if not plan.units:  # plans of older versions, which did not note them, keep their digest
        del words["units"]
    return fingerprint_of([words, plan.labels.names])


def _with_former_settings(fresh: Plan, fingerprint: Fingerprint, settings: Sequence[str]) -> Plan:
    try:
        return apply_settings(fresh, fingerprint, settings)
    except UsageError as error:
        log.warning("settings of the former plan do not fit any more and are dropped: %s", error)
        return fresh


def _memory_of(old: Plan | None) -> float | None:
    """Return the memory of a size such as "16GB" that was planned before."""
    sizes = [size for c in old.configurations.values() for size in c.sizes] if old else []
    named = [size.removesuffix("GB") for size in sizes if size.endswith("GB")]
    try:
        return float(named[0]) if named else None
    except ValueError:
        return None  # a size that the user named so


def _with_new_sizes(old: Plan, fresh: Plan) -> Plan:
    """Return `old` with the sizes that only `fresh` has."""
    configurations = {
        name: replace(
            configuration, sizes={**fresh.configurations[name].sizes, **configuration.sizes}
        )
        if name in fresh.configurations
        else configuration
        for name, configuration in old.configurations.items()
    }
    return replace(old, configurations=configurations)


def _without_words(plan: Plan) -> Plan:
    return replace(plan, reasons=(), version="", digest="")


# --- folds ---------------------------------------------------------------------------------------


def _choose_folds(path: Path, dataset: Dataset, changed: bool) -> tuple[tuple[Fold, ...], str]:
    """Return the folds of the file while the data stay the same, else new ones; and why."""
    folds, reason = make_folds(dataset.cases)
    if not path.exists():
        return folds, reason
    old = load_folds(path)
    if old == folds:
        return folds, reason
    listed = {i for fold in old for i in (*fold.train, *fold.validation)}
    there, edited = {case.id for case in dataset.cases}, is_edited(path)
    # Whoever edits may leave cases out; otherwise it was cut short between data and folds.
    if not changed and (listed == there or (edited and listed < there)):
        by_hand = " (edited by hand)" if edited else ""
        return old, f"{FOLDS}{len(old)}, as folds.json has them{by_hand}."
    if edited:
        aside = path.with_name("folds.before.json")
        save_folds(aside, old)
        log.warning("the data changed: new folds, the former ones are kept as %s", aside)
    return folds, reason


def _save(workspace: Workspace, planned: Plan, folds: tuple[Fold, ...]) -> None:
    """Write what differs from the files; the time of plan.json says which dataset came last."""
    path = workspace.folds(planned.dataset)
    if not path.exists() or load_folds(path) != folds:
        save_folds(path, folds)
    save_plan(workspace.plan(planned.dataset), planned)
