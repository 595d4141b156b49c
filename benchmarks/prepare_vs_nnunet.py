"""Time preparing against scikit-image and nnU-Net, side by side in one run.

    python benchmarks/prepare_vs_nnunet.py [--nnunet PYTHON] [--hippocampus DIR]

Prints a Markdown table. Without nnU-Net or the data the rows that need them are left out. Every
measurement is a process of its own, so that peak memory is its own too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
SHAPES = {  # shape, spacing from, spacing to (mm), shape after
    "80x512x512 -> 120x470x470": ((80, 512, 512), (3.0, 1.0, 1.0), (2.0, 1.09, 1.09)),
    "thick slices, 40x512x512 -> 40x400x400": ((40, 512, 512), (5.0, 0.7, 0.7), (5.0, 0.9, 0.9)),
}

COMMON = """
import json, sys, time
from pathlib import Path
import numpy as np
shape, spacing, target, kind, values, saved = json.loads(sys.argv[1])
new = tuple(round(n * s / t) for n, s, t in zip(shape, spacing, target))
rng = np.random.default_rng(0)
z, y, x = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in shape)]
if kind == "labels":
    array = np.zeros(shape, np.uint8)
    for value in range(1, values + 1):
        c = rng.uniform(-0.6, 0.6, 3)
        array[(z - c[0])**2 + (y - c[1])**2 + (x - c[2])**2 < 0.12] = value
else:
    array = rng.standard_normal(shape, np.float32)
def memory(line):
    status = Path("/proc/self/status").read_text()
    return int(status.split(line + ":")[1].split()[0]) / 1024
def measure_from_here():
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    return memory("VmRSS")
"""
REPORT = """
peak = memory("VmHWM") - before
if saved:
    np.save(saved, out)
print(json.dumps([seconds, peak]))
"""
AUTOSEG = """
from autoseg.preprocessing.resample import resample
from autoseg.preprocessing.resample_labels import resample_labels
before, start = measure_from_here(), time.perf_counter()
if kind == "labels":
    out = resample_labels(array, new, spacing, target)
else:
    out = resample(array[None], new, spacing, target)[0]
seconds = time.perf_counter() - start
"""
SCIKIT_IMAGE = """
from skimage.transform import resize
before, start = measure_from_here(), time.perf_counter()
out = resize(array, new, 3, mode="edge", anti_aliasing=False)
seconds = time.perf_counter() - start
"""
NNUNET = """
from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape
labels = kind == "labels"
data = array[None].astype(np.int8) if labels else array[None]
before, start = measure_from_here(), time.perf_counter()
out = resample_data_or_seg_to_shape(data, new, spacing, target, is_seg=labels,
                                    order=1 if labels else 3, order_z=0, force_separate_z=None)[0]
seconds = time.perf_counter() - start
"""
HIPPOCAMPUS = """
import json, sys, tempfile, time
from pathlib import Path
import numpy as np
from autoseg.dataset import Case
from autoseg.io import read_image, read_labels
from autoseg.labels import Labels
from autoseg.plan import Configuration, IntensityStats, Plan
from autoseg.preprocessing.prepare import prepare, prepare_labels
from autoseg.preprocessing.manifest import recipe_of
from autoseg.preprocessing.native import write_native
from autoseg.preprocessing.store import open_prepared, write_prepared
folder = Path(sys.argv[1])
files = sorted(p for p in (folder / "imagesTr").glob("*.nii.gz") if not p.name.startswith("."))
c = Configuration("3d_fullres", (1.0, 1.0, 1.0), (36, 50, 35), ("zscore",), (False,), False, {})
stats = IntensityStats(1.0, 1.0, 0.0, 1.0, 0.0, 1.0)
plan = Plan("HIPPO", ("MR",), Labels({"anterior": (1,), "posterior": (2,)}), (0, 1, 2), (stats,),
            {"3d_fullres": c}, ())
recipe, spent, halves = recipe_of(plan, c), np.zeros(4), 0
with tempfile.TemporaryDirectory() as target:
    for path in files:
        marks = [time.perf_counter()]
        label_path = folder / "labelsTr" / path.name
        image, labels = read_image(path), read_labels(label_path)
        marks.append(time.perf_counter())
        array, frame = prepare(image, plan, c)
        indices = prepare_labels(labels.array[0], frame, plan.labels)
        marks.append(time.perf_counter())
        case = Case(path.name[:-7], (path,), label_path)
        write_prepared(Path(target), case, array, indices, frame, plan.labels, recipe)
        marks.append(time.perf_counter())
        halves += open_prepared(Path(target), case.id).image.dtype == np.float16
        marks.append(time.perf_counter())
        spent += np.diff(marks)
    size = sum(p.stat().st_size for p in Path(target).iterdir())
print(json.dumps([len(files), *(1000 * spent / len(files)), int(halves), size / 2**20]))
"""


def measure(python: str, code: str, *arguments: str) -> list[float]:
    """Return the numbers that `code` prints as its last line, run by `python`."""
    command = [python, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(title: str, kind: str, values: int, rows: dict[str, tuple[str, str]], folder: Path):
    """Print one line per implementation: seconds, memory beyond the input, difference to ours."""
    import numpy as np

    shape, spacing, target = SHAPES[title]
    results = {}
    for name, (python, code) in rows.items():
        saved = folder / f"{name}.npy"
        argument = json.dumps([shape, spacing, target, kind, values, str(saved)])
        seconds, peak = measure(python, COMMON + code + REPORT, argument)
        results[name] = np.load(saved)
        ours = results["autoseg"]
        if kind == "labels":
            difference = f"{(results[name] != ours).mean():.1e} of voxels"
        else:
            difference = f"{np.abs(results[name] - ours).max():.1e}"
        what = "cubic" if kind == "image" else f"{values} labels"
        print(f"| {title}, {what} | {name} | {seconds:.2f} s | {peak:.0f} MB | {difference} |")


def main() -> None:
    """Run every comparison that this machine allows."""
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nnunet", default="/tmp/nnunet_venv/bin/python")
    parser.add_argument(
        "--hippocampus", type=Path, default=REPOSITORY.parent / "shared/data/hippocampus"
    )
    options = parser.parse_args()
    ours = {"autoseg": (sys.executable, AUTOSEG)}
    theirs = {"nnU-Net": (options.nnunet, NNUNET)} if Path(options.nnunet).exists() else {}
    skimage = {"scikit-image": (sys.executable, SCIKIT_IMAGE)}
    print("| what | who | time | peak memory beyond the input | difference to autoseg |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        cubic, thick = SHAPES
        compare(cubic, "image", 0, ours | skimage | theirs, Path(name))
        compare(thick, "image", 0, ours | theirs, Path(name))
        for values in (2, 14):
            compare(cubic, "labels", values, ours | theirs, Path(name))
    if options.hippocampus.exists():
        n, read, prepared, written, opened, halves, size = measure(
            sys.executable, HIPPOCAMPUS, str(options.hippocampus)
        )
        print(
            f"\n{n} hippocampus cases, per case: read {read:.1f} ms, prepare {prepared:.1f} ms, "
            f"write {written:.1f} ms, open {opened:.2f} ms; {halves} in float16, "
            f"{size:.0f} MB in all"
        )


if __name__ == "__main__":
    main()
