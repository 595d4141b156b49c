"""What every stage's benchmark shares: a command measured from outside, a table, phantom CTs.

Rounds alternate between the programs, so that a disturbance of the machine meets both; a row shows
the median over rounds. Memory is the largest sum over the command's processes of what each holds
for itself plus its share of what they share (PSS), looked at twenty times a second.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.image import Geometry, Image
from autoseg.io import read_labels, write_image, write_labels

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared/data"
LOOK_EVERY_S = 0.05


@dataclass(frozen=True)
class Cost:
    """What a command took, from its first process to the end of its last."""

    wall_s: float
    processor_s: float
    peak_gb: float


@dataclass(frozen=True)
class Row:
    """One comparison: costs of both programs, round by round, and the bar for the ratio."""

    title: str
    ours: Sequence[Cost]
    theirs: Sequence[Cost]
    bar: str = ""


def common_options(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that every stage understands."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument(
        "--nnunet", type=Path, default=Path("/tmp/nnunet_venv"),
        help="virtual environment of nnU-Net; without it: autoseg alone",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--only", nargs="+", metavar="ROW", help="rows whose name holds one of these"
    )
    return parser


def has_peer(options: argparse.Namespace) -> bool:
    """Tell whether nnU-Net is there, and say it once where it is not."""
    there = (options.nnunet / "bin/python").exists()
    if not there:
        print(f"no nnU-Net in {options.nnunet}: autoseg alone", file=sys.stderr)
    return there


def wanted(options: argparse.Namespace, name: str) -> bool:
    """Tell whether a row was asked for."""
    return not options.only or any(part in name for part in options.only)


# --- measuring -----------------------------------------------------------------------------------


def measure(
    words: Sequence[str | Path], variables: Mapping[str, str] | None = None
) -> tuple[Cost, str]:
    """Run a command to its end; return its cost and its stdout. A failure ends the benchmark."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, **(variables or {})}
    before = os.times()
    begin = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [str(word) for word in words], env=environment, cwd=ROOT, stdout=out, stderr=errors
        )
        peak = _watch(process)
        wall = time.perf_counter() - begin
        after = os.times()
        out.seek(0), errors.seek(0)
        if process.returncode:
            told = out.read() + errors.read()
            sys.exit(f"{' '.join(map(str, words))[:200]} failed:\n{told[-3000:]}")
        used = sum(after[2:4]) - sum(before[2:4])
        return Cost(wall, used, peak / 2**30), out.read()


def _watch(process: subprocess.Popen[str]) -> int:
    """Return the largest memory in bytes of a process and all its descendants."""
    peak, done = 0, threading.Event()

    def look() -> None:
        nonlocal peak
        while not done.wait(LOOK_EVERY_S):
            peak = max(peak, sum(_pss(pid) for pid in _family(process.pid)))

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    process.wait()
    done.set()
    watcher.join()
    return peak


def _family(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parent = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found, left = [], [root]
    while left:
        found.append(left.pop())
        left += children.get(found[-1], [])
    return found


def _pss(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:  # it has ended
        pass
    return 0


def script(python: str | Path, code: str, *arguments: object) -> list[str]:
    """Return the words that run `code` with JSON `arguments` as `argv[1]`, `argv[2]`, ..."""
    return [str(python), "-c", code, *(json.dumps(a) for a in arguments)]


COPY_RATE = """
def copy_rate(device):
    import time, torch
    a, fastest = torch.empty(1 << 28, device=device), float("inf")
    for _ in range(5):
        torch.cuda.synchronize(); begin = time.perf_counter()
        a.clone(); torch.cuda.synchronize()
        fastest = min(fastest, time.perf_counter() - begin)
    return 2 * a.nbytes / fastest
"""  # bytes read and written a second by copies on a GPU, for the scripts that are run


def last_json(text: str) -> object:
    """Return what the last line of a script's output says."""
    return json.loads(text.strip().splitlines()[-1])


def alternate(
    title: str,
    rounds: int,
    ours: Callable[[], Cost],
    theirs: Callable[[], Cost] | None,
    bar: str = "",
) -> Row:
    """Run both in turn, `rounds` times, the order changing from round to round."""
    costs: tuple[list[Cost], list[Cost]] = [], []
    for number in range(rounds):
        turns = [(0, ours), (1, theirs)]
        for side, run in turns if number % 2 == 0 else reversed(turns):
            if run is not None:
                costs[side].append(run())
    row = Row(title, costs[0], costs[1], bar)
    print_row(row)
    return row


def print_head(device: str = "cpu") -> None:
    """Print where this runs and the head of the table."""
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f}, {processor()}, device {device}\n")
    print("| stage | autoseg | nnU-Net | ratio of wall, processor, memory | bar |")
    print("|---|---|---|---|---|")


def print_row(row: Row) -> None:
    """Print medians of both sides and ours divided by theirs."""
    ours, theirs = _median(row.ours), _median(row.theirs)
    ratio = "-"
    if ours and theirs:
        ratio = ", ".join(
            f"1/{b / a:.1f}" if a < b else f"{a / b:.2f}"
            for a, b in (
                (ours.wall_s, theirs.wall_s),
                (ours.processor_s, theirs.processor_s),
                (ours.peak_gb, theirs.peak_gb),
            )
            if a and b
        )
    print(f"| {row.title} | {_say(ours)} | {_say(theirs)} | {ratio} | {row.bar} |", flush=True)


def _median(costs: Sequence[Cost]) -> Cost | None:
    if not costs:
        return None
    return Cost(*(statistics.median(getattr(cost, name) for cost in costs)
                  for name in ("wall_s", "processor_s", "peak_gb")))  # fmt: skip


def _say(cost: Cost | None) -> str:
    if cost is None:
        return "-"
    return f"{cost.wall_s:.3g} s, {cost.processor_s:.3g} s processor, {cost.peak_gb:.2f} GB"


def processor() -> str:
    """Return the best of the instructions that training gains from."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            known = [f for f in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if f in line.split()]
            return known[0] if known else "no AVX2"
    return "unknown processor"


# --- data ----------------------------------------------------------------------------------------


def autoseg(*words: str | Path) -> list[str | Path]:
    """Return the words of an autoseg command of this checkout."""
    return [sys.executable, "-m", "autoseg.cli", *words]


def nnunet_places(folder: Path) -> dict[str, str]:
    """Return nnU-Net's three variables for folders in `folder`."""
    return {f"nnUNet_{name}": str(folder / name) for name in ("raw", "preprocessed", "results")}


def write_hippocampus(raw: Path, cases: int | None = None) -> Path:
    """Link `cases` hippocampus volumes under nnU-Net's names; return the folder of the data set.

    Where they are not there, volumes of their size are made.
    """
    source = DATA / "hippocampus"
    for kind in ("imagesTr", "labelsTr"):
        (raw / kind).mkdir(parents=True)
    labels = {"background": 0, "anterior": 1, "posterior": 2}
    if not source.is_dir():
        for number in range(cases or 40):
            _write_small_phantom(raw, number)
        _write_dataset(raw, {"0": "MRI"}, labels, cases or 40)
        return raw
    paths = sorted(p for p in (source / "imagesTr").glob("*.nii.gz"))[:cases]
    for path in paths:
        name = path.name.replace(".nii.gz", "_0000.nii.gz")
        (raw / "imagesTr" / name).symlink_to(path)
        (raw / "labelsTr" / path.name).symlink_to(source / "labelsTr" / path.name)
    _write_dataset(raw, {"0": "MRI"}, labels, len(paths))
    return raw


def _write_small_phantom(raw: Path, number: int) -> None:
    """Write an ellipsoid of two halves in a volume as large as those of the hippocampus."""
    rng = np.random.default_rng(number)
    shape = tuple(int(length + rng.integers(-4, 5)) for length in (36, 50, 35))
    z, y, x = np.ogrid[tuple(map(slice, shape))]
    centre = [length / 2 for length in shape]
    far = ((z - centre[0]) / 8) ** 2 + ((y - centre[1]) / 14) ** 2 + ((x - centre[2]) / 5) ** 2
    labels = np.where(far < 1, 1 + (y > centre[1]), 0).astype(np.uint8)
    image = (rng.normal(100, 20, shape) + 40 * labels).astype(np.float32)
    geometry = Geometry(shape, (1.0, 1.0, 1.0))
    write_image(raw / "imagesTr" / f"case_{number:03d}_0000.nii.gz", Image(image[None], geometry))
    write_labels(raw / "labelsTr" / f"case_{number:03d}.nii.gz", labels, geometry)


def write_phantom_cts(raw: Path, cases: int = 8, slices: int | None = None) -> Path:
    """Write CTs of 512x512x50-92 at 0.7 to 1 mm x 3 to 5 mm; return the folder of the data set.

    Real kidneys where the masks are there, else ellipsoids; intensities are made: air, a body with
    texture, organs a little brighter. `slices`: all of them have so many.
    """
    masks = _kidney_masks()
    for kind in ("imagesTr", "labelsTr"):
        (raw / kind).mkdir(parents=True)
    for number in range(cases):
        rng = np.random.default_rng(number)
        labels = _label_volume(masks, number, rng, slices)
        plane, thick = rng.uniform(0.7, 1.0), rng.uniform(3.0, 5.0)
        geometry = Geometry(labels.shape, (thick, plane, plane))
        write_image(
            raw / "imagesTr" / f"ct_{number:02d}_0000.nii.gz",
            Image(_hounsfield(labels, rng)[None], geometry),
        )
        write_labels(raw / "labelsTr" / f"ct_{number:02d}.nii.gz", labels, geometry)
    _write_dataset(raw, {"0": "CT"}, {"background": 0, "kidney": 1, "tumour": 2}, cases)
    return raw


def _write_dataset(raw: Path, channels: object, labels: object, cases: int) -> None:
    about = {"channel_names": channels, "labels": labels, "numTraining": cases,
             "file_ending": ".nii.gz"}  # fmt: skip
    (raw / "dataset.json").write_text(json.dumps(about))


def _kidney_masks() -> list[np.ndarray]:
    found = []
    for path in sorted((DATA / "kits_masks").glob("case_*/*.nii.gz")):
        array = read_labels(path).array[0]
        thin = array if array.shape[0] < array.shape[2] else np.moveaxis(array, 2, 0)
        if thin.shape[1:] == (512, 512) and thin.shape[0] <= 100:
            found.append(np.ascontiguousarray(thin.astype(np.uint8)))
    return found


def _label_volume(
    masks: Sequence[np.ndarray], number: int, rng: np.random.Generator, wanted: int | None
) -> np.ndarray:
    slices = int(rng.integers(50, 93))
    slices = slices if wanted is None else wanted
    if masks:
        mask = masks[number % len(masks)]
        index = np.linspace(0, len(mask) - 1, slices).round().astype(int)
        mask = mask[index]
        shift = rng.integers(-15, 16, 2)
        return np.roll(mask[..., ::-1] if number % 2 else mask, tuple(shift), (1, 2)).copy()
    labels = np.zeros((slices, 512, 512), np.uint8)
    z, y, x = np.ogrid[:slices, :512, :512]
    for side in (180, 332):
        centre = np.array([slices / 2, 290, side]) + rng.uniform(-10, 10, 3)
        far = ((z - centre[0]) / (slices / 4)) ** 2 + ((y - centre[1]) / 45) ** 2
        far = far + ((x - centre[2]) / 35) ** 2
        labels[far < 1] = 1
    labels[(z - slices / 2) ** 2 * 9 + (y - 290) ** 2 + (x - 190) ** 2 < 20**2] = 2
    return labels


def _hounsfield(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a CT (Z, Y, X) int16 of a body that holds `labels`."""
    y, x = np.ogrid[-1:1:512j, -1:1:512j]
    body = (x / 0.85) ** 2 + (y / 0.62) ** 2 < 1
    mean = np.array([40, 150, 90], np.float32)[labels]
    mean[:, ~body] = -1000
    mean += rng.normal(0, 20, labels.shape).astype(np.float32)
    return np.clip(mean.round(), -1024, 3071).astype(np.int16)
