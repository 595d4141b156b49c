"""Which plan holds: what the rules say now, or the one that stands there, edited or taken over."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from autoseg import __version__
from autoseg.dataset import Dataset
from autoseg.errors import UsageError
from autoseg.plan import Fingerprint, Plan
from autoseg.plan_file import load_plan, save_plan
from autoseg.planning.overrides import apply_settings
from autoseg.planning.plan_from import adopt_plan
from autoseg.planning.planner import make_plan
from autoseg.planning.presets import add_presets, presets_of
from autoseg.presets import Preset
from autoseg.records import fingerprint_of, from_json, to_json

log = logging.getLogger(__name__)

PLAN_FROM = "plan_from.json"  # of another data set, whose decisions are followed


def decide(
    path: Path,
    dataset: Dataset,
    fingerprint: Fingerprint,
    changed: bool,
    memory_gb: float | None,
    settings: Sequence[str],
    other: Plan | None,
    presets: Mapping[str, Preset],
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
    fresh = add_presets(fresh, fingerprint, {**presets_of(old), **presets})
    if old is None:
        return signed(apply_settings(fresh, fingerprint, settings))
    by_rule = _with_former_settings(fresh, fingerprint, old.overrides)
    before = old if memory_gb is None else _with_new_sizes(old, by_rule)
    before = add_presets(before, fingerprint, presets)
    if _without_words(before) == _without_words(by_rule):
        return signed(apply_settings(by_rule, fingerprint, settings))
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
    return signed(apply_settings(by_rule, fingerprint, settings))


def read_other(place: Path) -> Plan:
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


def signed(plan: Plan) -> Plan:
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
