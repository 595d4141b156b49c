"""What the options of an import say: classes, label maps and channels, as typed."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from autoseg.case_files import stem_of
from autoseg.errors import UsageError, suggest
from autoseg.files import read_json


def parse_classes(classes: Sequence[str]) -> dict[str, int | list[int]]:
    """Return name -> value(s): plain names count from 1, `name=value` and `name=1,2` say their own.

    >>> parse_classes(["kidney=1,2", "tumour=2"])
    {'kidney': [1, 2], 'tumour': 2}
    """
    labels: dict[str, int | list[int]] = {}
    for position, text in enumerate(classes, 1):
        name, separator, values = text.partition("=")
        if not name or name in labels or name == "background":
            raise UsageError(f"--classes {text}", expected="each name once, without background")
        if separator and not re.fullmatch(r"\d+(,\d+)*", values):
            raise UsageError(f"--classes {text}", expected="name, name=1 or name=1,2")
        numbers = [int(value) for value in values.split(",")] if separator else [position]
        labels[name] = numbers if len(numbers) > 1 else numbers[0]
    if not labels:
        raise UsageError("no classes", remedy="name what is segmented: --classes liver spleen")
    return labels


def written(value: int | list[int]) -> int:
    """Return which of the values of a class is written for it: the first."""
    return value[0] if isinstance(value, list) else value


def read_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """Return `classes`, or where the only one is a file, those that it lists.

    A text file has one on each line; JSON has a list, or names (of files) -> index from 0, which
    become `name=index + 1`.
    """
    if len(classes) != 1 or not Path(classes[0]).is_file():
        return tuple(classes)
    path = Path(classes[0])
    if path.suffix != ".json":
        return tuple(path.read_text(encoding="utf-8-sig").split())
    listed = read_json(path)
    if isinstance(listed, dict) and all(type(index) is int for index in listed.values()):
        ordered = sorted(listed.items(), key=lambda item: item[1])
        return tuple(f"{stem_of(Path(name))}={index + 1}" for name, index in ordered)
    if isinstance(listed, list) and all(isinstance(name, str) for name in listed):
        return tuple(listed)
    expected = 'a list of names, or {"name.nii.gz": 0, ...}'
    raise UsageError("lists no classes", place=str(path), expected=expected)


def parse_label_map(entries: Sequence[str] | Mapping[int, int]) -> dict[int, int]:
    """Return file value -> declared value from "255:1" entries; several may share a comma.

    >>> parse_label_map(["63:1,126:2", "255:3"])
    {63: 1, 126: 2, 255: 3}
    """
    if isinstance(entries, Mapping):
        return dict(entries)
    changes: dict[int, int] = {}
    for text in ",".join(entries).split(","):
        fit = re.fullmatch(r"\s*(\d+)\s*:\s*(\d+)\s*", text)
        if text and not fit:
            raise UsageError(f"--label-map {text}", expected="FROM:TO, such as 255:1")
        if fit:
            changes[int(fit[1])] = int(fit[2])
    return changes


def parse_annotated(
    entries: Sequence[str], classes: Collection[str]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return (pattern of case names, annotated classes) from "pku_*=liver,spleen" entries.

    >>> parse_annotated(["pku_*=liver"], ["liver", "spleen"])
    (('pku_*', ('liver',)),)
    """
    parsed = []
    for text in entries:
        pattern, separator, listed = text.partition("=")
        names = tuple(name for name in listed.split(",") if name)
        if not pattern or not separator:
            raise UsageError(f"--annotated {text}", expected="CASES=CLASS,..., as 'pku_*=liver'")
        for name in names:
            if name not in classes:
                raise UsageError(f"--annotated {text}: '{name}'", remedy=suggest(name, classes))
        parsed.append((pattern, names))
    return tuple(parsed)


def known_classes(names: Sequence[str], classes: Collection[str]) -> tuple[str, ...]:
    """Return `names`; raise UsageError for one that is no class."""
    for name in names:
        if name not in classes:
            raise UsageError(f"--absent-means-unannotated {name}", remedy=suggest(name, classes))
    return tuple(names)


def annotated_of(
    cases: Sequence[str], entries: Sequence[tuple[str, tuple[str, ...]]]
) -> dict[str, tuple[str, ...]]:
    """Return the annotated classes of the cases that a pattern fits; of several the last counts.

    Raises UsageError when a pattern fits no case.
    """
    found: dict[str, tuple[str, ...]] = {}
    for pattern, names in entries:
        fitting = [case for case in cases if fnmatchcase(case, pattern)]
        if not fitting:
            raise UsageError(f"--annotated {pattern}=...: no case has such a name",
                             expected=f"as {', '.join(cases[:3])}")  # fmt: skip
        found |= dict.fromkeys(fitting, names)
    return found


def parse_channels(channels: Sequence[str]) -> dict[str, str]:
    """Return channel name -> what stands for {channel} in file names: `T1` or `T1=t1n`."""
    named: dict[str, str] = {}
    for text in channels:
        name, _, token = text.partition("=")
        if not name or name in named:
            raise UsageError(f"--channels {text}", expected="each name once")
        named[name] = token or name
    if not named:
        raise UsageError("no channels", remedy="name what the images show: --channels CT")
    return named


def order_channels(found: set[str], channels: Mapping[str, str]) -> dict[str, int]:
    """Return the index of each {channel} text in `found`, by name or by number from 0 or 1.

    Raises UsageError when that cannot be told.
    """
    wanted = {token.lower(): index for index, token in enumerate(channels.values())}
    if {token.lower() for token in found} >= set(wanted):
        return {token: wanted[token.lower()] for token in found if token.lower() in wanted}
    if len(found) == len(wanted) and all(token.isdigit() for token in found):
        ordered = sorted(found, key=int)
        if [int(token) - int(ordered[0]) for token in ordered] == list(range(len(found))):
            return {token: index for index, token in enumerate(ordered)}
    raise UsageError(
        f"{{channel}} stands for {', '.join(sorted(found)[:8])}",
        expected=f"the channels {', '.join(channels.values())}",
        remedy="say which is which: --channels T1=t1n T2=t2w",
    )


def parse_subjects(text: str) -> tuple[str, str] | None:
    """Return the first and the last case of `first-last`, or of a single name; None for no text.

    >>> parse_subjects("s0000-s0100"), parse_subjects("site-1-site-9"), parse_subjects("s0000")
    (('s0000', 's0100'), ('site-1', 'site-9'), ('s0000', 's0000'))
    """
    if not text:
        return None
    parts = text.split("-")
    if len(parts) == 1:
        return text, text
    if len(parts) % 2 or not all(parts):
        raise UsageError(f"--subjects {text}", expected="FIRST-LAST, such as s0000-s0100")
    middle = len(parts) // 2
    return "-".join(parts[:middle]), "-".join(parts[middle:])


def is_between(case: str, subjects: tuple[str, str] | None) -> bool:
    """Tell whether a case is one of `subjects`, both ends included; numbers count as numbers."""
    if subjects is None:
        return True
    first, last = subjects
    return _in_order(first) <= _in_order(case) <= _in_order(last)


def _in_order(name: str) -> list[tuple[int, str]]:
    """Return the key by which s9 comes before s10."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
