"""Write the prepared arrays of every case and configuration; each file of the data is read once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import prod
from pathlib import Path

import numpy as np

from autoseg.dataset import Case, Dataset
from autoseg.errors import ResourceError
from autoseg.hardware import cores, free_disk_bytes, memory_bytes
from autoseg.image import Image, orientation_of, reorient
from autoseg.io import read_case, read_labels
from autoseg.parallel import map_cases
from autoseg.plan import Configuration, Fingerprint, Plan
from autoseg.preprocessing.manifest import is_complete, is_prepared, recipe_of, write_manifest
from autoseg.preprocessing.native import write_native
from autoseg.preprocessing.prepare import Frame, prepare, prepare_labels
from autoseg.preprocessing.store import write_prepared

log = logging.getLogger(__name__)

WORKER_PAYS_FROM = 400 << 20  # bytes of input; a fresh process first needs a second to import
MEMORY_PER_VOXEL = 40  # bytes while a case is prepared: float32 copies, one of them resampled

Arrays = tuple[np.ndarray, np.ndarray, Frame]


def prepare_dataset(
    folder: Path, dataset: Dataset, plan: Plan, names: Sequence[str], workers: int
) -> int:
    """Prepare what is missing of the configurations `names`; return how many cases had to be read.

    Finished cases are kept, so an interrupted run continues. Manifests are written last.
    """
    missing = [name for name in names if not _is_done(folder, dataset, plan, name)]
    if not missing:
        return 0
    for name in missing:
        # While cases are replaced the folder is not complete.
        (folder / name / "manifest.json").unlink(missing_ok=True)
        _remove_strangers(folder / name, dataset)
    _remove_strangers(folder / "labels", dataset)
    work = partial(_prepare_case, folder=folder, plan=plan, names=tuple(missing))
    read = 0
    for outcome in map_cases(work, dataset.cases, workers=workers, title="prepare"):
        read += outcome.result()
    for name in missing:
        recipe = recipe_of(plan, plan.configurations[name])
        write_manifest(folder / name, [case.id for case in dataset.cases], recipe)
    return read


def _is_done(folder: Path, dataset: Dataset, plan: Plan, name: str) -> bool:
    recipe = recipe_of(plan, plan.configurations[name])
    natives = all(_native_path(folder, case).exists() for case in dataset.cases)
    return natives and is_complete(folder / name, dataset.cases, recipe)


def _native_path(folder: Path, case: Case) -> Path:
    return folder / "labels" / f"{case.id}.npz"


def _prepare_case(case: Case, folder: Path, plan: Plan, names: Sequence[str]) -> bool:
    """Prepare what is missing of one case; tell whether anything was."""
    configurations = [plan.configurations[name] for name in names]
    missing = [
        c for c in configurations if not is_prepared(folder / c.name, case, recipe_of(plan, c))
    ]
    if not missing and _native_path(folder, case).exists():
        return False
    image = read_case(case, len(plan.channels))
    assert case.labels is not None  # the check refuses cases without labels
    label_map = read_labels(case.labels).array[0]
    write_native(folder, case.id, label_map.astype(plan.labels.dtype))
    done: dict[object, Arrays] = {}
    for configuration in missing:
        own = replace(configuration, spacing=_spacing_for(image, plan, configuration))
        key = (own.spacing, own.normalizers, own.mask_normalization)
        if key not in done:
            array, frame = prepare(image, plan, own, trust=True)  # the user's own plan
            done[key] = array, prepare_labels(label_map, frame, plan.labels), frame
        array, indices, frame = done[key]
        recipe = recipe_of(plan, configuration)
        write_prepared(
            folder / configuration.name, case, array, indices, frame, plan.labels, recipe
        )
    return True


def _spacing_for(
    image: Image, plan: Plan, configuration: Configuration
) -> tuple[float, float, float]:
    """Return the spacing in mm to which this scan goes: its own where the plan leaves it open."""
    geometry = image.geometry
    orientation = orientation_of(geometry.direction_matrix, plan.orientation)
    oriented = reorient(geometry, orientation).spacing
    z, y, x = (
        oriented[axis] if wanted is None else wanted
        for axis, wanted in zip(plan.axis_order, configuration.spacing, strict=True)
    )
    return z, y, x


def _remove_strangers(folder: Path, dataset: Dataset) -> None:
    """Remove prepared cases that the data set does not have any more."""
    known = {case.id for case in dataset.cases}
    for path in folder.glob("*.npz"):
        case = path.name.removesuffix(".npz")
        if case not in known:
            path.unlink()
            (folder / f"{case}.json").unlink(missing_ok=True)


# --- what it takes -------------------------------------------------------------------------------


def choose_workers(wanted: int | None, dataset: Dataset, fingerprint: Fingerprint | None) -> int:
    """Return how many processes to start; 0 works in this one, which is faster for small data."""
    if wanted is not None:
        return wanted if wanted > 1 else 0
    paths = {path for case in dataset.cases for path in case.images if path.exists()}
    sizes = [path.stat().st_size for path in paths]
    available = cores()
    if sum(sizes) < WORKER_PAYS_FROM or available < 2:
        return 0
    voxels = max(sizes)  # bytes on disk, compressed: about a voxel each
    if fingerprint is not None:
        voxels = max(prod(shape) for shape in fingerprint.shapes) * len(fingerprint.channels)
    fitting = memory_bytes() // (MEMORY_PER_VOXEL * voxels) if memory_bytes() else available
    return min(available, fitting) if fitting > 1 else 0


def require_disk(folder: Path, dataset: Dataset, plan: Plan, names: Sequence[str]) -> None:
    """Raise ResourceError when the disk cannot hold what is not yet prepared."""
    bytes_per_voxel = 2 * len(plan.channels) + 1
    needed = sum(
        prod(plan.configurations[name].median_shape) * bytes_per_voxel * len(dataset.cases)
        for name in names
        if not (folder / name / "manifest.json").exists()
    )
    free = free_disk_bytes(folder)
    if needed > free:
        raise ResourceError(
            f"about {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free",
            place=str(folder),
            remedy="free some space, or prepare one configuration (--only 3d_fullres)",
        )
