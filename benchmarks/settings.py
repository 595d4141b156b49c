"""Every loss, optimiser, schedule, sampler and augmentation for a hundred steps on hippocampus.

    python benchmarks/settings.py --work /tmp/settings_benchmark --steps 100

Not which is best (that takes more steps, seeds and data), but that each learns: 24 volumes, fold 0,
size S with patches of 24x32x24, the same seed; Dice of the whole volumes of the five validation
cases. An interrupted run is continued; `--only WORD` trains the rows whose setting holds the word.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import time
from pathlib import Path

from side_by_side import DATA

from autoseg.files import read_json
from autoseg.workflows.plan import plan
from autoseg.workflows.train import train
from autoseg.workspace import Workspace

SOURCE, CASES, CONFIGURATION, SIZE = DATA / "hippocampus", 24, "3d_fullres", "S"
SMALL = "patch_size=24x32x24"  # a fifth of the voxels: so many rows shall not take hours
TARGETS = ("anterior", "posterior")
ROWS = {
    "loss": (
        "loss=dice_ce", "loss=dice", "loss=ce", "loss=bce", "loss=focal",
        "loss=0.65*dice+0.35*focal", "loss=tversky", "loss=tversky+ce", "loss=focal_tversky",
        "loss=topk", "loss=dice+topk", "loss=ce+10*boundary", "target_weights=balanced",
        "target_weights=posterior=3", "dice_smooth=0", "batch_dice=true",
        "deep_supervision=false",
    ),
    "optimiser": (
        "optimizer=adamw", "optimizer=adam", "optimizer=amsgrad", "optimizer=radam",
        "optimizer=nadam", "optimizer=adan", "optimizer=sgd learning_rate=0.05 momentum=0.9",
        "gradient_norm=0",
    ),
    "schedule": ("schedule=poly", "schedule=linear", "schedule=step", "schedule=constant"),
    "sampling": (
        "sampler=nnunet", "sampler=nnunet_probabilistic", "target_sampling=rarity",
        "foreground_fraction=1",
    ),
    "augmentation": (
        "augmentation=none", "augmentation=light", "augmentation=strong",
        "augmentation_strength=0.5", "augmentation_without=rotation,scaling", "mirror_axes=2",
    ),
}  # fmt: skip


def make_raw(workspace: Workspace, name: str) -> None:
    """Write a data set of links to the first volumes."""
    folder = workspace.raw(name)
    for part, suffix in (("imagesTr", "_0000"), ("labelsTr", "")):
        (folder / part).mkdir(parents=True, exist_ok=True)
        for path in sorted((SOURCE / part).glob("*.nii.gz"))[:CASES]:
            link = folder / part / f"{path.name.removesuffix('.nii.gz')}{suffix}.nii.gz"
            if not link.is_symlink():
                link.symlink_to(path)
    dataset = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, **{name: i for i, name in enumerate(TARGETS, 1)}},
        "numTraining": CASES,
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(dataset))


def train_row(work: Path, row: str, steps: int) -> tuple[list[float], float]:
    """Return the Dice of both targets and the seconds of one row, trained or found."""
    workspace = Workspace(work / re.sub(r"[^\w.+=-]", "_", row))
    folder = workspace.run("HIPPO", CONFIGURATION, SIZE, "0")
    if not workspace.prepared("HIPPO").exists():
        workspace.prepared("HIPPO").parent.mkdir(parents=True)
        workspace.prepared("HIPPO").symlink_to(Workspace(work).prepared("HIPPO"))
    if not (folder / "result.json").exists():
        begin = time.monotonic()
        settings = [f"steps={steps}", "precision=float32", SMALL, *row.split()]
        train(workspace, CONFIGURATION, 0, dataset="HIPPO", size=SIZE, settings=settings)
        (folder / "seconds.txt").write_text(f"{time.monotonic() - begin}")
    means = read_json(folder / "validation" / "summary.json")["mean"]
    seconds = float((folder / "seconds.txt").read_text())
    return [means[target]["dice"]["mean"] for target in TARGETS], seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--only", default="", metavar="WORD")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    workspace = Workspace(options.work.resolve())
    if not workspace.plan("HIPPO").exists():
        make_raw(workspace, "HIPPO")
        plan(workspace, "HIPPO", only=[CONFIGURATION])
    for kind, rows in ROWS.items():
        for row in rows:
            if options.only in row:
                dice, seconds = train_row(options.work.resolve(), row, options.steps)
                numbers = "  ".join(f"{value:.3f}" for value in dice)
                print(f"{kind:13} {row:50} {numbers}  {seconds:5.0f} s", flush=True)


if __name__ == "__main__":
    main()
