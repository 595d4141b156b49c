"""3d_lowres, 3d_fullres and the cascade on phantom CTs whose patch sees less than a quarter.

    python benchmarks/cascade.py --work /tmp/cascade_benchmark --steps 250

Two folds of phantoms, all three configurations trained on both with the same number of steps, size
S; then every model (the mean of its two folds) predicts phantoms that none has seen. An interrupted
run is continued. `--distortion` only times how the previous stage's label maps are made worse.
"""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path

import numpy as np
from scipy import ndimage

from autoseg.phantom import write_phantoms, write_raw
from autoseg.planning.folds import Fold, save_folds
from autoseg.results import Summary
from autoseg.training.distortion import distort
from autoseg.workflows.evaluate import evaluate
from autoseg.workflows.plan import plan
from autoseg.workflows.predict import predict
from autoseg.workflows.train import train
from autoseg.workspace import Workspace

DATASET, SIZE = "PHANTOM", "S"
SHAPE, PATCH = (16, 80, 80), "16x32x32"  # voxels of 3 x 1 x 1 mm; 16 % of a scan
COARSE = "3,2,2"  # mm: there a patch holds a whole scan
TRAINING, UNSEEN = 8, 8
CONFIGURATIONS = ("3d_lowres", "3d_fullres", "3d_cascade_fullres")


def run(work: Path, steps: int) -> dict[str, Summary]:
    """Return the scores of the unseen phantoms by each configuration."""
    workspace = Workspace(work)
    if not (workspace.raw(DATASET) / "dataset.json").exists():
        last = TRAINING + UNSEEN
        write_phantoms(work / "unseen", "images", "labels", range(TRAINING, last), SHAPE)
        write_raw(workspace.raw(DATASET), TRAINING, SHAPE)
    if not workspace.plan(DATASET).exists():
        patches = [f"{name}.{SIZE}.patch_size={PATCH}" for name in CONFIGURATIONS[1:]]
        plan(workspace, DATASET, settings=[f"3d_lowres.spacing={COARSE}", *patches])
        cases = [f"phantom_{number:02d}" for number in range(TRAINING)]
        halves = (tuple(cases[::2]), tuple(cases[1::2]))
        save_folds(workspace.folds(DATASET), [Fold(*halves), Fold(*halves[::-1])])
    found = {}
    for name in CONFIGURATIONS:
        for fold in ("0", "1"):
            if not (workspace.run(DATASET, name, SIZE, fold) / "result.json").exists():
                settings = [f"steps={steps}", "steps_per_epoch=50"]
                train(workspace, name, fold, dataset=DATASET, size=SIZE, settings=settings)
        output = work / f"predicted_{name}"
        if not (output / "predictions.json").exists():
            predict(workspace, work / "unseen" / "images", output, dataset=DATASET,
                    configuration=name, overwrite=output.exists())  # fmt: skip
        found[name] = evaluate(
            workspace, predictions=output, references=work / "unseen" / "labels", dataset=DATASET
        )
    return found


def report(found: dict[str, Summary]) -> None:
    """Print Dice per target and paired differences to 3d_lowres."""
    base = found["3d_lowres"]
    targets = list(base.mean)
    print(f"Dice of {len(base.cases)} unseen phantoms: {', '.join(targets)}, mean; NSD")
    for name, summary in found.items():
        dice = [summary.mean[target]["dice"].mean or 0 for target in targets]
        nsd = summary.foreground_mean["nsd"].mean or 0
        pairs = zip(summary.cases, base.cases, strict=True)
        better = sum(_dice(ours) > _dice(theirs) for ours, theirs in pairs)
        numbers = "  ".join(f"{value:.4f}" for value in (*dice, float(np.mean(dice)), nsd))
        print(f"{name:20}  {numbers}   above 3d_lowres in {better} of {len(base.cases)}")


def _dice(case: object) -> float:
    metrics = case.metrics.values()  # type: ignore[attr-defined]
    return float(np.mean([target["dice"].value or 0 for target in metrics]))


def time_distortion() -> None:
    """Print the milliseconds a patch takes on average, of sizes M and S, with three values."""
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(128,) * 3), 8)
    whole = np.digitize(noise, np.quantile(noise, [0.6, 0.8, 0.95])).astype(np.uint8)
    for shape in ((128, 128, 128), (40, 70, 70)):
        part = whole[tuple(map(slice, shape))]
        copies = [part.copy() for _ in range(60)]
        begin = time.perf_counter()
        for number, indices in enumerate(copies):
            distort(indices, indices.size, np.random.default_rng(number))
        print(shape, f"{(time.perf_counter() - begin) / len(copies) * 1e3:.1f} ms a patch")


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("cascade_benchmark"))
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--distortion", action="store_true", help="only time the distortion")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if options.distortion:
        time_distortion()
    else:
        report(run(options.work, options.steps))


if __name__ == "__main__":
    main()
