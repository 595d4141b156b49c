"""Agreement, time and memory of the metrics beside google-deepmind/surface-distance, in one run.

    export OMP_NUM_THREADS=1 PYTHONPATH=.
    python benchmarks/metrics.py --data DATA golden agreement kits totalsegmentator memory workers

Needs surface-distance in the same Python (`pip install surface-distance`) for `agreement`, `kits`
and `totalsegmentator`. Each part prints one line for each measurement and may run alone. Seconds
are processor seconds of one process with one thread, which also compare on a busy machine; only
`workers` needs an idle one. Data: `kits_masks/*/segmentation.nii.gz` (KiTS19 label maps at full
size) and `totalsegmentator/s0000/segmentations/*.nii.gz`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy.ndimage import binary_erosion

from autoseg.evaluation.score import score_case
from autoseg.image import Geometry
from autoseg.io import read_labels, write_labels
from autoseg.labels import Labels

ROOT = Path(__file__).resolve().parents[1]
KITS = Labels({"kidney": (1, 2), "tumour": (2,)})
TOLERANCE_MM = 2.0
SHARED = ("hd95", "nsd", "asd_ref_to_pred", "asd_pred_to_ref", "hd")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "parts", nargs="*", default=list(PARTS), metavar="PART", help=" ".join(PARTS)
    )
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--cases", type=int, default=4, help="KiTS cases (default: 4)")
    parser.add_argument("--pairs", type=int, default=50, help="of `workers` (default: 50)")
    options = parser.parse_args()
    if not options.data.is_dir():
        parser.error(f"{options.data}: no such folder; name it with --data")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    for part in options.parts:
        PARTS[part](options)


# --- pairs ---------------------------------------------------------------------------------------


def kits_cases(options: argparse.Namespace) -> Iterator[tuple[str, np.ndarray, Geometry]]:
    paths = sorted((options.data / "kits_masks").glob("*/segmentation.nii.gz"))
    for path in paths[: options.cases]:
        image = read_labels(path)
        yield path.parent.name, image.array[0], image.geometry


def shifted(array: np.ndarray, step: int = 1) -> np.ndarray:
    """Return the label map moved by `step` voxels along every axis; nothing wraps around."""
    moved = np.zeros_like(array)
    inner, outer = slice(None, -step), slice(step, None)
    moved[(outer,) * 3] = array[(inner,) * 3]
    return moved


def eroded(array: np.ndarray) -> np.ndarray:
    """Return the label map without the outermost voxels of its foreground."""
    return np.where(binary_erosion(array > 0), array, 0).astype(array.dtype)


def ours(prediction: np.ndarray, reference: np.ndarray, geometry: Geometry, labels: Labels):
    limits = dict.fromkeys(labels.names, TOLERANCE_MM)
    return score_case(prediction, reference, geometry, labels, case="case", tolerances=limits)


def theirs(reference: np.ndarray, prediction: np.ndarray, spacing, everything: bool) -> dict:
    """Return HD95 and NSD of surface-distance, and with `everything` what else it can say."""
    import surface_distance as library

    surfaces = library.compute_surface_distances(reference, prediction, spacing)
    found = {
        "hd95": library.compute_robust_hausdorff(surfaces, 95),
        "nsd": library.compute_surface_dice_at_tolerance(surfaces, TOLERANCE_MM),
    }
    if everything:
        there, back = library.compute_average_surface_distance(surfaces)
        found |= {"asd_ref_to_pred": there, "asd_pred_to_ref": back}
        found["hd"] = library.compute_robust_hausdorff(surfaces, 100)
    return found


def processor_seconds(function: Callable[[], object]) -> tuple[float, object]:
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


# --- parts ---------------------------------------------------------------------------------------


def golden(_: argparse.Namespace) -> None:
    from autoseg.evaluation.metrics import measure_target
    from tests.evaluation.shapes import GOLDEN

    right = total = 0
    for shapes, spacing, mode, expected in GOLDEN:
        values = measure_target(*shapes(), spacing, 1.0, mode)
        total += len(expected)
        right += sum(abs(values[key].value - value) < 5.1e-5 for key, value in expected.items())
    print(f"golden: {right} of {total} values to the printed digits", flush=True)


def agreement(options: argparse.Namespace) -> None:
    for name, reference, geometry in kits_cases(options):
        for change in (shifted, eroded):
            prediction = change(reference)
            scores = ours(prediction, reference, geometry, KITS)
            worst = 0.0
            for target in KITS.names:
                masks = (KITS.mask(array, target) for array in (reference, prediction))
                expected = theirs(*masks, geometry.spacing, everything=True)
                found = scores.metrics[target]
                worst = max(worst, *(abs(found[key].value - expected[key]) for key in SHARED))
            print(f"agreement {name} {change.__name__}: largest difference {worst:.1e}", flush=True)


def kits(options: argparse.Namespace) -> None:
    for name, reference, geometry in kits_cases(options):
        prediction = shifted(reference, 2)

        def library(reference=reference, prediction=prediction, geometry=geometry) -> None:
            for target in KITS.names:
                masks = (KITS.mask(array, target) for array in (reference, prediction))
                theirs(*masks, geometry.spacing, everything=False)

        mine, _ = processor_seconds(lambda: ours(prediction, reference, geometry, KITS))  # noqa: B023
        other, _ = processor_seconds(library)
        size = "x".join(map(str, reference.shape))
        print(
            f"kits {name} {size}: {mine:.2f} s, library {other:.2f} s, {mine / other:.2f}",
            flush=True,
        )


def totalsegmentator(options: argparse.Namespace) -> None:
    files = sorted((options.data / "totalsegmentator/s0000/segmentations").glob("*.nii.gz"))
    images = [read_labels(file) for file in files]
    geometry = images[0].geometry
    masks = [image.array[0] > 0 for image in images]
    reference = np.zeros(masks[0].shape, np.uint8)
    for value, mask in enumerate(masks, start=1):
        reference[mask] = value
    prediction = shifted(reference)
    labels = Labels({file.name.removesuffix(".nii.gz"): (i,) for i, file in enumerate(files, 1)})

    def library() -> None:
        for value in range(1, len(files) + 1):
            pair = reference == value, prediction == value
            if pair[0].any() and pair[1].any():
                theirs(*pair, geometry.spacing, everything=False)

    mine, _ = processor_seconds(lambda: ours(prediction, reference, geometry, labels))
    other, _ = processor_seconds(library)
    print(
        f"totalsegmentator {len(files)} targets: {mine:.2f} s, library {other:.2f} s, "
        f"{mine / other:.2f}",
        flush=True,
    )


MEMORY = """
import numpy as np
from pathlib import Path
from autoseg.evaluation.score import score_case
from autoseg.image import Geometry
from autoseg.labels import Labels

def status(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))

def organ(array, middle, radii, value):
    box = tuple(slice(m - r, m + r + 1) for m, r in zip(middle, radii))
    axes = (np.arange(-r, r + 1) / r for r in radii)
    inside = sum(np.square(axis) for axis in np.ix_(*axes)) <= 1
    array[box][inside] = value

maps = np.zeros((2, 600, 512, 512), np.uint8)
for shift, array in zip((0, 2), maps):
    organ(array, (300, 256 + shift, 180), (75, 110, 120), 1)  # a liver at 0.75 x 0.75 x 1 mm
    organ(array, (320, 300, 380 + shift), (55, 60, 45), 2)  # a spleen
geometry = Geometry((600, 512, 512), (1.0, 0.75, 0.75))
labels = Labels({"liver": (1,), "spleen": (2,)})
small = np.zeros((4, 4, 4), np.uint8)
small[1:3, 1:3, 1:3] = 1
score_case(small, small, Geometry((4, 4, 4), (1, 1, 1)), labels, case="warm")
Path("/proc/self/clear_refs").write_text("5")  # the peak from here on
before = status("VmRSS")
score_case(maps[1], maps[0], geometry, labels, case="case")
extra = status("VmHWM") - before
print(f"memory 600x512x512, two organs: {extra / 2**20:.0f} MiB more, "
      f"{extra / maps[0].size:.2f} bytes a voxel")
"""


def memory(_: argparse.Namespace) -> None:
    subprocess.run([sys.executable, "-c", MEMORY], check=True, cwd=ROOT)


def workers(options: argparse.Namespace) -> None:
    from autoseg.workflows.evaluate import evaluate

    with tempfile.TemporaryDirectory() as name:
        predictions, references = Path(name) / "predictions", Path(name) / "references"
        predictions.mkdir()
        references.mkdir()
        cases = list(kits_cases(options))
        for number in range(options.pairs):
            _, reference, geometry = cases[number % len(cases)]
            copy = eroded(reference) if number % 2 else shifted(reference, 1 + number % 5)
            write_labels(references / f"{number:02d}.nii.gz", reference, geometry)
            write_labels(predictions / f"{number:02d}.nii.gz", copy, geometry)
        seconds = {}
        for count in (1, 2):
            start = time.perf_counter()
            evaluate(
                predictions=predictions, references=references, targets=KITS, workers=count,
                overwrite=True,
            )  # fmt: skip
            seconds[count] = time.perf_counter() - start
    print(
        f"workers {options.pairs} pairs: one {seconds[1]:.1f} s, two {seconds[2]:.1f} s, "
        f"{seconds[1] / seconds[2]:.2f} times",
        flush=True,
    )


PARTS = {
    "golden": golden, "agreement": agreement, "kits": kits, "totalsegmentator": totalsegmentator,
    "memory": memory, "workers": workers,
}  # fmt: skip

if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)  # the library's own
    main()
