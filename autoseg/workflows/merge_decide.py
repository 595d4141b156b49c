"""What is decided about a union of data sets before any of their voxels is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoseg.case_files import ending_of
from autoseg.dataset import Case, Dataset, find_cases, load_dataset
from autoseg.errors import UsageError
from autoseg.files import read_json
from autoseg.importing.arguments import known_classes
from autoseg.importing.label_maps import Maps, parse_label_maps
from autoseg.importing.merge import Member, agree_on_channels, agree_on_ending, name_members
from autoseg.importing.unite import Translation, unite
from autoseg.labels import Labels
from autoseg.records import fingerprint_of
from autoseg.workspace import Workspace


@dataclass(frozen=True)
class Union:
    """What is decided before a voxel is read."""

    datasets: tuple[Dataset, ...]
    declared: Mapping[str, Any]  # source -> its dataset.json
    label_map: Maps  # as it was given
    labels: Labels
    translations: Mapping[str, Translation]
    members: tuple[Member, ...]
    tests: tuple[Member, ...]  # without labels
    ending: str


def decide(
    workspace: Workspace,
    name: str,
    sources: Sequence[str],
    label_map: Sequence[str] | Mapping[str, Mapping[Any, str]],
    absent: Sequence[str],
) -> Union:
    """Return the union `name` of data sets in `raw/`; see `merge` for what is said of it.

    Raises UsageError where they do not fit together, DataError for files that are not there.
    """
    names = [workspace.find_raw(source) for source in sources]
    if len(set(names)) < max(2, len(names)):
        said = ", ".join(names) or "none"
        raise UsageError(
            f"data sets to merge: {said}",
            expected="two or more, each once",
            remedy="name them before other options: --merge A B -d AB",
        )
    if name in names:
        raise UsageError(f"'{name}' is merged itself", remedy="choose a new name with -d")
    datasets = tuple(load_dataset(workspace.raw(source)) for source in names)
    orders = agree_on_channels(datasets)
    maps = parse_label_maps(label_map, names)
    labels, translations = unite({dataset.name: dataset.labels for dataset in datasets}, maps)
    known_classes(absent, labels.targets)
    members = name_members({d.name: d.cases for d in datasets}, orders)
    tests = name_members({d.name: _tests_of(d) for d in datasets}, orders)
    declared = {dataset.name: read_json(dataset.folder / "dataset.json") for dataset in datasets}
    ending = agree_on_ending(datasets)
    return Union(datasets, declared, maps, labels, translations, members, tests, ending)


def _tests_of(dataset: Dataset) -> Sequence[Case]:
    """Return the images without labels."""
    folder = dataset.folder / "imagesTs"
    if not folder.is_dir() or not any(ending_of(path) for path in folder.iterdir()):
        return ()
    return find_cases(folder, len(dataset.channels), dataset.file_ending)


def stamp_of(union: Union, options: Mapping[str, Any]) -> str:
    """Return a hash that is the same as long as files, declarations and options are."""
    files = [
        (str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns)
        for member in (*union.members, *union.tests)
        for path in (*member.own.images, *([member.own.labels] if member.own.labels else []))
    ]
    return fingerprint_of([files, union.declared, options])
