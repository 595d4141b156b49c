"""Are inputs that are unlike the training data noticed? Named faults against untouched scans.

    python benchmarks/guard.py [--models hippocampus=BUNDLE phantom=BUNDLE] [--only SET ...]

Fingerprints come from some scans, faults are applied to others: 100 and 20 hippocampus volumes, 10
and 5 small phantom CTs, 10 and 20 of 512x512 pixels with real kidneys, 10 and 20 phantom heads of
four MR contrasts. A row is one fault: the area under the ROC curve of its check's score, against
the same scans untouched, and how many faulty ones get a warning of that check. The last row of a
set: how many untouched scans, further ones included, get any warning. Which targets a face of the
scan cuts is known after prediction only: that is the second area. Models that were named predict
for it; where none was, the reference is cut as the scan was.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from autoseg.image import Image
from autoseg.inference.predictor import Predictor
from autoseg.io import read_image, read_labels
from autoseg.labels import Labels
from autoseg.phantom import TARGETS, make_phantom
from autoseg.plan import Plan
from autoseg.planning.fingerprint import combine, measure_case
from autoseg.planning.planner import make_plan
from autoseg.preprocessing.finding import WARN_ABOVE, Finding, worth_telling
from autoseg.preprocessing.guard import look_at_scan
from autoseg.preprocessing.guard_labels import look_at_labels
from benchmarks.side_by_side import DATA, write_phantom_cts
from tests.tumours import CONTRASTS, make_tumour

VIEW_CHECK = "field of view"
Case = tuple[Image, np.ndarray]  # image (C, Z, Y, X), labels (Z, Y, X)
Predict = Callable[[Case], np.ndarray]
Fault = Callable[[Case, np.random.Generator], Case]


@dataclass(frozen=True)
class Set:
    """Cases to learn what is usual from, and others."""

    name: str
    channels: tuple[str, ...]
    labels: Labels
    training: Sequence[Case]
    test: Sequence[Case]
    spare: Sequence[Case] = ()  # further untouched ones


# --- faults --------------------------------------------------------------------------------------


def values(change: Callable[[np.ndarray], np.ndarray]) -> Fault:
    """Return the fault that changes values."""
    return lambda case, rng: (
        replace(case[0], array=change(case[0].array.astype(np.float32))),
        case[1],
    )


def voxels(factor: float) -> Fault:
    """Return the fault that gives voxel sizes `factor` times too large."""

    def change(case: Case, rng: np.random.Generator) -> Case:
        z, y, x = (size * factor for size in case[0].geometry.spacing)
        geometry = replace(case[0].geometry, spacing=(z, y, x))
        return replace(case[0], geometry=geometry), case[1]

    return change


def part(case: Case, axis: int, start: int, stop: int) -> Case:
    """Return the slices from `start` to `stop` along an axis."""
    image, labels = case
    index = tuple(slice(start, stop) if a == axis else slice(None) for a in range(3))
    array = image.array[(slice(None), *index)]
    z, y, x = array.shape[1:]
    return Image(array, replace(image.geometry, shape=(z, y, x))), labels[index]


def third_missing(case: Case, rng: np.random.Generator) -> Case:
    """Drop a third of the slices, at either end."""
    n = case[1].shape[0]
    return part(case, 0, *((0, n - n // 3) if rng.random() < 0.5 else (n // 3, n)))


def through_the_organ(case: Case, rng: np.random.Generator) -> Case:
    """Drop what lies beyond the middle of the largest target, along any axis, to either side."""
    labels = case[1]
    axis = int(rng.integers(3))
    largest = np.bincount(labels[labels > 0]).argmax()
    places = np.nonzero((labels == largest).any(tuple(a for a in range(3) if a != axis)))[0]
    middle, n = int(places.mean()), labels.shape[axis]
    return part(case, axis, *((0, middle + 1) if rng.random() < 0.5 else (middle, n)))


def exchanged(case: Case, rng: np.random.Generator) -> Case:
    """Exchange two channels."""
    a, b = rng.choice(len(case[0].array), 2, replace=False)
    order = list(range(len(case[0].array)))
    order[a], order[b] = b, a
    return replace(case[0], array=case[0].array[order]), case[1]


def instead(others: Sequence[Case]) -> Fault:
    """Return the fault of handing in another kind of scan."""
    turn = iter(range(10**9))
    return lambda case, rng: others[next(turn) % len(others)]


SPACING = {"spacing in cm": voxels(0.1), "spacing in metres": voxels(0.001),
           "spacing 10 times too large": voxels(10.0)}  # fmt: skip
VIEW = {"a third of the slices missing": third_missing, "cut through the organ": through_the_organ}
INVERTED = {"inverted": values(lambda a: a.max() - a + a.min())}
CT = {
    "intercept lost (+1024)": values(lambda a: a + 1024),
    "intercept twice (-1024)": values(lambda a: a - 1024),
    "slope lost (stored values are 10 times as large)": values(lambda a: a * 10),
    "windowed to 0..255": values(lambda a: np.clip((a + 160) / 400, 0, 1) * 255),
}


# --- data ----------------------------------------------------------------------------------------


def hippocampus() -> Set:
    """Return real MR volumes: 100 to learn from, 20 others, 80 spare ones."""
    folder = DATA / "hippocampus"
    cases = [
        (read_image(path), read_labels(folder / "labelsTr" / path.name).array[0])
        for path in sorted((folder / "imagesTr").glob("*.nii.gz"))
    ]
    labels = Labels({"anterior": (1,), "posterior": (2,)})
    # The floors of the checks were set looking at cases 100 to 159.
    return Set("hippocampus", ("MRI",), labels, cases[:100], cases[180:], cases[100:180])


def small_phantoms() -> Set:
    """Return phantom CTs of varying size."""
    labels = Labels({name: (value,) for name, value in TARGETS.items()})

    def make(seed: int) -> Case:
        rng = np.random.default_rng(seed)
        shape = int(rng.integers(14, 20)), int(rng.integers(56, 73)), int(rng.integers(56, 73))
        plane = rng.uniform(0.9, 1.1)
        return make_phantom(rng, shape, (rng.uniform(2.5, 3.5), plane, plane))

    cases = [make(seed) for seed in range(1000, 1035)]
    return Set("phantom", ("CT",), labels, cases[:10], cases[10:15], cases[15:])


def large_phantoms() -> Set:
    """Return phantom CTs of 512x512 pixels with real kidneys."""
    labels = Labels({"kidney": (1,), "tumour": (2,)})
    with tempfile.TemporaryDirectory() as folder:
        raw = write_phantom_cts(Path(folder) / "raw", 30)
        cases = [
            (read_image(path), read_labels(raw / "labelsTr" / f"{path.name[:5]}.nii.gz").array[0])
            for path in sorted((raw / "imagesTr").glob("*.nii.gz"))
        ]
    return Set("phantom512", ("CT",), labels, cases[:10], cases[10:])


def heads() -> Set:
    """Return phantom heads of four MR contrasts."""
    labels = Labels({"oedema": (1,), "necrosis": (2,), "rim": (3,)})

    def make(seed: int) -> Case:
        rng = np.random.default_rng(seed)
        shape = int(rng.integers(22, 28)), int(rng.integers(37, 45)), int(rng.integers(37, 45))
        return make_tumour(rng, shape)

    cases = [make(seed) for seed in range(1000, 1050)]
    return Set("heads", CONTRASTS, labels, cases[:10], cases[10:30], cases[30:])


def real_cts() -> list[Case]:
    """Return the real CTs that are there."""
    paths = (DATA / "spleen_ct/image.nii.gz", DATA / "totalsegmentator/s0000/ct.nii.gz")
    images = [read_image(path) for path in paths if path.is_file()]
    return [(image, np.zeros(image.geometry.shape, np.uint8)) for image in images]


# --- models --------------------------------------------------------------------------------------


def plan_of(data: Set) -> Plan:
    """Return the plan that the training cases give."""
    measures = [
        measure_case(f"case_{n:03d}", image, labels, data.labels)
        for n, (image, labels) in enumerate(data.training)
    ]
    return make_plan(combine(measures, data.channels, data.labels), data.labels, data.name)


def model_at(bundle: Path) -> Predict:
    """Return how a trained model predicts a case."""
    predictor = Predictor(bundle, speed="fast")
    return lambda case: predictor(case[0].array, case[0].geometry.spacing)


def reference(case: Case) -> np.ndarray:
    """Return the labels of a case, as a perfect model would."""
    return case[1]


# --- measuring -----------------------------------------------------------------------------------


def before(case: Case, known: Plan) -> list[Finding]:
    """Return what is found before prediction."""
    normalizers = next(iter(known.configurations.values())).normalizers
    return look_at_scan(case[0], known, normalizers)


def after(case: Case, known: Plan, predict: Predict) -> list[Finding]:
    """Return what is found in the predicted label map."""
    found = look_at_labels(predict(case), case[0].geometry, known)
    return [] if found is None else [found]


def score_of(findings: Sequence[Finding], check: str) -> float:
    """Return the score of a check: that of its worst finding."""
    return max((f.score for f in findings if f.check == check), default=0.0)


def area(untouched: Sequence[float], faulty: Sequence[float]) -> float:
    """Return the area under the ROC curve; ties count half."""
    a, b = np.asarray(untouched)[:, None], np.asarray(faulty)[None]
    return float(np.mean((b > a) + 0.5 * (b == a)))


def report(
    data: Set, faults: Mapping[str, tuple[str, Fault]], known: Plan, predict: Predict
) -> None:
    """Print a row for each fault of a data set, and what became of untouched scans."""
    whole = [*data.test, *data.spare]
    early = [before(case, known) for case in whole]
    late = [after(case, known, predict) for case in whole]
    for name, (check, fault) in faults.items():
        rng = np.random.default_rng(0)
        cases = [fault(case, rng) for case in data.test]
        found = [before(case, known) for case in cases]
        fine = [score_of(findings, check) for findings in early[: len(cases)]]
        areas = [area(fine, [score_of(findings, check) for findings in found])]
        if check == VIEW_CHECK:
            found = [a + after(case, known, predict) for a, case in zip(found, cases, strict=True)]
            fine = [score_of(a + b, check) for a, b in zip(early, late, strict=True)][: len(cases)]
            areas.append(area(fine, [score_of(findings, check) for findings in found]))
        hits = [score_of(findings, check) > WARN_ABOVE for findings in found]
        told = [t for findings in found for t in worth_telling(findings) if t.startswith(check)]
        print(
            f"| {data.name} | {name} | {', '.join(f'{a:.3f}' for a in areas)} | "
            f"{sum(hits)} of {len(hits)} | {told[0] if told else ''} |",
            flush=True,
        )
    alarms = [worth_telling(a + b) for a, b in zip(early, late, strict=True)]
    odd = [text for alarm in alarms for text in alarm]
    count = sum(map(bool, alarms))
    print(
        f"| {data.name} | untouched | | {count} of {len(alarms)} | {'; '.join(odd)} |", flush=True
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--models", nargs="+", default=[], metavar="SET=BUNDLE",
        help="models that predict, of bundles that have not seen the test cases",
    )  # fmt: skip
    parser.add_argument("--only", nargs="+", metavar="SET", help="hippocampus phantom heads ...")
    options = parser.parse_args()
    models = dict(entry.split("=", 1) for entry in options.models)
    hippo, small = hippocampus(), small_phantoms()

    def of(check: str, faults: Mapping[str, Fault]) -> dict[str, tuple[str, Fault]]:
        return {name: (check, fault) for name, fault in faults.items()}

    general = of("spacing", SPACING) | of(VIEW_CHECK, VIEW) | of("intensities", INVERTED)
    other = of("intensities", {"a CT": instead([*small.test, *real_cts()])})
    of_ct = of("intensities", CT | {"an MR": instead(hippo.test)})
    sets: dict[str, tuple[Callable[[], Set], dict[str, tuple[str, Fault]]]] = {
        "hippocampus": (lambda: hippo, other | general),
        "phantom": (lambda: small, of_ct | general),
        "heads": (heads, of("channels", {"two channels exchanged": exchanged}) | general),
        "phantom512": (large_phantoms, of_ct | general),
    }
    print("| scans | fault | area under the ROC curve | warned | the first warning |")
    print("|---|---|---|---|---|")
    for name, (make, faults) in sets.items():
        if options.only and name not in options.only:
            continue
        data = make()
        predict = model_at(Path(models[name])) if name in models else reference
        report(data, faults, plan_of(data), predict)


if __name__ == "__main__":
    main()
