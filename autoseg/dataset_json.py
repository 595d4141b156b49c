"""What `dataset.json` declares, in nnU-Net's and MSD's spelling, every mistake reported at once.

nnU-Net: `channel_names` {"0": "CT"}, `labels` {"background": 0, "liver": 1}, a list of values for a
region and then `regions_class_order`, "ignore" for voxels that do not count. MSD: `modality` and
`labels` {"0": "background", "1": "liver"}. Ours, optional: `nsd_tolerance_mm`, `pairs`, `cases`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autoseg.declared_labels import Notes, parse_labels
from autoseg.errors import Problem, suggest
from autoseg.labels import Labels

KEYS = (
    "name", "description", "intended_use", "author", "contact", "reference", "licence", "license",
    "release", "relase", "citation",
    "tensorImageSize", "converted_by", "numTraining", "numTest", "training", "test", "modality",
    "channel_names", "labels", "regions_class_order", "file_ending",
    "overwrite_image_reader_writer",
    "dataset", "nsd_tolerance_mm", "pairs", "cases",
)  # fmt: skip
CASE_KEYS = ("group", "tags", "annotated", "source", "meta")


@dataclass(frozen=True)
class CaseEntry:
    """What `cases` says about one case."""

    group: str | None = None
    tags: tuple[str, ...] = ()
    annotated: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Declaration:
    """The content of `dataset.json` in our own terms."""

    channels: tuple[str, ...]
    labels: Labels
    file_ending: str = ""  # "": whatever the files have
    entries: Mapping[str, CaseEntry] = field(default_factory=dict)
    listed: Mapping[str, tuple[tuple[str, ...], str | None]] | None = (
        None  # `dataset`: image paths, label
    )
    training: int | None = None  # numTraining, informative


def parse_declaration(
    data: Any, place: str, images: bool = True
) -> tuple[Declaration | None, list[Problem], list[Problem]]:
    """Return (declaration, problems, warnings); the declaration is None when it cannot be used.

    Without `images` (label maps are all there is) channel_names may be missing.

    >>> ours, _, _ = parse_declaration(
    ...     {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "liver"}}, "dataset.json")
    >>> ours.channels, ours.labels.targets
    (('CT',), {'liver': (1,)})
    """
    notes = Notes(place)
    if not isinstance(data, dict):
        notes.wrong("is not a JSON object", '{"channel_names": ..., "labels": ...}')
        return None, notes.problems, notes.warnings
    for key in data:
        if key not in KEYS:
            notes.odd(f"unknown key '{key}'", remedy=suggest(key, KEYS))
    named = images or "channel_names" in data or "modality" in data
    channels = _channels(data, notes) if named else ()
    labels = parse_labels(data, notes)
    ending = data.get("file_ending", "")
    if not isinstance(ending, str):
        notes.wrong(f"file_ending is {ending!r}", 'text such as ".nii.gz"')
        ending = ""
    entries = _entries(data.get("cases", {}), labels, notes)
    listed = _listed(data.get("dataset"), notes)
    training = data.get("numTraining")
    if labels is None or notes.problems:
        return None, notes.problems, notes.warnings
    count = training if isinstance(training, int) else None
    declaration = Declaration(channels, labels, ending, entries, listed, count)
    return declaration, notes.problems, notes.warnings


def _channels(data: Mapping[str, Any], notes: Notes) -> tuple[str, ...]:
    named = data.get("channel_names", data.get("modality"))
    if named is None:
        notes.wrong("misses channel_names", '"channel_names": {"0": "CT"}')
        return ()
    if isinstance(named, list):
        named = {str(index): name for index, name in enumerate(named)}
    if not isinstance(named, dict) or not named:
        notes.wrong(f"channel_names is {named!r}", '"channel_names": {"0": "CT"}')
        return ()
    expected = [str(index) for index in range(len(named))]
    if sorted(named, key=lambda key: (len(key), key)) != expected:
        notes.wrong(f"channels are numbered {', '.join(named)}", ", ".join(expected))
        return ()
    if not all(isinstance(name, str) and name for name in named.values()):
        notes.wrong("a channel name is not text", '"channel_names": {"0": "CT"}')
        return ()
    return tuple(named[index] for index in expected)


def _entries(given: Any, labels: Labels | None, notes: Notes) -> dict[str, CaseEntry]:
    expected = '{"case_01": {"group": "patient_1", "tags": ["site-A"], "annotated": ["liver"]}}'
    if not isinstance(given, dict):
        notes.wrong("cases is not an object", expected)
        return {}
    entries = {}
    for case, entry in given.items():
        if not isinstance(entry, dict):
            notes.wrong(f"cases.{case} is {entry!r}", expected)
            continue
        for key in entry:
            if key not in CASE_KEYS:
                notes.odd(f"unknown key '{key}' in cases.{case}", remedy=suggest(key, CASE_KEYS))
        group, tags, annotated = entry.get("group"), entry.get("tags", []), entry.get("annotated")
        if not (group is None or isinstance(group, str)):
            notes.wrong(f"cases.{case}.group is {group!r}", "text")
        if not _is_texts(tags) or not (annotated is None or _is_texts(annotated)):
            notes.wrong(f"cases.{case}: tags and annotated are lists of text", expected)
            continue
        for name in annotated or ():
            if labels is not None and name not in labels.targets:
                remedy = suggest(name, labels.targets)
                notes.wrong(f"cases.{case}.annotated names '{name}'", remedy=remedy)
        wanted = None if annotated is None else tuple(annotated)
        source = entry.get("source", "")
        if not isinstance(source, str):
            notes.wrong(f"cases.{case}.source is {source!r}", "text")
        # Where data come from is a tag like others: folds are even over it, reports split by it.
        came = [source] if isinstance(source, str) and source and source not in tags else []
        entries[case] = CaseEntry(group, (*tags, *came), wanted)
    return entries


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _listed(given: Any, notes: Notes) -> dict[str, tuple[tuple[str, ...], str | None]] | None:
    if given is None:
        return None
    expected = '{"case_01": {"images": ["imagesTr/a.nii.gz"], "label": "labelsTr/a.nii.gz"}}'
    if not isinstance(given, dict):
        notes.wrong("dataset is not an object", expected)
        return None
    listed = {}
    for case, entry in given.items():
        images = entry.get("images") if isinstance(entry, dict) else None
        label = entry.get("label") if isinstance(entry, dict) else None
        if not _is_texts(images) or not images or not isinstance(label, str | None):
            notes.wrong(f"dataset.{case} is {str(entry)[:60]}", expected)
            continue
        listed[case] = (tuple(images), label)
    return listed
