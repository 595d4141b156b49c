"""The verb `plan`: check and measure the data in one pass, decide, make folds, prepare."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from autoseg import __version__
from autoseg.dataset import Dataset, find_dataset
from autoseg.errors import UsageError
from autoseg.locks import locked
from autoseg.plan import Fingerprint, Plan
from autoseg.plan_file import load_plan, save_plan
from autoseg.planning.fold_table import tabulate_folds
from autoseg.planning.folds import (
    ANNOTATED,
    explain_annotated,
    load_folds,
    rule_of,
    save_folds,
    source_of,
)
from autoseg.planning.overrides import BY_HAND, apply_settings
from autoseg.planning.plan_from import adopt_plan
from autoseg.planning.planner import make_plan
from autoseg.planning.presets import add_presets, presets_of
from autoseg.preprocessing.manifest import home_of
from autoseg.preprocessing.spool import spool
from autoseg.presets import load_preset
from autoseg.records import fingerprint_of, from_json, to_json
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
PLAN_FROM = "plan_from.json"  # of another data set, whose decisions are followed


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
    on.
    Raises DataError listing all problems of all files; UsageError for unknown names.
    """
    for setting in settings:
        if "=" not in setting:
            raise UsageError(f"--set {setting}", expected="name=value")
    if memory_gb is not None and not 0 < memory_gb < float("inf"):
        raise UsageError(f"--memory-gb {memory_gb:g}", expected="a number above 0")
    other = None if plan_from is None else _read_other(plan_from)
    if other is not None and memory_gb is not None:
        raise UsageError("--memory-gb and --plan-from both say which sizes there are")
    for preset in presets:
        load_preset(preset)  # a slip is told before any file is read
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
        planned = _decide(
            workspace.plan(name), dataset, fingerprint, changed, memory_gb, settings, other, presets
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


# --- the plan ------------------------------------------------------------------------------------


def _decide(
    path: Path,
    dataset: Dataset,
    fingerprint: Fingerprint,
    changed: bool,
    memory_gb: float | None,
    settings: Sequence[str],
    other: Plan | None,
    presets: Sequence[str],
) -> Plan:
    """Return the plan: the one edited by hand where there is one, else what the rules say.

    `other` is a plan to take over now; one that was taken over before lies beside the plan.
    """
    old = load_plan(path) if path.exists() else None
    fresh = make_plan(
        fingerprint,
        dataset.labels,
        dataset.name,
        file_ending=dataset.file_ending,
        memory_gb=memory_gb or _memory_of(old),
    )
    fresh = _follow_other(path.with_name(PLAN_FROM), fresh, fingerprint, other)
    fresh = add_presets(fresh, fingerprint, [*presets_of(old), *presets])
    if old is None:
        return _signed(apply_settings(fresh, fingerprint, settings))
    by_rule = _with_former_settings(fresh, fingerprint, old.overrides)
    before = old if memory_gb is None else _with_new_sizes(old, by_rule)
    before = add_presets(before, fingerprint, presets)
    if _without_words(before) == _without_words(by_rule):
        return _signed(apply_settings(by_rule, fingerprint, settings))
    edited = old.digest != _digest(old)
    # Other versions may have other rules; models that were trained by the plan rely on it.
    why = "the data changed" if changed else f"taken over from {other.dataset}" if other else ""
    if not why and (edited or old.version != __version__):
        how = "edited by hand" if edited else f"made by version {old.version}"
        log.info("plan.json was %s and is kept; remove it to plan anew", how)
        return apply_settings(before, fingerprint, settings)
    if edited:
        aside = path.with_name("plan.before.json")
        save_plan(aside, old)
        log.warning("%s: planned anew, the former plan is kept as %s", why, aside)
    else:
        log.info("%s: planned anew", why or f"{PLAN_FROM} or the rules changed")
    return _signed(apply_settings(by_rule, fingerprint, settings))


def _read_other(place: Path) -> Plan:
    """Return the plan in a file, or in the folder of a planned data set, a model or a bundle."""
    known = (place, place / "plan.json", place / "bundle" / "plan.json")
    found = next((path for path in known if path.is_file()), None)
    if "plans.json" in (place.name, *(path.name for path in place.glob("plans.json"))):
        raise UsageError(
            "--plan-from: these are nnU-Net's plans",
            place=str(place),
            remedy="autoseg import --model makes a bundle of the trained model; name that",
        )
    if found is None:
        expected = "a plan.json, or a folder of prepared/, a model or a bundle that holds one"
        raise UsageError("--plan-from: no plan here", place=str(place), expected=expected)
    return load_plan(found)


def _follow_other(path: Path, fresh: Plan, fingerprint: Fingerprint, other: Plan | None) -> Plan:
    """Return `fresh` with the decisions of `other`, kept as `path` from now on, or of that file."""
    if other is None:
        return adopt_plan(fresh, load_plan(path), fingerprint) if path.is_file() else fresh
    adopted = adopt_plan(fresh, other, fingerprint)
    if other.channels != fresh.channels:
        log.warning(
            "channels %s, but %s in the plan taken over: normalisation follows the rules",
            ", ".join(fresh.channels), ", ".join(other.channels),
        )  # fmt: skip
    save_plan(path, other)
    return adopted


def _signed(plan: Plan) -> Plan:
    """Return `plan` with its digest, so that an edit of its file will be noticed."""
    as_read = from_json(Plan, to_json(plan))  # where 1 has become 1.0
    return replace(plan, digest=_digest(as_read))


def _digest(plan: Plan) -> str:
    words = to_json(_without_words(plan))
    for noted_since in ("units", "usual"):  # plans of older versions keep their digest
        if not words[noted_since]:
            del words[noted_since]
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


# --- files ---------------------------------------------------------------------------------------


def _save(workspace: Workspace, planned: Plan, chosen: ChosenFolds) -> None:
    """Write what differs from the files; the time of plan.json says which dataset came last."""
    path = workspace.folds(planned.dataset)
    same = path.exists() and load_folds(path) == chosen.folds
    if not same or (source_of(path), rule_of(path)) != (chosen.source, chosen.rule):
        save_folds(path, chosen.folds, chosen.source, chosen.rule)
    save_plan(workspace.plan(planned.dataset), planned)
