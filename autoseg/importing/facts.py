"""Tables beside the images: what is known of each case besides its files."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autoseg.errors import DataError
from autoseg.files import read_json


def read_facts(path: Path, key: str) -> dict[str, dict[str, Any]]:
    """Return case -> what a table says of it, from JSON (a list of objects) or CSV with a header.

    Raises DataError when a record does not name its case in the field `key`.
    """
    if path.suffix == ".json":
        rows = read_json(path)
    else:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            first = stream.readline()
            stream.seek(0)
            rows = list(csv.DictReader(stream, delimiter=";" if ";" in first else ","))
    if not isinstance(rows, list) or not all(isinstance(row, dict) and key in row for row in rows):
        raise DataError("is no list of cases", place=str(path), expected=f"'{key}' in each record")
    return {str(row[key]): {name: row[name] for name in row if name != key} for row in rows}


def other_spacing(
    facts: Mapping[str, Any], fields: Sequence[str], spacing: Sequence[float]
) -> tuple[float, ...]:
    """Return the voxel size in mm that a record has in `fields`, () where it is that of the image.

    Records do not say which axis is which, so lengths are compared from the shortest on, to 0.1 %.
    A record that lacks one of them says nothing.
    """
    said = [facts.get(field) for field in fields]
    if not said or not all(isinstance(length, int | float) for length in said):
        return ()
    lengths = sorted(float(length) for length in said if length is not None)
    alike = all(
        math.isclose(one, other, rel_tol=1e-3)
        for one, other in zip(lengths, sorted(spacing), strict=True)
    )
    return () if alike else tuple(lengths)
