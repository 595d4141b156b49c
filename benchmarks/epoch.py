"""An epoch of 250 steps with its loader and augmentation, beside nnU-Net's own loop.

    python benchmarks/epoch.py --nnunet VENV [--device cuda]

The hippocampus data set, or phantoms of its size where that is not there, as each program plans it
(size M). nnU-Net trains with as many loading processes as it takes by itself here, compiled where
it compiles by itself; autoseg runs `autoseg_train 3d_fullres full`. Steps alone: nnU-Net's 50
validation batches are left out, and fold `full` has none. The last epoch counts; compiling and
recording are over then.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from pathlib import Path

from side_by_side import (
    Cost,
    Row,
    autoseg,
    common_options,
    has_peer,
    last_json,
    measure,
    nnunet_places,
    print_head,
    print_row,
    script,
    write_hippocampus,
)

PLAN_NNUNET = """
import json, sys
from nnunetv2.experiment_planning.plan_and_preprocess_entrypoints import plan_and_preprocess_entry
sys.argv = ["nnunet", "-d", "5", "-c", "3d_fullres", "--no_pbar"]
plan_and_preprocess_entry()
"""

NNUNET = """
import json, os, sys, time
import torch
from batchgenerators.utilities.file_and_folder_operations import load_json
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
torch.backends.cudnn.benchmark = True  # as its run_training does
if __name__ == "__main__":
    epochs, steps, device = (json.loads(a) for a in sys.argv[1:])
    name = os.listdir(os.environ["nnUNet_raw"])[0]
    folder = f"{os.environ['nnUNet_preprocessed']}/{name}"
    plans = load_json(f"{folder}/nnUNetPlans.json")
    plans["continue_training"] = False
    dataset = load_json(f"{os.environ['nnUNet_raw']}/{name}/dataset.json")
    trainer = nnUNetTrainer(plans, "3d_fullres", "all", dataset, device=torch.device(device))
    trainer.plot_network_architecture = lambda: None
    trainer.on_train_start()
    for epoch in range(epochs):
        trainer.on_epoch_start()
        trainer.on_train_epoch_start()
        begin = time.perf_counter()
        outputs = [trainer.train_step(next(trainer.dataloader_train)) for _ in range(steps)]
        seconds = time.perf_counter() - begin
        trainer.on_train_epoch_end(outputs)
        trainer.current_epoch += 1
    design = plans["configurations"]["3d_fullres"]
    print(json.dumps([seconds / steps, design["batch_size"], design["patch_size"]]), flush=True)
    os._exit(0)  # its workers do not end by themselves
"""


def main() -> None:
    """Print seconds a step of both, and how long autoseg waited for data."""
    parser = common_options(__doc__)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    peer = has_peer(options)
    print_head(options.device)
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        raw = write_hippocampus(folder / "raw" / "Dataset005_DATA")
        about = json.loads((raw / "dataset.json").read_text())
        about["overwrite_image_reader_writer"] = "NibabelIO"  # SimpleITK may not be there
        (raw / "dataset.json").write_text(json.dumps(about))
        cost, waiting = time_autoseg(folder, options)
        title, theirs = "an epoch's step", []
        if peer:
            theirs, title = time_nnunet(folder, options)
        title += f" (wall: seconds a step; waiting for data: {100 * waiting:.1f} %)"
        print_row(Row(title, [cost], theirs, "1/4, 0.008 s" if options.device != "cpu" else ""))


def time_autoseg(folder: Path, options: argparse.Namespace) -> tuple[Cost, float]:
    """Return seconds a step of the last epoch as wall, and the share of them spent waiting."""
    measure(autoseg("plan", "-w", folder, "--only", "3d_fullres"))
    settings = f"epochs={options.epochs}", f"steps_per_epoch={options.steps}"
    words = autoseg("train", "3d_fullres", "full", "-w", folder, "--device", options.device)
    cost, _ = measure([*words, "--size", "M", "--set", *settings])
    path = next(folder.glob("models/*/3d_fullres-M/run/fold_full/history.csv"))
    last = list(csv.DictReader(path.open()))[-1]
    seconds = float(last["seconds"]) / options.steps
    return Cost(seconds, cost.processor_s, cost.peak_gb), float(last["waiting"])


def time_nnunet(folder: Path, options: argparse.Namespace) -> tuple[list[Cost], str]:
    """Return the same of nnU-Net, and the size of its batches."""
    python, places = options.nnunet / "bin/python", nnunet_places(folder)
    measure(script(python, PLAN_NNUNET), places)
    path = folder / "epoch_nnunet.py"
    path.write_text(NNUNET)
    words = script(python, "", options.epochs, options.steps, options.device)
    words[1:3] = [str(path)]
    cost, text = measure(words, places)
    seconds, batch, patch = last_json(text)
    title = f"an epoch's step, {'x'.join(map(str, (batch, *patch)))}"
    return [Cost(seconds, cost.processor_s, cost.peak_gb)], title


if __name__ == "__main__":
    main()
