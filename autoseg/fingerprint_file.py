"""Read and write `fingerprint.json`: what was measured of a data set, and of which files."""

from __future__ import annotations

from pathlib import Path

from autoseg.errors import CorruptError
from autoseg.files import read_json, write_json
from autoseg.plan import Fingerprint
from autoseg.records import from_json, to_json

FINGERPRINT, FORMAT = "fingerprint.json", "autoseg-fingerprint-1"


def save_fingerprint(path: Path, fingerprint: Fingerprint, inputs: str) -> None:
    """Write a fingerprint, atomically; `inputs` is a hash of all that it depends on."""
    write_json(path, {"format": FORMAT, "inputs": inputs, **to_json(fingerprint)})


def load_fingerprint(path: Path) -> tuple[Fingerprint, str]:
    """Return a fingerprint and the hash of what it depends on.

    Raises DataError where there is no such file, CorruptError for one of another version, or whose
    lists do not fit together.
    """
    remedy = f"remove {path.name} and run autoseg_plan"
    record = read_json(path)
    if not isinstance(record, dict) or record.pop("format", None) != FORMAT:
        raise CorruptError("is no fingerprint of this version", place=str(path), remedy=remedy)
    inputs = str(record.pop("inputs", ""))
    fingerprint = from_json(Fingerprint, record, str(path))
    cases, volumes = len(fingerprint.cases), fingerprint.target_volumes_ml
    lists = {"spacings": fingerprint.spacings, "shapes": fingerprint.shapes, **volumes}
    for name, entries in lists.items():
        if len(entries) != cases:
            fact = f"{len(entries)} entries of {name} for {cases} cases"
            raise CorruptError(fact, place=str(path), remedy=remedy)
    if len(fingerprint.intensities) != len(fingerprint.channels):
        fact = (
            f"{len(fingerprint.intensities)} intensities for {len(fingerprint.channels)} channels"
        )
        raise CorruptError(fact, place=str(path), remedy=remedy)
    return fingerprint, inputs
