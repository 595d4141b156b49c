"""How many voxels each class has in each case and source of a union, and where it is annotated."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from autoseg.errors import number_of
from autoseg.importing.merge import Member
from autoseg.importing.unite import Translation
from autoseg.labels import Labels

Voxels = Mapping[str, Mapping[str, int]]  # case -> target -> voxels
Annotated = Mapping[str, tuple[str, ...] | None]  # case -> annotated targets; None: all


def count_targets(labels: Labels, voxels: Mapping[int, int]) -> dict[str, int]:
    """Return voxels by target from voxels by value; overlapping targets share some."""
    return {
        target: sum(voxels.get(value, 0) for value in values)
        for target, values in labels.targets.items()
    }


def annotated_in(
    member: Member,
    translation: Translation,
    labels: Labels,
    voxels: Mapping[str, int],
    absent: Collection[str],
) -> tuple[str, ...] | None:
    """Return the targets annotated in a case, None: all; those in `absent` only if they occur."""
    names = translation.annotated(member.own.annotated)
    names = labels.names if names is None else names
    known = tuple(name for name in names if name not in absent or voxels[name])
    return None if known == labels.names else known


def count_sources(
    members: Sequence[Member], labels: Labels, voxels: Voxels, annotated: Annotated
) -> dict[str, dict[str, int | None]]:
    """Return source -> target -> voxels; None where none of its cases has the target annotated."""
    counts: dict[str, dict[str, int | None]] = {}
    for source in dict.fromkeys(member.source for member in members):
        cases = [member.case for member in members if member.source == source]
        counts[source] = {}
        for target in labels.names:
            where = [c for c in cases if _knows(annotated[c], target)]
            counts[source][target] = sum(voxels[c][target] for c in where) if where else None
    return counts


def _knows(annotated: tuple[str, ...] | None, target: str) -> bool:
    return annotated is None or target in annotated


def tabulate(voxels: Mapping[str, Mapping[str, int | None]], cases: Mapping[str, int]) -> str:
    """Return a table of voxels by class and source; None, where a class is not annotated, is "-".

    >>> print(tabulate({"A": {"liver": 1200}, "B": {"liver": None}}, {"A": 2, "B": 1}))
    voxels  A (2 cases)  B (1 case)
    liver         1,200           -
    """
    heads = [f"{name} ({number_of(count, 'case')})" for name, count in cases.items()]
    rows = [["voxels", *heads]]
    for target in next(iter(voxels.values())):
        counts = [one[target] for one in voxels.values()]
        rows.append([target, *("-" if count is None else f"{count:,}" for count in counts)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0])]
            + [text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)]
        )
        for row in rows
    )
