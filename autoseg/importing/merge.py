"""Bring the cases of several data sets into one folder, one case at a time.

Images are linked as they are (a hard link: no room on the disk, and it outlives its source), labels
too unless their values change; then they are written anew on their own grid. Where links cannot be
made, files are copied.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from autoseg.case_files import CASE_NAME, PICTURES, ending_of
from autoseg.dataset import Case, Dataset
from autoseg.errors import DataError, Problem, ResourceError, UsageError
from autoseg.files import sha256
from autoseg.importing.bring import bring
from autoseg.importing.check import count_values
from autoseg.importing.duplicates import Content, content_of
from autoseg.importing.unite import Translation
from autoseg.io import read_image, read_labels, write_image, write_labels


@dataclass(frozen=True)
class Member:
    """A case on its way: its new name, and where it is from."""

    case: str
    source: str
    own: Case
    order: tuple[int, ...]  # own channel that becomes each united channel


@dataclass(frozen=True)
class Seen:
    """What was read of the images of a case."""

    content: Content | None
    checksums: Mapping[str, str]  # path -> SHA-256


@dataclass(frozen=True)
class Merged:
    """What became of the labels of a case."""

    voxels: Mapping[int, int] = field(default_factory=dict)  # united value -> number
    problems: tuple[Problem, ...] = ()


def agree_on_channels(datasets: Sequence[Dataset]) -> dict[str, tuple[int, ...]]:
    """Return for each data set which of its channels becomes the first one's first, second, ...

    Raises UsageError when a data set has other channels; names count without their case.
    """
    first = datasets[0]
    names = [channel.casefold() for channel in first.channels]
    orders: dict[str, tuple[int, ...]] = {}
    problems = []
    for dataset in datasets:
        own = [channel.casefold() for channel in dataset.channels]
        if sorted(own) != sorted(names):
            remedy = "if they show the same, give them the same channel_names in dataset.json"
            expected = f"{', '.join(first.channels)} as in {first.name}"
            fact = f"has the channels {', '.join(dataset.channels)}"
            problems.append(Problem(dataset.name, fact, expected, remedy))
            continue
        orders[dataset.name] = tuple(own.index(name) for name in names)
        together = any(len(case.images) < len(own) for case in dataset.cases)
        if together and orders[dataset.name] != tuple(range(len(own))):
            fact = f"has {', '.join(dataset.channels)} in one file"
            expected = f"the order {', '.join(first.channels)} as in {first.name}"
            problems.append(Problem(dataset.name, fact, expected, "import it with a file for each"))
    if problems:
        raise UsageError("the data sets show different things", problems=problems)
    return orders


def name_members(
    cases: Mapping[str, Sequence[Case]], orders: Mapping[str, tuple[int, ...]]
) -> tuple[Member, ...]:
    """Return the cases of every source by their new names, `pku_12`.

    Raises UsageError for names that would be one, on some disks at least, or are too long.
    """
    members: dict[str, Member] = {}
    problems = []
    for source, own in cases.items():
        for case in own:
            member = Member(f"{source}_{case.id}", source, case, orders[source])
            folded = unicodedata.normalize("NFC", member.case).casefold()
            other = members.setdefault(folded, member)
            if other is not member:
                fact = f"'{case.id}' would be named as '{other.own.id}' of {other.source}"
                problems.append(Problem(source, fact, remedy="rename one of the folders in raw/"))
            if not CASE_NAME.fullmatch(member.case):
                problems.append(Problem(source, f"the name {member.case} would be too long"))
    if problems:
        raise UsageError("cases cannot be named in the union", problems=problems)
    return tuple(members.values())


def agree_on_ending(datasets: Sequence[Dataset]) -> str:
    """Return the file type of the first data set's images, which the others will have.

    Raises UsageError when pictures would have to become something else.
    """
    endings = {dataset.name: dataset.file_ending for dataset in datasets}
    if len(set(endings.values())) > 1 and set(endings.values()) & set(PICTURES):
        kinds = ", ".join(f"{ending} in {name}" for name, ending in endings.items())
        raise UsageError(
            f"images are {kinds}", expected="one type", remedy="save the pictures as that type"
        )
    return datasets[0].file_ending


def look_at(member: Member) -> Seen:
    """Read the images of a case: what to find them again by, and the check sums of its files."""
    images = member.own.images
    content = content_of([read_image(images[i]) for i in _in_order(member)])
    labels = [member.own.labels] if member.own.labels else []
    return Seen(content, {str(path): sha256(path) for path in (*images, *labels)})


def place_images(member: Member, folder: Path, ending: str) -> None:
    """Put the images of a case into `folder`, in the united order of channels."""
    files = [member.own.images[i] for i in _in_order(member)]
    for index, path in enumerate(files):
        # Beside labels one file that holds all channels is known by its plain name; elsewhere
        # pku_0012 would be taken for a channel.
        plain = len(files) < len(member.order) and member.own.labels is not None
        number = "" if plain else f"_{index:04d}"
        target = folder / f"{member.case}{number}{ending}"
        if ending_of(path) == ending:
            _link(path, target)
        else:
            write_image(target, read_image(path))


def place_labels(
    member: Member, folder: Path, translation: Translation, names: Mapping[int, str]
) -> Merged:
    """Put the label map of a case into `folder`, its values translated; count its voxels.

    `names` of the united values go into headers that are written anew.
    """
    path = member.own.labels
    if path is None:
        raise DataError("has no labels", place=member.case)
    image = read_labels(path)
    found = count_values(image.array)
    unknown = [value for value in found if value not in translation.values]
    if unknown:
        known = ", ".join(str(value) for value in sorted(translation.values))
        remedy = f"autoseg check -d {member.source} lists all such"
        facts = [f"label value {value} in {found[value]:,} voxels" for value in unknown]
        expected = f"the declared values {known} of {member.source}"
        return Merged({}, tuple(Problem(str(path), fact, expected, remedy) for fact in facts))
    voxels: dict[int, int] = {}
    for value, count in found.items():
        new = translation.values[value]
        voxels[new] = voxels.get(new, 0) + count
    if all(translation.values[value] == value for value in found):
        _link(path, folder / f"{member.case}{ending_of(path)}")
    else:
        top = max(translation.values.values())
        changed = np.zeros(image.array.shape[1:], np.min_scalar_type(top))
        for value in found:
            changed[image.array[0] == value] = translation.values[value]
        target = folder / f"{member.case}{ending_of(path)}"
        write_labels(target, changed, image.geometry, path, names)
    return Merged(voxels)


def _in_order(member: Member) -> Sequence[int]:
    """Return the files of a case in the united order: one each, or one that holds all channels."""
    count = len(member.own.images)
    return member.order if count == len(member.order) else range(count)


def _link(path: Path, target: Path) -> None:
    try:
        bring(path, target, "symlink" if path.is_symlink() else "hard")
    except ResourceError:  # another disk, or one that knows no links
        bring(path, target)
