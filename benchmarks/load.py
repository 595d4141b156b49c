"""Batches a second with the full augmentation list, beside nnU-Net's loader on the same data.

    python benchmarks/load.py --nnunet VENV
    python benchmarks/load.py --nnunet VENV --only large --copies 6 --limit-mb 1500

Both prepare the data set themselves (not timed). nnU-Net loads with as many processes as it takes
by itself here; autoseg with its one thread, augmentation on the device of training. `--limit-mb`
puts both into a memory cgroup of that size and empties the page cache first (needs root);
`--copies` makes the prepared data larger than that without preparing more. `--folder` keeps the
prepared data for another call.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from side_by_side import (
    COPY_RATE,
    Cost,
    autoseg,
    common_options,
    has_peer,
    last_json,
    measure,
    nnunet_places,
    print_head,
    print_row,
    script,
    wanted,
    write_hippocampus,
    write_phantom_cts,
)
from side_by_side import Row as Comparison

COUNT = 60  # batches timed after `WARM`
WARM = 12
CGROUPS = Path("/sys/fs/cgroup")

USED = """
import os
def used():
    # Processor seconds of this process and of all below it.
    parents, seconds = {}, {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as stream:
                fields = stream.read().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(pid)] = int(fields[1])
        seconds[int(pid)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    family = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(seconds[pid] for pid in family)
"""

AUTOSEG = (
    USED
    + COPY_RATE
    + """
import json, sys, time
import torch
from pathlib import Path
from autoseg.config import TrainConfig
from autoseg.plan_file import load_plan
from autoseg.preprocessing.manifest import read_manifest
from autoseg.preprocessing.store import open_prepared
from autoseg.training.augmentation import build_augmentation
from autoseg.training.loader import batches
from autoseg.training.state import generator_of, to_device
folder, configuration, batch, patch, count, warm, device = (json.loads(a) for a in sys.argv[1:])
device = torch.device(device)
plan = load_plan(Path(folder) / "plan.json")
cases = [open_prepared(Path(folder) / configuration, case)
         for case in read_manifest(Path(folder) / configuration).cases]
config = TrainConfig(batch_size=batch, patch_size=tuple(patch), sampler="nnunet")
design = plan.configuration(configuration).design("M")
augment = build_augmentation(design, config, plan.labels, plan.left_right_axis)
begin, shapes = None, None
for step, made in enumerate(batches(cases, design, config, plan.labels)):
    if step == warm:
        begin, before = time.perf_counter(), used()
    made = augment(to_device(made, device), generator_of(0, step, device))
    if step == warm + count - 1:
        break
if device.type == "cuda":
    torch.cuda.synchronize()
seconds, share = (time.perf_counter() - begin) / count, None
if device.type == "cuda":  # each batch read and written once, against a copy's rate
    share = 2 * (made.image.nbytes + made.target.nbytes) / seconds / copy_rate(device)
print(json.dumps([seconds, (used() - before) / count, share]))
"""
)

NNUNET = (
    USED
    + """
import json, sys, time
import torch
from batchgenerators.utilities.file_and_folder_operations import load_json
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
if __name__ == "__main__":
    configuration, batch, patch, count, warm = (json.loads(a) for a in sys.argv[1:])
    name = os.listdir(os.environ["nnUNet_raw"])[0]
    folder = f"{os.environ['nnUNet_preprocessed']}/{name}"
    plans = load_json(f"{folder}/nnUNetPlans.json")
    plans["configurations"][configuration] |= {"batch_size": batch, "patch_size": patch}
    plans["continue_training"] = False
    dataset = load_json(f"{os.environ['nnUNet_raw']}/{name}/dataset.json")
    trainer = nnUNetTrainer(plans, configuration, "all", dataset, device=torch.device("cpu"))
    trainer.initialize()
    loader, validation = trainer.get_dataloaders()
    for step in range(warm):
        made = next(loader)
    begin, before = time.perf_counter(), used()
    for step in range(count):
        made = next(loader)
    seconds = (time.perf_counter() - begin) / count
    print(json.dumps([seconds, (used() - before) / count]), flush=True)
    os._exit(0)  # its workers do not end by themselves
"""
)

ROWS = {  # name: data, configuration, batch, patch
    "small": (write_hippocampus, "3d_fullres", 7, (40, 56, 40)),
    "large": (write_phantom_cts, "3d_fullres", 2, (40, 224, 224)),
}


def main() -> None:
    """Print seconds a batch of both."""
    parser = common_options(__doc__)
    parser.add_argument("--limit-mb", type=int, help="memory of the cgroup both run in")
    parser.add_argument("--cases", type=int)
    parser.add_argument("--copies", type=int, default=1, help="of every prepared case")
    parser.add_argument("--folder", type=Path, help="where the prepared data are, or are to stay")
    parser.add_argument("--count", type=int, default=COUNT)
    options = parser.parse_args()
    peer = has_peer(options)
    print_head(options.device)
    for name, (write, configuration, batch, patch) in ROWS.items():
        if not wanted(options, name):
            continue
        with contextlib.ExitStack() as stack:
            place = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
            folder = place / name
            if not folder.exists():
                write(folder / "raw/Dataset005_DATA", *([options.cases] if options.cases else []))
                prepare(folder, configuration, options, peer)
            task = (configuration, batch, patch, options.count, WARM)
            ours, theirs = [], []
            for _ in range(options.rounds):
                cost, share = time_ours(folder, task, options)
                ours.append(cost)
                if peer:
                    theirs.append(time_theirs(folder, task, options))
            shape = "x".join(map(str, (batch, 1, *patch)))
            limit = f", {_sizes(folder)} in {options.limit_mb} MB" if options.limit_mb else ""
            rate = f", {100 * share:.0f} % of the copy rate" if share else ""
            print_row(Comparison(f"a batch of {shape}{limit}{rate} (seconds a batch)", ours, theirs,
                                 "1/1 wall" if options.limit_mb else "1/2 wall"))  # fmt: skip


def prepare(folder: Path, configuration: str, options: argparse.Namespace, peer: bool) -> None:
    """Prepare the data set for both, and copy what is prepared."""
    measure(autoseg("plan", "-w", folder, "--only", configuration))
    prepared = folder / "prepared/Dataset005_DATA" / configuration
    manifest = json.loads((prepared / "manifest.json").read_text())
    for case, size in list(manifest["cases"].items()):
        for copy in range(1, options.copies):
            manifest["cases"][f"{case}_{copy}"] = size
            for ending in ("npz", "json"):
                shutil.copy(prepared / f"{case}.{ending}", prepared / f"{case}_{copy}.{ending}")
    (prepared / "manifest.json").write_text(json.dumps(manifest))
    if peer:
        words = [options.nnunet / "bin/nnUNetv2_plan_and_preprocess", "-d", "5"]
        measure([*words, "-c", configuration, "--no_pbar"], nnunet_places(folder))
        for path in (folder / "preprocessed/Dataset005_DATA").glob("nnUNetPlans_*/*"):
            case = path.name.removesuffix(path.suffix).removesuffix("_seg")
            for copy in range(1, options.copies):
                shutil.copy(path, path.with_name(path.name.replace(case, f"{case}_{copy}", 1)))


def _sizes(folder: Path) -> str:
    """Return how much both have prepared, "5.2 and 4.1 GB"."""
    places = (folder / "prepared", folder / "preprocessed")
    sizes = [sum(p.stat().st_size for p in place.rglob("*") if p.is_file()) for place in places]
    return " and ".join(f"{size / 1e9:.1f}" for size in sizes if size) + " GB"


def time_ours(folder: Path, task: tuple, options: argparse.Namespace) -> tuple[Cost, float | None]:
    """Return seconds a batch, wall and processor, the memory of all processes, a GPU's share."""
    prepared = next((folder / "prepared").iterdir())
    words = script(sys.executable, AUTOSEG, str(prepared), *task, options.device)
    return _per_batch(words, {}, options)


def time_theirs(folder: Path, task: tuple, options: argparse.Namespace) -> Cost:
    """The same of nnU-Net's loader."""
    path = folder / "load_nnunet.py"
    path.write_text(NNUNET)
    words = script(options.nnunet / "bin/python", "", *task)
    words[1:3] = [str(path)]
    return _per_batch(words, nnunet_places(folder), options)[0]


def _per_batch(
    words: list[str], variables: dict[str, str], options: argparse.Namespace
) -> tuple[Cost, float | None]:
    if options.limit_mb:
        words = _limited(words, options.limit_mb)
    cost, text = measure(words, variables)
    wall, processor, *share = last_json(text)
    return Cost(wall, processor, cost.peak_gb), share[0] if share else None


def _limited(words: list[str], megabytes: int) -> list[str]:
    """Return the words that run `words` in a fresh memory cgroup with an empty page cache."""
    first = (CGROUPS / "memory").is_dir()  # version 1, else 2
    group = CGROUPS / ("memory/autoseg_benchmark" if first else "autoseg_benchmark")
    group.mkdir(exist_ok=True)
    limit = group / ("memory.limit_in_bytes" if first else "memory.max")
    os.sync()
    # What an earlier run left, processes and cache, counts against the limit.
    for process in (group / "cgroup.procs").read_text().split():
        os.kill(int(process), signal.SIGKILL)
    Path("/proc/sys/vm/drop_caches").write_text("3")
    limit.write_text(str(megabytes << 20))
    into = f'echo $$ > {group}/cgroup.procs && exec "$@"'
    return ["bash", "-c", into, "bash", *words]


if __name__ == "__main__":
    main()
