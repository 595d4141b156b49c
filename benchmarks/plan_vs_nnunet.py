"""Time planning and preparing a whole data set against nnU-Net, side by side in one run.

    python benchmarks/plan_vs_nnunet.py --raw WORKSPACE/raw/HIPPO --nnunet /tmp/nnunet_venv

The data set lies in nnU-Net's layout, as `autoseg import` leaves it. Both do all their
configurations from nothing, imports included. Memory is the largest single process.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Print one row per program: wall seconds, processor seconds, peak memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--raw", type=Path, required=True)
    parser.add_argument("--nnunet", type=Path, required=True, help="its virtual environment")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, run in (("autoseg", run_autoseg), ("nnU-Net", run_nnunet)):
            print(name, *measure(lambda run=run: run(Path(folder), options)), flush=True)


def run_autoseg(folder: Path, options: argparse.Namespace) -> None:
    """Plan and prepare in a fresh workspace that links to the raw data."""
    (folder / "raw").mkdir()
    (folder / "raw" / options.raw.name).symlink_to(options.raw.resolve())
    words = [sys.executable, "-m", "autoseg.cli", "plan", "-w", folder, "-d", options.raw.name]
    subprocess.run(words, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": ROOT})


def run_nnunet(folder: Path, options: argparse.Namespace) -> None:
    """Plan and preprocess all default configurations of a copy."""
    shutil.copytree(options.raw, folder / "nnunet" / f"Dataset004_{options.raw.name}")
    places = {name: folder / name for name in ("nnUNet_preprocessed", "nnUNet_results")}
    words = [options.nnunet / "bin/nnUNetv2_plan_and_preprocess", "-d", "4"]
    environment = {**os.environ, **places, "nnUNet_raw": folder / "nnunet"}
    subprocess.run(words, check=True, capture_output=True, env=environment)


def measure(run: Callable[[], None]) -> tuple[str, str, str]:
    """Return wall seconds, processor seconds and peak memory of the children of `run()`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    run()
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return f"{wall:.1f} s wall", f"{used:.1f} s processor", f"{after.ru_maxrss / 2**20:.2f} GB"


if __name__ == "__main__":
    main()
