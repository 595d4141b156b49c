"""What is told at the end of an import, and kept as warnings in its record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autoseg.case_files import some
from autoseg.errors import number_of
from autoseg.importing.gather import Source
from autoseg.importing.masks import Masks

Records = Mapping[str, Mapping[str, Any]]  # case -> what was recorded of it


def notes_of(sources: Sequence[Source], records: Records) -> list[str]:
    """Return sentences about masks, overlaps, grids and voxel sizes, most telling first."""
    notes = []
    masked = [source.case for source in sources if isinstance(source.labels, Masks)]
    if masked:
        notes += _overlaps({case: records[case] for case in masked})
        notes += _empty({case: records[case] for case in masked})
    for case, record in records.items():
        if record.get("missing"):
            missing = record["missing"]
            notes.append(f"{case}: no file for {some(missing)}: not annotated there")
    gaps = {
        case: record["snapped_mm"] for case, record in records.items() if "snapped_mm" in record
    }
    if gaps:
        largest = max(gaps.values())
        count = number_of(len(gaps), "label file")
        notes.append(f"{count} off the grid of the image by up to {largest:.2g} mm: put on it")
    said = [case for case, record in records.items() if "spacing_said_mm" in record]
    if said:
        first = records[said[0]]
        image, table = (_lengths(first[key]) for key in ("spacing_mm", "spacing_said_mm"))
        notes.append(
            f"{number_of(len(said), 'image')} with other voxels than its record says, such as "
            f"{said[0]}: {image} mm, and {table} there; the image counts"
        )
    return notes


def repaired_beside(sources: Sequence[Source], repaired: str) -> str:
    """Return the hint that files named `repaired` lie beside the labels taken, "" where none do."""
    cases = [
        source.case
        for source in sources
        if repaired
        and isinstance(source.labels, Path)
        and source.labels.name != repaired
        and source.labels.with_name(repaired).exists()
    ]
    hint = f"beside the labels of {some(cases)} lies {repaired}; --gt {repaired} takes it"
    return hint if cases else ""


def _overlaps(records: Records) -> list[str]:
    pairs: Counter[str] = Counter()
    for record in records.values():
        pairs.update(record.get("overlaps", {}))
    if not pairs:
        return ["no voxel belongs to two structures"]
    most, count = pairs.most_common(1)[0]
    total = sum(pairs.values())
    belong = f"{total:,} voxels belong" if total > 1 else "1 voxel belongs"
    return [f"{belong} to two structures, {count:,} of them to {most}: the smaller structure wins"]


def _empty(records: Records) -> list[str]:
    empty = [set(record.get("empty", ())) for record in records.values()]
    always = sorted(set.intersection(*empty))
    if not always:
        return []
    where = "every case" if len(empty) > 1 else "the case"
    are = "is" if len(always) == 1 else "are"
    return [f"{len(always)} structures {are} empty in {where}: {some(always)}"]


def _lengths(lengths: Sequence[float]) -> str:
    return "x".join(f"{length:.4g}" for length in lengths)
