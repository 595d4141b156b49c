"""Scores on the prepared grid to labels on the scan's grid, beside nnU-Net's export.

    python benchmarks/decode.py --nnunet VENV

    14    scores of 14 targets and background (60, 256, 256) -> 90x512x512, all of them everywhere
    117   float16 scores of 117 targets in small boxes of a body, same grids; nnU-Net's time is that
          of 40 targets, extrapolated target by target, as it does not have the memory for more

Memory is what the decoding itself adds to the process; with `--device cuda`, to the GPU. The share
of labels that differ is printed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from side_by_side import (
    COPY_RATE,
    Cost,
    Row,
    common_options,
    has_peer,
    last_json,
    measure,
    print_head,
    print_row,
    script,
    wanted,
)

COMMON = """
import json, sys, time
from pathlib import Path
import numpy as np
import torch
kind, targets, device, saved = (json.loads(a) for a in sys.argv[1:])
shape, new = (60, 256, 256), (90, 512, 512)
spacing, target_spacing = (1.5, 1.5, 1.5), (1.0, 0.75, 0.75)
def everywhere(rng):
    return rng.standard_normal((targets + 1, *shape), dtype=np.float32)
def body(rng):
    scores = np.empty((targets + 1, *shape), np.float16)
    z, y, x = np.ogrid[:shape[0], :shape[1], :shape[2]]
    best = np.full(shape, -14, np.float32)
    for k in range(1, targets + 1):
        centre = rng.uniform(0.15, 0.85, 3) * shape
        radii = rng.uniform((2, 5, 5), (8, 22, 22))
        far = sum(((a - c) / r) ** 2 for a, c, r in zip((z, y, x), centre, radii))
        level = np.clip(10 - 10 * np.sqrt(far), -14, 12) + rng.normal(0, 0.3, shape)
        np.maximum(best, level, out=best)
        scores[k] = level
    scores[0] = np.clip(-best, -14, 12) + rng.normal(0, 0.3, shape)
    return scores
def memory(line):
    return int(Path("/proc/self/status").read_text().split(line + ":")[1].split()[0]) / 2**20
scores = (everywhere if kind == "everywhere" else body)(np.random.default_rng(0))
Path("/proc/self/clear_refs").write_text("5")
before = memory("VmRSS")
"""
AUTOSEG = """
from autoseg.image import Geometry, Orientation
from autoseg.inference.export import decode_restored
from autoseg.labels import Labels
from autoseg.preprocessing.prepare import Frame
def identity():
    from autoseg.image import orientation_of, CANONICAL
    return orientation_of(np.eye(3), CANONICAL)
geometry = Geometry(new, target_spacing, (0.0, 0.0, 0.0))
orientation = identity()
frame = Frame(geometry, orientation, (0, 1, 2), tuple((0, n) for n in new), shape, target_spacing,
              spacing)
labels = Labels({f"target_{k}": (k,) for k in range(1, targets + 1)})
scores = torch.from_numpy(scores).to(device)
times = []
for _ in range(3):
    begin = time.perf_counter()
    out = decode_restored(scores, frame, labels)
    times.append(time.perf_counter() - begin)
    peak = memory("VmHWM") - before
if saved:
    np.save(saved, frame.turn(out))
share = None
if scores.device.type == "cuda":  # each score and each label moved once, against a copy's rate
    share = (scores.nbytes + out.nbytes) / min(times) / copy_rate(device)
    peak = (torch.cuda.max_memory_allocated() - scores.nbytes) / 2**30
print(json.dumps([min(times), peak, share]))
"""
NNUNET = """
from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape
begin = time.perf_counter()
out = resample_data_or_seg_to_shape(scores, new, spacing, target_spacing, is_seg=False, order=1,
                                    order_z=0, force_separate_z=None)
out = out.argmax(0)
seconds = time.perf_counter() - begin
np.save(saved, out.astype(np.uint8))
print(json.dumps([seconds, memory("VmHWM") - before, None]))
"""


def main() -> None:
    """Print one row per number of targets."""
    options = common_options(__doc__).parse_args()
    peer = has_peer(options)
    print_head(options.device)
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        if wanted(options, "14"):
            compare(options, folder, peer, "everywhere", 14, 14, "1/12 wall, 1/8 memory")
        if wanted(options, "117"):
            compare(options, folder, peer, "body", 117, 40, "1/50 wall, below 1 GB")


def compare(
    options: argparse.Namespace, folder: Path, peer: bool, kind: str, targets: int, theirs: int,
    bar: str,
) -> None:  # fmt: skip
    """Print the row of `targets`; nnU-Net's time for `theirs` of them is extrapolated."""
    cost, share = run(sys.executable, AUTOSEG, kind, targets, options.device, "")
    rate = f", {100 * share:.0f} % of the copy rate" if share else ""
    others, differ = [], ""
    if peer:
        other, _ = run(options.nnunet / "bin/python", NNUNET, kind, theirs, "cpu",
                    str(folder / "theirs.npy"))  # fmt: skip
        scale = (targets + 1) / (theirs + 1)
        others = [Cost(other.wall_s * scale, other.processor_s * scale, other.peak_gb * scale)]
        run(sys.executable, AUTOSEG, kind, theirs, options.device, str(folder / "ours.npy"))
        ours, same = np.load(folder / "ours.npy"), np.load(folder / "theirs.npy")
        differ = f"; {100 * (ours != same).mean():.4f} % of voxels differ with {theirs}"
    print_row(Row(f"decode {targets} targets{rate}{differ}", [cost], others, bar))


def run(python: str | Path, code: str, *arguments: object) -> tuple[Cost, float | None]:
    """Return the decoding's own seconds and added memory, and its share of a GPU's copy rate."""
    cost, text = measure(script(python, COPY_RATE + COMMON + code, *arguments))
    seconds, added, share = last_json(text)
    return Cost(seconds, cost.processor_s, added), share


if __name__ == "__main__":
    main()
