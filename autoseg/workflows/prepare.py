"""Write the prepared arrays of every case and configuration."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from autoseg.dataset import Case, Dataset
from autoseg.image import Image, orientation_of, reorient
from autoseg.io import read_case, read_labels
from autoseg.parallel import map_cases
from autoseg.plan import Configuration, Plan
from autoseg.preprocessing.manifest import is_complete, is_prepared, recipe_of, write_manifest
from autoseg.preprocessing.native import write_native
from autoseg.preprocessing.prepare import Frame, prepare, prepare_labels
from autoseg.preprocessing.spool import drop, take
from autoseg.preprocessing.store import write_prepared

log = logging.getLogger(__name__)

Arrays = tuple[np.ndarray, np.ndarray, Frame]


def prepare_dataset(
    folder: Path,
    dataset: Dataset,
    plan: Plan,
    names: Sequence[str],
    workers: int,
    spool: Path | None = None,
) -> int:
    """Prepare what is missing of the configurations `names`; return how many cases were.

    Scans that the check left in `spool` are taken from there, others are read. Finished cases are
    kept, so an interrupted run continues. Manifests are written last.
    """
    missing = [name for name in names if not _is_done(folder, dataset, plan, name)]
    if not missing:
        return 0
    for name in missing:
        # While cases are replaced the folder is not complete.
        (folder / name / "manifest.json").unlink(missing_ok=True)
        _remove_strangers(folder / name, dataset)
    _remove_strangers(folder / "labels", dataset)
    work = partial(_prepare_case, folder=folder, plan=plan, names=tuple(missing), spool=spool)
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


def _prepare_case(
    case: Case, folder: Path, plan: Plan, names: Sequence[str], spool: Path | None = None
) -> bool:
    """Prepare what is missing of one case; tell whether anything was."""
    configurations = [plan.configurations[name] for name in names]
    missing = [
        c for c in configurations if not is_prepared(folder / c.name, case, recipe_of(plan, c))
    ]
    if not missing and _native_path(folder, case).exists():
        return False
    image, label_map = _read(case, plan, spool)
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
    drop(spool, case)
    return True


def _read(case: Case, plan: Plan, spool: Path | None) -> tuple[Image, np.ndarray]:
    found = take(spool, case)
    if found is not None:
        return found[0], found[1].array[0]
    assert case.labels is not None  # the check refuses cases without labels
    return read_case(case, len(plan.channels)), read_labels(case.labels).array[0]


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
