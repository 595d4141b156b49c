"""Tables beside the images: what is known of each case besides its files."""

from __future__ import annotations

import csv
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
