"""Data sets that say themselves what they are: a folder with `dataset.json`, MSD's or nnU-Net's."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from autoseg.case_files import some, stem_of
from autoseg.dataset import Dataset, find_cases, load_dataset
from autoseg.errors import UsageError
from autoseg.files import read_json
from autoseg.importing.arguments import is_between
from autoseg.importing.gather import Source

# What else is taken over from the old dataset.json.
KEPT = (
    "description", "intended_use", "author", "contact", "reference", "licence", "license",
    "release", "citation", "nsd_tolerance_mm", "pairs",
)  # fmt: skip


def gather_declared(folder: Path, subjects: tuple[str, str] | None) -> tuple[Dataset, list[Source]]:
    """Return what `folder` declares, and its cases; those of `imagesTs` are for tests.

    Raises DataError listing every problem of the files' names.
    """
    dataset = load_dataset(folder)
    entries = read_json(folder / "dataset.json").get("cases", {})
    sources = [
        Source(case.id, case.images, case.labels, about=entries.get(case.id, {}))
        for case in dataset.cases
        if is_between(case.id, subjects)
    ]
    tests = folder / "imagesTs"
    if tests.is_dir() and any(tests.iterdir()):
        known = {source.case for source in sources}
        labels = {stem_of(path): path for path in sorted(folder.glob("labelsTs/[!.]*"))}
        for case in find_cases(tests, len(dataset.channels), dataset.file_ending):
            if case.id not in known and is_between(case.id, subjects):
                sources.append(Source(case.id, case.images, labels.get(case.id), test=True))
    return dataset, sorted(sources, key=lambda source: source.case)


def declared_classes(dataset: Dataset) -> dict[str, int | list[int]]:
    """Return name -> value(s) of the targets, and of `ignore`, as `dataset.json` spells them."""
    classes: dict[str, int | list[int]] = {
        name: list(values) if len(values) > 1 else values[0]
        for name, values in dataset.labels.targets.items()
    }
    return classes | ({} if dataset.labels.ignore is None else {"ignore": dataset.labels.ignore})


def kept_facts(folder: Path) -> Mapping[str, Any]:
    """Return what the old `dataset.json` says that stays true."""
    facts = read_json(folder / "dataset.json")
    return {key: facts[key] for key in KEPT if key in facts}


def check_annotated(
    sources: Sequence[Source], said: Collection[str], classes: Collection[str]
) -> None:
    """Raise UsageError where a case is declared to have classes that are called otherwise now.

    `said` are the cases of which the user says what is annotated.
    """
    for source in sources:
        own = () if source.case in said else source.about.get("annotated") or ()
        other = [name for name in own if name not in classes]
        if other:
            fact = f"{source.case}: dataset.json says that {some(other)} is annotated there"
            expected = f"one of {some(classes)}"
            remedy = "say it in the new names: --annotated 'CASES=CLASS,...'"
            raise UsageError(fact, expected=expected, remedy=remedy)


def annotated_there(source: Source, found: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Return which of the classes that were `found` in a case are declared there; None: all."""
    own = source.about.get("annotated")
    if found is None or own is None:
        return found
    return tuple(name for name in found if name in own)
