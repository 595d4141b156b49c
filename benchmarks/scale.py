"""Cost per case from 20 to 2,000 tiny phantoms: plan, start of training, predict, evaluate.

    python benchmarks/scale.py [--sizes 20 200 2000]

Each stage is a command of its own. The second table is the memory of the prediction while it works
through its cases: it must not grow.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from side_by_side import ROOT, Cost, autoseg, measure

from autoseg.phantom import write_phantoms, write_raw

SHAPE = (12, 24, 24)
STEPS = ["--set", "steps=2", "batch_size=2", "precision=float32"]
ALL_TO_TRAIN = "full"  # no validation: the start is what counts


def main() -> None:
    """Print seconds, milliseconds per case and memory for every stage and size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 200, 2000])
    options = parser.parse_args()
    print("| cases | plan | start of training | predict | evaluate |")
    print("|---|---|---|---|---|", flush=True)
    growth: list[tuple[int, list[tuple[int, float]]]] = []
    for cases in options.sizes:
        with tempfile.TemporaryDirectory() as where:
            folder = Path(where)
            write_raw(folder / "raw" / "TINY", cases, SHAPE)
            stages = [measure(autoseg("plan", "-w", folder, "--only", "3d_fullres"))[0]]
            words = ("train", "3d_fullres", ALL_TO_TRAIN, "-w", folder, "--size", "S")
            stages.append(measure(autoseg(*words, "--device", "cpu", *STEPS))[0])
            images, labels = folder / "unseen", folder / "truth"
            write_phantoms(folder, "unseen", "truth", range(5000, 5000 + cases), SHAPE)
            cost, seen = predict(folder, images)
            stages.append(cost)
            words = ("evaluate", "-p", folder / "predicted", "-g", labels, "-o", folder / "scores")
            stages.append(measure(autoseg(*words))[0])
        growth.append((cases, seen))
        print(f"| {cases} | {' | '.join(_per_case(cost, cases) for cost in stages)} |", flush=True)
    print("\nmemory of the prediction, after so many label maps:")
    for cases, seen in growth:
        print(f"  {cases} cases: {', '.join(f'{done}: {mb:.0f} MB' for done, mb in seen)}")


def predict(folder: Path, images: Path) -> tuple[Cost, list[tuple[int, float]]]:
    """Predict; return the cost and (label maps written, megabytes) as it went on."""
    words = autoseg("predict", "-i", images, "-o", folder / "predicted", "-w", folder)
    begin, before, seen, peak = time.perf_counter(), os.times(), [], 0.0
    process = subprocess.Popen(
        [str(w) for w in (*words, "--device", "cpu")], cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wanted = 20
    while process.poll() is None:
        time.sleep(0.1)
        held = _held_mb(process.pid)
        peak = max(peak, held)
        done = len(list((folder / "predicted").glob("*.nii.gz")))
        if done >= wanted:
            seen.append((done, held))
            wanted = done * 2
    if process.returncode:
        sys.exit("predict failed")
    after = os.times()
    used = sum(after[2:4]) - sum(before[2:4])
    return Cost(time.perf_counter() - begin, used, peak / 1024), seen


def _held_mb(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        return 0.0


def _per_case(cost: Cost, cases: int) -> str:
    wall, used = (1000 * seconds / cases for seconds in (cost.wall_s, cost.processor_s))
    return (
        f"{cost.wall_s:.1f} s, a case {wall:.0f} ms ({used:.0f} processor), {cost.peak_gb:.2f} GB"
    )


if __name__ == "__main__":
    main()
