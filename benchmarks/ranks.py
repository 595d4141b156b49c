"""Loss of every step by one process and by several that share its batches, float32.

    python benchmarks/ranks.py WORKSPACE -d NAME [--ranks 2 3] [--steps 20] [--set batch_size=3]

Trains the fold `full` on the CPU without augmentation (and with it, for the second table), once by
`autoseg train` and once by each number of ranks under torchrun (gloo), from the same start, in an
empty folder that links to the workspace's prepared data. Exit code 1 when a loss without
augmentation differs by more than 1e-3.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from autoseg.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]
LARGEST_DIFFERENCE = 1e-3
TORCHRUN = ["-m", "torch.distributed.run", "--master-port", "29577", "--nproc-per-node"]
TRAIN = ["-m", "autoseg.cli", "train"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("-d", "--dataset", required=True)
    parser.add_argument("-c", "--configuration", default="3d_fullres")
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 3])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--set", dest="settings", nargs="+", default=["batch_size=3"])
    options = parser.parse_args()
    fine = compare("none", options)
    compare("default", options)
    sys.exit(0 if fine else 1)


def compare(augmentation: str, options: argparse.Namespace) -> bool:
    """Print the losses of one process and of each number of ranks; return whether they agree."""
    settings = [f"augmentation={augmentation}", *options.settings]
    alone = losses(1, settings, options)
    fine = True
    for ranks in options.ranks:
        shared = losses(ranks, settings, options)
        differences = [abs(a - b) for a, b in zip(alone, shared, strict=True)]
        largest = max(differences)
        fine &= largest < LARGEST_DIFFERENCE
        print(f"augmentation {augmentation}, {ranks} ranks: loss {alone[0]:.5f} -> {alone[-1]:.5f} "
              f"in {len(alone)} steps, largest difference {largest:.1e} "
              f"(step {differences.index(largest) + 1})", flush=True)  # fmt: skip
    return fine


def losses(ranks: int, settings: list[str], options: argparse.Namespace) -> list[float]:
    """Train `options.steps` steps; return the loss of each."""
    with tempfile.TemporaryDirectory() as name:
        workspace = Workspace(Path(name))
        (workspace.root / "prepared").symlink_to((options.workspace / "prepared").resolve())
        words = [options.configuration, "full", "-w", name, "-d", options.dataset, "--size", "S"]
        words += ["--device", "cpu", "--set", "precision=float32", "steps_per_epoch=1"]
        words += [f"steps={options.steps}", *settings]
        start = TRAIN if ranks == 1 else [*TORCHRUN, str(ranks), *TRAIN]
        begin = time.perf_counter()
        done = subprocess.run(
            [sys.executable, *start, *words], cwd=ROOT, capture_output=True, text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False,
        )  # fmt: skip
        if done.returncode:
            sys.exit(f"{ranks} ranks failed:\n{done.stderr[-3000:]}")
        print(f"{ranks} ranks: {time.perf_counter() - begin:.1f} s, start included", flush=True)
        run = workspace.run(options.dataset, options.configuration, "S", "full")
        with (run / "history.csv").open() as stream:
            return [float(row["train_loss"]) for row in csv.DictReader(stream)]


if __name__ == "__main__":
    main()
