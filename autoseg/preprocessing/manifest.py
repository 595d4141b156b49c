"""Is it prepared already? By what plan a recipe tells, that all is, a manifest.

<folder>/manifest.json `Manifest`: written last; where it stands, the folder is complete
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.dataset import Case
from autoseg.errors import CorruptError, DataError
from autoseg.files import read_json, write_json
from autoseg.plan import Configuration, Plan
from autoseg.preprocessing.store import FORMAT, of_this_format, paths_of, read_sidecar, sources_of
from autoseg.records import fingerprint_of, from_json, to_json


@dataclass(frozen=True)
class Manifest:
    """The statement that a folder is complete."""

    recipe: str
    cases: Mapping[str, int]  # bytes of each .npz
    format: str = FORMAT


def recipe_of(plan: Plan, configuration: Configuration) -> str:
    """Return a hash of all in the plan that shapes prepared arrays: not patch or batch sizes."""
    return fingerprint_of(
        {
            "format": FORMAT,
            "channels": plan.channels,
            "targets": plan.labels.targets,
            "ignore": plan.labels.ignore,
            "axis_order": plan.axis_order,
            "intensities": to_json(plan.intensities),
            "spacing": configuration.spacing,
            "normalizers": configuration.normalizers,
            "mask_normalization": configuration.mask_normalization,
        }
    )


def home_of(plan: Plan, configuration: Configuration) -> str:
    """Return the name of the folder in which the prepared arrays of a configuration lie.

    A cascade shares those of the configuration that is prepared alike, by rule 3d_fullres.
    """
    if configuration.previous is None:
        return configuration.name
    recipe = recipe_of(plan, configuration)
    for other in plan.configurations.values():
        if other.previous is None and recipe_of(plan, other) == recipe:
            return other.name
    return configuration.name


def is_prepared(folder: Path, case: Case, recipe: str) -> bool:
    """Tell whether `case` lies there whole, prepared by `recipe` from its files as they are now."""
    path, sidecar_path = paths_of(folder, case.id)
    if not (path.exists() and sidecar_path.exists()):
        return False
    try:
        sidecar = read_sidecar(folder, case.id)
    except (DataError, CorruptError):
        return False
    about = (case.group, case.tags, case.annotated)
    return (
        sidecar.recipe == recipe
        and sidecar.bytes == path.stat().st_size
        and sidecar.sources == sources_of(case)
        and about == (sidecar.group, sidecar.tags, sidecar.annotated)
    )


def write_manifest(folder: Path, cases: Iterable[str], recipe: str) -> Manifest:
    """State that `cases` lie in `folder`, all prepared by `recipe`. Call it last."""
    sizes = {case: paths_of(folder, case)[0].stat().st_size for case in sorted(cases)}
    manifest = Manifest(recipe, sizes)
    write_json(folder / "manifest.json", manifest)
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a folder; raise DataError when there is none: it is not complete."""
    path = folder / "manifest.json"
    if not path.exists():
        raise DataError(
            "the data are not prepared, or not to the end",
            place=str(folder),
            remedy="run autoseg_plan; it continues where it stopped",
        )
    return from_json(Manifest, of_this_format(read_json(path), path), str(path))


def is_complete(folder: Path, cases: Sequence[Case], recipe: str) -> bool:
    """Tell whether there is nothing left to prepare in `folder` for `cases`."""
    try:
        manifest = read_manifest(folder)
    except (DataError, CorruptError):
        return False
    return (
        manifest.recipe == recipe
        and set(manifest.cases) == {case.id for case in cases}
        and all(is_prepared(folder, case, recipe) for case in cases)
    )
