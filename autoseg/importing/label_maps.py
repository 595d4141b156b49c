"""Label maps of several data sets, as typed or in a file: what their classes are called together.

pku:3=femur_head,4=femur_head,bladder=bladder      by value or by name; =background drops one
{"pku": {"3": "femur_head", "bladder": "bladder"}}     the same in JSON
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from autoseg.errors import UsageError, suggest
from autoseg.files import read_json

Maps = dict[str, dict[str, str]]  # data set -> its class, by name or value -> united name
FORM = '{"A": {"1": "liver", "kidney_left": "kidney"}}'


def parse_label_maps(entries: Sequence[str] | Mapping[str, Any], sources: Collection[str]) -> Maps:
    """Return the label maps of `sources` from entries and JSON files, or from a mapping.

    >>> parse_label_maps(["A:1=liver,2=kidney", "A:3=kidney"], ["A", "B"])
    {'A': {'1': 'liver', '2': 'kidney', '3': 'kidney'}}
    """
    maps: Maps = {}
    for text, source, own, name in _said(entries):
        if source not in sources:
            raise UsageError(f"{text}: '{source}'", remedy=suggest(source, sources))
        if not isinstance(name, str) or not name or name.isdigit():
            fact = f"{text}: {name!r} cannot name a class"
            raise UsageError(fact, expected="its name in the union, or background")
        former = maps.setdefault(source, {}).setdefault(own, name)
        if former != name:
            fact = f"{text}: {source}:{own} is '{former}' and '{name}'"
            raise UsageError(fact, expected="one of them")
    return maps


def _said(entries: Sequence[str] | Mapping[str, Any]) -> Iterator[tuple[str, str, str, Any]]:
    """Yield where it is said, data set, own class, and united name."""
    if isinstance(entries, Mapping):
        yield from _in_mapping("label map", entries)
        return
    for text in entries:
        if text.endswith(".json"):
            yield from _in_mapping(text, read_json(Path(text)))
        else:
            yield from _typed(text)


def _in_mapping(text: str, maps: Any) -> Iterator[tuple[str, str, str, Any]]:
    if not isinstance(maps, Mapping) or not all(isinstance(m, Mapping) for m in maps.values()):
        raise UsageError("is no label map", place=text, expected=FORM)
    for source, renamed in maps.items():
        yield from ((text, source, str(own), name) for own, name in renamed.items())


def _typed(text: str) -> Iterator[tuple[str, str, str, Any]]:
    source, colon, listed = text.partition(":")
    pairs = [pair.partition("=") for pair in listed.split(",") if pair.strip()]
    if not source or not colon or not pairs or not all(own and name for own, _, name in pairs):
        expected = "DATASET:CLASS=NAME,... such as A:3=femur,4=femur, or a .json file"
        raise UsageError(f"--label-map {text}", expected=expected)
    yield from (
        (f"--label-map {text}", source, own.strip(), name.strip()) for own, _, name in pairs
    )
