"""Label maps on their scans' own grid, `prepared/<dataset>/labels/<case>.npz`: for evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autoseg.files import write_atomically
from autoseg.preprocessing.npz import read_label_map, write_npz
from autoseg.preprocessing.store import paths_of


def write_native(folder: Path, case_id: str, label_map: np.ndarray) -> None:
    """Write a label map (Z, Y, X) as its file holds it to `<folder>/labels/<case>.npz`."""
    path = paths_of(folder / "labels", case_id)[0]
    members = {"labels": label_map}
    write_atomically(path, lambda stream: write_npz(stream, members, compress=True), durable=False)


def read_native(folder: Path, case_id: str) -> np.ndarray:
    """Return what `write_native` wrote; raise DataError or CorruptError when it cannot be read."""
    return read_label_map(paths_of(folder / "labels", case_id)[0])
