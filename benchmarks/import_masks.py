"""One subject of TotalSegmentator: its masks into one label map, and what a batch costs afterwards.

    python benchmarks/import_masks.py --subject shared/data/totalsegmentator/s0000

A loader that keeps one file per structure reads the scan and every mask for each sample. So the
rows below are: the import as a command; reading the subject's files once, as autoseg and as
SimpleITK read them; and one unaugmented batch from the prepared data, sampling included.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import SimpleITK as sitk
from side_by_side import autoseg, measure

from autoseg.config import TrainConfig
from autoseg.io import read_image
from autoseg.plan_file import load_plan
from autoseg.preprocessing.store import open_prepared
from autoseg.training.loader import make_batch
from autoseg.training.sampling import make_pool
from autoseg.workspace import Workspace

DATASET, ROUNDS, BATCHES = "TS", 7, 40
BATCHES_OF = {"2d": (8, (1, 256, 256)), "3d_fullres": (2, (28, 80, 80))}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--subject", type=Path, required=True, metavar="FOLDER")
    subject = parser.parse_args().subject.resolve()
    files = [subject / "ct.nii.gz", *sorted((subject / "segmentations").iterdir())]
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        source = workspace / "source"
        shutil.copytree(subject, source / subject.name)
        words = ("-d", DATASET, "-w", workspace)
        layout = ("--layout", "totalsegmentator", "--src", source)
        brought, _ = measure(autoseg("import", *words, *layout))
        measure(autoseg("plan", *words, "--only", *BATCHES_OF))
        deeds: dict[str, Callable[[], object]] = {
            "autoseg": lambda: [read_image(path) for path in files],
            "SimpleITK": lambda: [sitk.ReadImage(str(path)) for path in files],
        }
        for configuration in BATCHES_OF:
            deeds[configuration] = batch_of(Workspace(workspace), configuration)
        seconds = alternated(deeds)
    print("| what | seconds | peak GB |\n|---|---|---|")
    cost = f"{brought.wall_s:.2f} | {brought.peak_gb:.2f}"
    print(f"| {len(files) - 1} masks into one label map | {cost} |")
    for reader in ("autoseg", "SimpleITK"):
        print(f"| reading the {len(files)} files once, {reader} | {seconds[reader]:.4f} | |")
    for configuration, (batch, patch) in BATCHES_OF.items():
        one = seconds[configuration]
        ratios = f"1/{seconds['autoseg'] / one:.0f} and 1/{seconds['SimpleITK'] / one:.0f}"
        shown = f"a batch of {batch}, {'x'.join(map(str, patch))}, {configuration}"
        print(f"| {shown} | {one:.5f} ({ratios}) | |")


def batch_of(workspace: Workspace, configuration: str) -> Callable[[], object]:
    """Return a function that makes the next batch of the prepared data, not augmented."""
    prepared = workspace.prepared(DATASET)
    plan = load_plan(prepared / "plan.json")
    cases = [open_prepared(prepared / configuration, next(prepared.glob("labels/*.npz")).stem)]
    batch, patch = BATCHES_OF[configuration]
    config = TrainConfig(batch_size=batch, patch_size=patch)
    pool = make_pool(cases, plan.labels, config)
    design, steps = plan.configuration(configuration).design("S"), itertools.count()
    return lambda: make_batch(cases, pool, design, config, plan.labels, next(steps), augment=False)


def alternated(deeds: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median seconds of each deed, batches many times a round, after one untimed round.

    They take turns, so that other jobs of the machine slow all of them down.
    """
    seconds: dict[str, list[float]] = {name: [] for name in deeds}
    for _ in range(ROUNDS + 1):
        for name, deed in deeds.items():
            times = BATCHES if name in BATCHES_OF else 1
            begin = time.perf_counter()
            for _ in range(times):
                deed()
            seconds[name].append((time.perf_counter() - begin) / times)
    return {name: statistics.median(taken[1:]) for name, taken in seconds.items()}


if __name__ == "__main__":
    sys.exit(main())
