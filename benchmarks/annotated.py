"""Targets erased in some cases, and labels of a tenth of the voxels: what each costs.

    python benchmarks/annotated.py --work /tmp/annotated_benchmark --steps 500

Hippocampus, fold 0, size S, small patches, the same steps and seed: with full labels; with
"posterior" erased in half of the training cases and `annotated` declared for them; with it erased
and nothing declared; and with nine tenths of the voxels of the training cases ignored, in blobs.
The validation cases are the same each time, with full labels; the scores are compared case by case
with those of full labels. `--set` changes all trainings. An interrupted run is continued.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

import numpy as np
from scipy import ndimage
from side_by_side import DATA

from autoseg.evaluation.tables import read_summary
from autoseg.io import read_labels, write_labels
from autoseg.planning.folds import load_folds
from autoseg.workflows.plan import plan
from autoseg.workflows.train import train
from autoseg.workspace import Workspace

SOURCE, CONFIGURATION, SIZE = DATA / "hippocampus", "3d_fullres", "S"
TARGETS, ERASED, IGNORED = {"anterior": 1, "posterior": 2}, 2, 3
KEPT, BLOB_VOXELS = 0.1, 1.5  # of the voxels; the standard deviation of what is smoothed to blobs
SMALL = "patch_size=24x32x24"  # a fifth of the planned voxels, so that four runs take no hours
RUNS = ("FULL", "ANNOTATED", "NAIVE", "SCRIBBLES")


def make_raw(workspace: Workspace, name: str, train_cases: tuple[str, ...]) -> None:
    """Write the data set of one run: images as links, labels with what is left of them."""
    folder = workspace.raw(name)
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    erased = set(np.random.default_rng(0).choice(train_cases, len(train_cases) // 2, replace=False))
    for number, path in enumerate(sorted((SOURCE / "labelsTr").glob("*.nii.gz"))):
        case = path.name.removesuffix(".nii.gz")
        image = folder / "imagesTr" / f"{case}_0000.nii.gz"
        image.unlink(missing_ok=True)
        image.symlink_to(SOURCE / "imagesTr" / path.name)
        labels = read_labels(path)
        array = labels.array[0].copy()
        if name in ("ANNOTATED", "NAIVE") and case in erased:
            array[array == ERASED] = 0
        if name == "SCRIBBLES" and case in train_cases:
            noise = np.random.default_rng(number).normal(size=array.shape)
            noise = ndimage.gaussian_filter(noise, BLOB_VOXELS)
            array[noise < np.quantile(noise, 1 - KEPT)] = IGNORED
        write_labels(folder / "labelsTr" / path.name, array, labels.geometry)
    declared = {"annotated": ["anterior"]}
    dataset = {
        "name": name,
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, **TARGETS}
        | ({"ignore": IGNORED} if name == "SCRIBBLES" else {}),
        "file_ending": ".nii.gz",
        "cases": dict.fromkeys(sorted(erased), declared) if name == "ANNOTATED" else {},
    }
    (folder / "dataset.json").write_text(json.dumps(dataset, indent=1))


def run(
    work: Path, steps: int, names: list[str], settings: list[str]
) -> dict[str, dict[str, np.ndarray]]:
    """Return the Dice of each validation case by each training."""
    workspace, found = Workspace(work), {}
    train_cases: tuple[str, ...] = ()
    for name in ("FULL", *(name for name in names if name != "FULL")):
        if not workspace.plan(name).exists():
            make_raw(workspace, name, train_cases)
            # Declared or not, erased targets must not change who is validated.
            folds = None if name == "FULL" else workspace.folds("FULL")
            plan(workspace, name, only=[CONFIGURATION], folds=folds)
        if name == "FULL":
            train_cases = load_folds(workspace.folds(name))[0].train
        if name not in names:
            continue
        folder = workspace.run(name, CONFIGURATION, SIZE, "0")
        if not (folder / "result.json").exists():
            ours = [f"steps={steps}", "precision=float32", SMALL, *settings]
            train(workspace, CONFIGURATION, 0, dataset=name, size=SIZE, settings=ours)
        cases = read_summary(folder / "validation" / "summary.json").cases
        found[name] = {
            target: np.asarray([case.metrics[target]["dice"].value for case in cases])
            for target in TARGETS
        }
    return found


def report(found: dict[str, dict[str, np.ndarray]]) -> None:
    """Print the mean Dice per target of each run, and how it differs from full labels."""
    print(f"{'run':10}" + "".join(f"  {name:>9}   - full (s.e.), lower" for name in TARGETS))
    for name, dice in found.items():
        line = f"{name:10}"
        for target, values in dice.items():
            line += f"  {values.mean():9.4f}"
            if "FULL" in found:
                less = values - found["FULL"][target]
                error = less.std(ddof=1) / len(less) ** 0.5
                line += f"  {less.mean():+7.4f} ({error:.4f}) {(less < 0).sum():3}/{len(less)}"
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    report(run(options.work, options.steps, options.runs, options.set))


if __name__ == "__main__":
    main()
