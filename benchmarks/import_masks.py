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
from collections.abc import Callable
from pathlib import Path

import SimpleITK as sitk
from side_by_side import autoseg, measure

from autoseg.config import TrainConfig
from autoseg.io import read_image
from autoseg.plan import load_plan
from autoseg.preprocessing.store import open_prepared
from autoseg.training.loader import make_batch
from autoseg.training.sampling import make_pool
from autoseg.workspace import Workspace

DATASET, ROUNDS, BATCHES, WARM = "TS", 7, 200, 20
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
        brought, _ = measure(
            autoseg("import", *words, "--layout", "totalsegmentator", "--src", source)
        )
        measure(autoseg("plan", *words, "--only", *BATCHES_OF))
        count = len(files)
        print("| what | seconds | peak GB |\n|---|---|---|")
        cost = f"{brought.wall_s:.2f} | {brought.peak_gb:.2f}"
        print(f"| {count - 1} masks into one label map | {cost} |")
        read = {
            "autoseg": timed(lambda: [read_image(path) for path in files]),
            "SimpleITK": timed(lambda: [sitk.ReadImage(str(path)) for path in files]),
        }
        for reader, seconds in read.items():
            print(f"| reading the {count} files once, {reader} | {seconds:.4f} | |")
        for configuration, (batch, patch) in BATCHES_OF.items():
            seconds = seconds_a_batch(Workspace(workspace), configuration, batch, patch)
            times = " and ".join(f"1/{all_files / seconds:.0f}" for all_files in read.values())
            shown = "x".join(map(str, patch))
            print(f"| a batch of {batch}, {shown}, {configuration} | {seconds:.5f} ({times}) | |")


def seconds_a_batch(
    workspace: Workspace, configuration: str, batch: int, patch: tuple[int, ...]
) -> float:
    """Return the median time of a batch, read from the prepared data and cut out."""
    prepared = workspace.prepared(DATASET)
    plan = load_plan(prepared / "plan.json")
    cases = [open_prepared(prepared / configuration, next(iter(prepared.glob("labels/*"))).stem)]
    config = TrainConfig(batch_size=batch, patch_size=patch)
    design, pool = (
        plan.configuration(configuration).design("S"),
        make_pool(cases, plan.labels, config),
    )
    steps = itertools.count()

    def one() -> None:
        make_batch(cases, pool, design, config, plan.labels, next(steps), augment=False)

    for _ in range(WARM):
        one()
    return timed(one, BATCHES)


def timed(deed: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return the median of how many seconds `deed` takes."""
    seconds = []
    for _ in range(rounds):
        begin = time.perf_counter()
        deed()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


if __name__ == "__main__":
    sys.exit(main())
