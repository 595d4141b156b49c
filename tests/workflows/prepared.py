"""A tiny prepared dataset: bright balls in noise, two classes, one configuration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from autoseg.dataset import Case
from autoseg.image import Geometry, Image
from autoseg.labels import Labels
from autoseg.plan import Configuration, Design, IntensityStats, NetworkSpec, Plan
from autoseg.plan_file import save_plan
from autoseg.planning.folds import make_folds, save_folds
from autoseg.preprocessing.manifest import recipe_of, write_manifest
from autoseg.preprocessing.native import write_native
from autoseg.preprocessing.prepare import prepare, prepare_labels
from autoseg.preprocessing.store import write_prepared
from autoseg.workspace import Workspace

SHAPE = (12, 14, 12)
LABELS = Labels({"core": (1,), "shell": (2,)})
NETWORK = NetworkSpec(
    "plain_unet", (4, 8), ((1, 1, 1), (2, 2, 2)), ((3, 3, 3), (3, 3, 3)), (1, 1), (1,)
)


def make_plan(network: NetworkSpec = NETWORK) -> Plan:
    """A plan with one configuration and one size."""
    design = Design((8, 8, 8), 2, network)
    configuration = Configuration(
        "3d_fullres", (1.0, 1.0, 1.0), SHAPE, ("zscore",), (False,), False, {"S": design}
    )
    stats = IntensityStats(0.0, 1.0, -3.0, 3.0, -5.0, 5.0)
    return Plan(
        "BALLS", ("MR",), LABELS, (0, 1, 2), (stats,), {"3d_fullres": configuration}, (), ".nii.gz"
    )


def make_flat_plan() -> Plan:
    """A plan of slices."""
    spec = NetworkSpec(
        "plain_unet", (4, 8), ((1, 1, 1), (1, 2, 2)), ((1, 3, 3), (1, 3, 3)), (1, 1), (1,)
    )
    configuration = Configuration(
        "2d",
        (None, 1.0, 1.0),
        SHAPE,
        ("zscore",),
        (False,),
        True,
        {"S": Design((1, 8, 8), 4, spec)},
    )
    return replace(make_plan(), configurations={"2d": configuration})


def make_workspace(
    root: Path, cases: int = 5, controls: int = 0, plan: Plan | None = None
) -> Workspace:
    """Write the prepared folder of `cases` scans, the last `controls` of them without targets."""
    workspace, plan = Workspace(root), plan or make_plan()
    (configuration,) = plan.configurations.values()
    folder = workspace.prepared("BALLS")
    recipe, entries = recipe_of(plan, configuration), []
    for number in range(cases):
        rng = np.random.default_rng(number)
        tags = ("control",) if number >= cases - controls else ()
        case = Case(f"ball_{number}", (), tags=tags)
        image, label_map = make_scan(rng, empty=bool(tags))
        array, frame = prepare(image, plan, configuration)
        indices = prepare_labels(label_map, frame, plan.labels)
        write_prepared(
            folder / configuration.name, case, array, indices, frame, plan.labels, recipe
        )
        write_native(folder, case.id, label_map)
        entries.append(case)
    write_manifest(folder / configuration.name, [case.id for case in entries], recipe)
    save_folds(workspace.folds("BALLS"), make_folds(entries)[0])
    save_plan(workspace.plan("BALLS"), plan)
    return workspace


def make_scan(rng: np.random.Generator, empty: bool = False) -> tuple[Image, np.ndarray]:
    """A bright core in a grey shell in noise, and its label map."""
    centre = rng.uniform(4.5, 7.5, 3)
    grid = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1)
    distance = np.linalg.norm(grid - centre, axis=-1)
    label_map = np.where(distance < 2.5, 1, np.where(distance < 4, 2, 0)).astype(np.uint8)
    label_map = label_map * 0 if empty else label_map
    array = rng.normal(0, 0.2, SHAPE) + np.choose(label_map, [0.0, 4.0, 2.0]) + 1
    return Image(array[None].astype(np.float32), Geometry(SHAPE)), label_map
