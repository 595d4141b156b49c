"""Prepared cases on disk: one `.npz` whose members are read in place, one JSON beside it.

<folder>/<case>.npz    image (C, z, y, x) float16 or float32; value indices labels (z, y, x);
                       foreground (N, 3) int32 positions, foreground_offsets (K + 2,)
<folder>/<case>.json   `Sidecar`: the frame, tags, counts, checksums; written after the `.npz`

Whether a folder of them is complete, `manifest.py` tells; label maps on their own grid are in
`native.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.dataset import Case
from autoseg.errors import CorruptError
from autoseg.files import read_json, write_atomically, write_json
from autoseg.labels import Labels
from autoseg.preprocessing.foreground import foreground_positions
from autoseg.preprocessing.half import smallest_float
from autoseg.preprocessing.npz import map_npz, write_npz
from autoseg.preprocessing.prepare import Frame
from autoseg.preprocessing.resample_labels import value_boxes
from autoseg.records import from_json

FORMAT = "autoseg-prepared-1"
PREVIOUS = "indices"  # member of a previous stage's map


@dataclass(frozen=True)
class Source:
    """An input file as it was when the case was prepared."""

    path: str
    bytes: int
    modified_ns: int


@dataclass(frozen=True)
class Sidecar:
    """What is known about a prepared case besides its arrays."""

    case: str
    frame: Frame
    group: str | None
    tags: tuple[str, ...]
    annotated: tuple[str, ...] | None
    label_counts: Mapping[str, int]  # voxels per value index on the prepared grid
    bytes: int  # of the .npz
    crc32: Mapping[str, int]  # per member of the .npz
    sources: tuple[Source, ...] = ()
    recipe: str = ""  # `recipe_of` the plan it was prepared for
    format: str = FORMAT


@dataclass(frozen=True)
class PreparedCase:
    """A prepared case; its arrays are mapped from disk and read-only. Pickles as a path."""

    id: str
    image: np.ndarray  # (C, z, y, x) float16 or float32
    labels: np.ndarray  # (z, y, x) value indices, `Labels.index_dtype`
    foreground: tuple[np.ndarray, ...]  # per target (n, 3) int32 positions
    labelled: np.ndarray  # (n, 3) int32 positions that are not ignored; empty if nothing is ignored
    frame: Frame
    group: str | None
    tags: tuple[str, ...]
    annotated: tuple[str, ...] | None
    files: tuple[Path, Path]  # .npz, .json
    previous: np.ndarray | None = None  # (z, y, x) value indices predicted by the stage before
    previous_folder: Path | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Open the files again in the other process instead of sending the arrays."""
        return open_prepared, (self.files[0].parent, self.id, self.previous_folder)


# --- writing -------------------------------------------------------------------------------------


def write_prepared(
    folder: Path,
    case: Case,
    image: np.ndarray,
    indices: np.ndarray,
    frame: Frame,
    labels: Labels,
    recipe: str = "",
) -> Sidecar:
    """Write what `prepare` and `prepare_labels` gave for `case`; return the sidecar.

    The image is stored as float16 where that changes no voxel by more than 1e-3 standard deviations
    of its channel, else as float32.
    """
    positions = foreground_positions(indices, labels)
    offsets = np.cumsum([0, *(len(part) for part in positions)])
    members = {
        "image": smallest_float(image),
        "labels": indices,
        "foreground": np.concatenate(positions),
        "foreground_offsets": offsets,
    }
    path, sidecar_path = paths_of(folder, case.id)
    # The sidecar first: it must not outlive the arrays it describes. Both, because replacing a file
    # makes the disk flush the new one at once, 2 ms that a new name does not cost.
    for old in (sidecar_path, path):
        old.unlink(missing_ok=True)
    crc32: dict[str, int] = {}
    write_atomically(path, lambda stream: crc32.update(write_npz(stream, members)), durable=False)
    sidecar = Sidecar(
        case=case.id,
        frame=frame,
        group=case.group,
        tags=case.tags,
        annotated=case.annotated,
        label_counts={str(index): count for index, count in _counts(indices).items()},
        bytes=path.stat().st_size,
        crc32=crc32,
        sources=sources_of(case),
        recipe=recipe,
    )
    write_json(sidecar_path, sidecar, durable=False)
    return sidecar


def _counts(indices: np.ndarray) -> dict[int, int]:
    """Return how many voxels of `indices` (Z, Y, X) hold each value, ascending."""
    # In each value's own box: counting the whole scan at once takes 8 bytes a voxel.
    counts = {
        value: int(np.count_nonzero(indices[box] == value))
        for value, box in value_boxes(indices).items()
    }
    background = indices.size - sum(counts.values())
    return {0: background, **counts} if background else counts


# --- reading -------------------------------------------------------------------------------------


def read_sidecar(folder: Path, case_id: str) -> Sidecar:
    """Return what is known about a prepared case; raise CorruptError where it is not ours."""
    path = paths_of(folder, case_id)[1]
    return from_json(Sidecar, of_this_format(read_json(path), path), str(path))


def open_prepared(folder: Path, case_id: str, previous: Path | None = None) -> PreparedCase:
    """Return a prepared case with its arrays mapped into memory: only what is used is read.

    `previous` is the folder with the maps of a cascade's previous stage (`previous.py`).
    Raises DataError when it is missing, CorruptError when it is cut short or not ours.
    """
    paths = paths_of(folder, case_id)
    sidecar = read_sidecar(folder, case_id)
    members = map_npz(paths[0], sidecar.bytes)
    missing = {"image", "labels", "foreground", "foreground_offsets"} - members.keys()
    if missing:
        raise CorruptError(f"misses {', '.join(sorted(missing))}", place=str(paths[0]))
    offsets = members["foreground_offsets"]
    positions = [members["foreground"][a:b] for a, b in pairwise(offsets)]
    return PreparedCase(
        previous=_open_previous(previous, case_id, members["labels"].shape),
        previous_folder=previous,
        id=case_id,
        image=members["image"],
        labels=members["labels"],
        foreground=tuple(positions[:-1]),
        labelled=positions[-1],
        frame=sidecar.frame,
        group=sidecar.group,
        tags=sidecar.tags,
        annotated=sidecar.annotated,
        files=paths,
    )


def _open_previous(folder: Path | None, case_id: str, shape: tuple[int, ...]) -> np.ndarray | None:
    if folder is None:
        return None
    path = paths_of(folder, case_id)[0]
    size = path.stat().st_size if path.exists() else 0
    indices = map_npz(path, size)[PREVIOUS]
    if indices.shape != shape:
        fact = f"a map of shape {indices.shape}"
        raise CorruptError(fact, place=str(path), expected=str(shape))
    return indices


def sources_of(case: Case) -> tuple[Source, ...]:
    """Return name, size and time of the case's image and label files that exist."""
    paths = [*case.images, *([case.labels] if case.labels else [])]
    stats = [(path, path.stat()) for path in paths if path.exists()]
    return tuple(Source(path.name, stat.st_size, stat.st_mtime_ns) for path, stat in stats)


def of_this_format(value: Any, path: Path) -> Any:
    """Return what a JSON file of ours holds; raise CorruptError when it is another version's."""
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise CorruptError(
            "was written by another version",
            place=str(path),
            expected=f'"format": "{FORMAT}"',
            remedy="run autoseg_plan again",
        )
    return value


def paths_of(folder: Path, case_id: str) -> tuple[Path, Path]:
    """Return the `.npz` and the `.json` of a case."""
    # Not with_suffix: a case may be called "patient.01".
    return folder / f"{case_id}.npz", folder / f"{case_id}.json"
