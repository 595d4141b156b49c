"""What `dataset.json` says of a union: its labels, and of each case source, group and tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autoseg.card import About
from autoseg.errors import Problem
from autoseg.importing.merge import Member
from autoseg.labels import Labels

Entries = dict[str, dict[str, Any]]  # case -> what `cases` says about it
REFUSE, GROUP, DROP = "refuse", "group", "drop"
DUPLICATES = (REFUSE, GROUP, DROP)  # what becomes of the same scan twice
KEPT = ("group", "tags", "meta")
ABOUT = tuple(About.__dataclass_fields__)


def describe(members: Sequence[Member], declared: Mapping[str, Mapping[str, Any]]) -> Entries:
    """Return what is known of the cases, from the `dataset.json` of each source.

    Groups keep their names: the same one in two sources counts as the same patient.
    """
    entries: Entries = {}
    for member in members:
        own = declared[member.source].get("cases", {}).get(member.own.id, {})
        source = own.get("source", member.source)  # of a union the first one
        entries[member.case] = {"source": source, **{k: own[k] for k in KEPT if k in own}}
    return entries


def settle(
    members: Sequence[Member], same: Sequence[tuple[int, int, str]], entries: Entries, how: str
) -> tuple[set[int], list[str], list[Problem]]:
    """Return which members are left out, what to tell, and what to refuse, of scans found twice.

    `how`: `REFUSE` what could fall into two folds, `GROUP` both in one fold (changes `entries`),
    `DROP` all but the first. An image to predict that is trained on is refused or left out.
    """
    dropped: set[int] = set()
    notes, problems = [], []
    for first, second, sentence in same:
        one, other = members[first].case, members[second].case
        said = f"{other}: {sentence} {one}"
        to_predict = members[second].own.labels is None
        if to_predict and members[first].own.labels is None:
            continue
        group = entries[one].get("group")
        if how == DROP or (how == GROUP and to_predict):
            dropped.add(second)
            notes.append(f"{said}: left out")
        elif how == GROUP or _share(group, entries.get(other, {}).get("group")):
            _join(entries, one, other)
            notes.append(f"{said}: both in group {entries[one]['group']}")
        else:
            place = f"{other} ({members[second].own.images[0]})"
            expected = "images that are not trained on" if to_predict else "different scans"
            problems.append(Problem(place, f"{sentence} {one}", expected))
    return dropped, notes, problems


def _share(one: str | None, other: str | None) -> bool:
    return one is not None and one == other


def _join(entries: Entries, one: str, other: str) -> None:
    ours, theirs = entries[one].get("group", one), entries[other].get("group")
    for entry in entries.values():
        if theirs is not None and entry.get("group") == theirs:
            entry["group"] = ours
    entries[one]["group"] = entries[other]["group"] = ours


def declare(
    name: str,
    channels: Sequence[str],
    labels: Labels,
    ending: str,
    entries: Entries,
    declared: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Return `dataset.json` of the union, as nnU-Net reads it."""
    values: dict[str, Any] = {
        target: values[0] if len(values) == 1 else sorted(values)
        for target, values in labels.targets.items()
    }
    ignore = {} if labels.ignore is None else {"ignore": labels.ignore}
    regions = any(len(values) > 1 for values in labels.targets.values())
    order = [values[0] for values in labels.targets.values()]
    return {
        "name": name,
        **_about(declared),
        "channel_names": {str(index): channel for index, channel in enumerate(channels)},
        "labels": {"background": 0, **values, **ignore},
        **({"regions_class_order": order} if regions else {}),
        **({"nsd_tolerance_mm": labels.nsd_tolerance_mm} if labels.nsd_tolerance_mm else {}),
        **({"pairs": labels.declared_pairs} if labels.declared_pairs else {}),
        "numTraining": len(entries),
        "file_ending": ending,
        "cases": entries,
    }


def _about(declared: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return what the sources say about themselves, each with its name; licences above all."""
    said: dict[str, list[str]] = {}
    for source, one in declared.items():
        for key in ABOUT:
            text = one.get(key) or (one.get("license") if key == "licence" else None)
            if isinstance(text, str) and text:
                said.setdefault(key, []).append(f"{source}: {text}")
    return {key: "; ".join(texts) for key, texts in said.items()}
