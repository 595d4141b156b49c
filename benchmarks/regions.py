"""Overlapping regions in four MR contrasts: train, predict and evaluate as a user would.

    PYTHONPATH=. python benchmarks/regions.py --output FOLDER

Phantom heads (`tests.tumours`): regions whole = 1, 2, 3, core = 2, 3 and
enhancing = 3, in this order of writing; every fourth tumour does not enhance. One of five folds
of 40 heads is trained and validated, thresholds and other rules chosen, then eight more predicted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from autoseg.image import Image
from autoseg.io import write_image, write_labels
from tests.tumours import CONTRASTS, REGIONS, make_tumour

TRAINING, UNSEEN = range(40), range(40, 48)


def main() -> None:
    """Print the Dice of each region, of the cross-validation and of the unseen heads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="an empty folder")
    parser.add_argument("--steps", type=int, default=400)
    options = parser.parse_args()
    folder = options.output
    write_heads(folder / "heads", TRAINING)
    write_heads(folder / "unseen", UNSEEN)
    classes = [f"{name}={','.join(map(str, values))}" for name, values in REGIONS.items()]
    call(folder, "import", "-d", "HEADS", "--images", folder / "heads/{case}_{channel}.nii.gz",
         "--labels", folder / "heads/{case}_seg.nii.gz", "--channels", *CONTRASTS,
         "--classes", *classes)  # fmt: skip
    call(folder, "plan")
    call(folder, "train", "3d_fullres", "0", "--size", "S",
         "--set", "steps_per_epoch=100", f"epochs={options.steps // 100}")  # fmt: skip
    call(folder, "evaluate")
    tell("cross-validated", folder / "models/HEADS/3d_fullres-S/run/crossvalidation/summary.json")
    for trial in json.loads((folder / "models/HEADS/best.json").read_text())["trials"]:
        print(f"  tried for {trial['scope']}: {trial['rule']}, adopted: {trial['adopted']}")
    call(folder, "predict", "-i", folder / "unseen/images", "-o", folder / "found")
    call(folder, "evaluate", "-d", "HEADS", "-p", folder / "found", "-g", folder / "unseen/labels")
    tell("unseen", folder / "found/summary.json")


def write_heads(folder: Path, seeds: range) -> None:
    """Write heads as `<case>_<contrast>` and `<case>_seg`, or for predicting by number."""
    for seed in seeds:
        image, label_map = make_tumour(np.random.default_rng(seed), enhancing=seed % 4 != 3)
        predicting = folder.name == "unseen"
        for number, channel in enumerate(image.array):
            name = f"head{seed}_{CONTRASTS[number]}.nii.gz"
            if predicting:
                name = f"images/head{seed}_{number:04d}.nii.gz"
            write_image(folder / name, Image(channel[None], image.geometry))
        name = f"labels/head{seed}.nii.gz" if predicting else f"head{seed}_seg.nii.gz"
        write_labels(folder / name, label_map, image.geometry)


def call(folder: Path, *words: str | Path) -> None:
    """Run `autoseg VERB ...` in the workspace, with its output shown."""
    command = [sys.executable, "-m", "autoseg.cli", *map(str, words), "-w", str(folder)]
    subprocess.run(command, check=True)


def tell(title: str, summary: Path) -> None:
    """Print the mean Dice of every region."""
    mean = json.loads(summary.read_text())["mean"]
    print(title, {name: round(mean[name]["dice"]["mean"], 4) for name in REGIONS}, flush=True)


if __name__ == "__main__":
    main()
