"""What an import will bring in: cases, channels and classes, before any file is opened."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autoseg.case_files import some
from autoseg.errors import DataError, UsageError, suggest
from autoseg.importing.arguments import parse_channels, parse_classes, read_classes, written
from autoseg.importing.declared import declared_classes, gather_declared, kept_facts
from autoseg.importing.facts import read_facts
from autoseg.importing.gather import Source, gather
from autoseg.importing.layouts import Layout
from autoseg.importing.masks import Masks
from autoseg.importing.numbering import OFFICIAL, official_values
from autoseg.importing.spacings import read_grids
from autoseg.importing.stacks import SlicedGrid, Stack
from autoseg.labels import Labels

SPLIT, TEST = "split", "test"  # the field of a table that keeps cases out of training


@dataclass(frozen=True)
class Survey:
    """The cases of an import and what is in them."""

    sources: tuple[Source, ...]
    channels: Mapping[str, str]  # name -> what stands for {channel}
    values: Mapping[str, int | list[int]]  # of the classes
    facts: Mapping[str, Any]  # what an old dataset.json says besides
    grids: Mapping[str, SlicedGrid]  # case -> the grid its slices were cut from

    @property
    def labels(self) -> Labels:
        """The classes as targets; `ignore` is not one of them."""
        lists = {n: tuple(v) if isinstance(v, list) else (v,) for n, v in self.values.items()}
        ignored = lists.pop("ignore", (None,))
        return Labels({n: v for n, v in lists.items() if v != (0,)}, ignored[0])


def survey(layout: Layout, subjects: tuple[str, str] | None = None) -> Survey:
    """Return what the files of `layout` are, from their names and the tables beside them alone.

    Raises UsageError when nothing is found or named, DataError with every problem of the names.
    """
    if layout.declared and layout.root is not None:
        return _declared(layout, layout.root, subjects)
    channels = parse_channels(layout.channels)
    sources = gather(layout, channels, subjects)
    if not any(source.labels for source in sources if not source.test):
        raise UsageError(
            "no image has labels", place=layout.labels, remedy="compare the two patterns"
        )
    classes = read_classes(layout.classes)
    masks = [source.labels for source in sources if isinstance(source.labels, Masks)]
    structures = {name for one in masks for name in one.files} - {"background"}
    values = _of_masks(classes, structures) if structures else parse_classes(classes)
    root = layout.root or Path()
    if layout.records:
        facts = read_facts(root / layout.records, layout.record_key)
        sources = [
            replace(
                source,
                about={**source.about, "meta": facts[source.case]},
                test=source.test or facts[source.case].get(SPLIT) == TEST,
            )
            if source.case in facts
            else source
            for source in sources
        ]
    grids = read_grids(root / layout.spacings, layout.original) if layout.spacings else {}
    if grids:
        _check_grids(sources, grids, root / layout.spacings)
    return Survey(tuple(sources), channels, values, {}, grids)


def _declared(layout: Layout, root: Path, subjects: tuple[str, str] | None) -> Survey:
    dataset, sources = gather_declared(root, subjects)
    names = {name: name for name in dataset.channels}
    channels = parse_channels(layout.channels) if layout.channels else names
    classes = read_classes(layout.classes)
    values = parse_classes(classes) if classes else declared_classes(dataset)
    return Survey(tuple(sources), channels, values, kept_facts(root), {})


def _check_grids(sources: Sequence[Source], cases: Collection[str], place: Path) -> None:
    """Raise UsageError where nothing is kept as slices, DataError when cases that are so lack."""
    stacked = [source.case for source in sources if isinstance(source.images[0], Stack)]
    if not stacked:
        remedy = "write {slice} where the number of a slice stands in --images and --labels"
        raise UsageError("says how slices lie, but there are none", place=str(place), remedy=remedy)
    missing = [case for case in stacked if case not in cases]
    if missing:
        fact = f"says nothing of {some(missing)}"
        raise DataError(fact, place=str(place), expected="the voxel size of every case")


def _of_masks(classes: Sequence[str], found: set[str]) -> dict[str, int | list[int]]:
    """Return structure -> value(s): those of `classes`, or all that were `found`, by name.

    The class `official` stands for all of them by TotalSegmentator's own numbers.
    Of several values ("kidney=1,2", the second for what is also a tumour) a file has the first.
    """
    if tuple(classes) == (OFFICIAL,) and OFFICIAL not in found:
        return dict(official_values(found))
    values = parse_classes(classes or sorted(found))
    for name in values:
        if name not in found:
            raise UsageError(f"no case has a file for '{name}'", remedy=suggest(name, found))
    if len({written(value) for value in values.values()}) < len(values):
        raise UsageError(f"--classes {some(classes)}", expected="a value of its own for each file")
    return values
