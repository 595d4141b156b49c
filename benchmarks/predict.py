"""The whole prediction command, cold start included, beside nnU-Net's on the same volumes.

    python benchmarks/predict.py --nnunet VENV [--rounds 3] [--device cuda] [--only CT]

Both get random weights of the same network (nnU-Net's own plan for the data: size M) and the same
patch; time does not depend on weights. nnU-Net plans each data set itself and writes its
checkpoint through its own trainer. Rows:

    60 volumes                 of the hippocampus, at the speed "accurate" (all mirror images, as
                               nnU-Net) in bfloat16 and in float32, and as autoseg does by itself
    CT 512x512x100 end to end  one phantom CT, both as they predict by themselves (nnU-Net mirrors
                               along all axes, on a GPU in float16), and autoseg in bfloat16; on a
                               CPU only when --only names it, as the network takes hours there

Under each row: where autoseg's time went in the last round, as it tells itself.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from side_by_side import (
    DATA,
    Cost,
    alternate,
    autoseg,
    common_options,
    has_peer,
    measure,
    nnunet_places,
    print_head,
    wanted,
    write_hippocampus,
    write_phantom_cts,
)

NNUNET_MODEL = """
import json, os, sys
from batchgenerators.utilities.file_and_folder_operations import load_json
from nnunetv2.experiment_planning import plan_and_preprocess_api as planning
from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
import torch
if __name__ == "__main__":
    name = os.path.basename(sys.argv[1])
    planning.extract_fingerprints([int(name[7:10])], num_processes=2)
    planning.plan_experiments([int(name[7:10])])
    folder = f"{nnUNet_preprocessed}/{name}"
    plans = load_json(f"{folder}/nnUNetPlans.json")
    dataset = load_json(f"{sys.argv[1]}/dataset.json")
    plans["continue_training"] = False
    trainer = nnUNetTrainer(plans, "3d_fullres", 0, dataset, device=torch.device("cpu"))
    os.makedirs(trainer.preprocessed_dataset_folder)
    open(f"{trainer.preprocessed_dataset_folder}/any.b2nd", "w").close()  # it asks for the type
    trainer.initialize()
    # Begun trainings do this; without it the checkpoint would say: do not mirror.
    trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    trainer.save_checkpoint(f"{trainer.output_folder}/checkpoint_final.pth")
    for name, content in (("plans", plans), ("dataset", dataset)):
        with open(f"{trainer.output_folder_base}/{name}.json", "w") as stream:
            json.dump(content, stream)
"""
AUTOSEG_MODEL = """
import sys
from pathlib import Path
import torch
from autoseg.bundle_writer import save_weights
from autoseg.config import TrainConfig
from autoseg.networks import build_network
from autoseg.plan_file import load_plan
prepared, bundle = map(Path, sys.argv[1:])
plan = load_plan(prepared / "plan.json")
torch.manual_seed(0)
network = build_network(plan.configuration("3d_fullres").design("M").network, 1, 3)
state = dict(network.state_dict())
save_weights(bundle, "0", state, plan, "3d_fullres", "M", TrainConfig(), {})
"""
ROWS = {  # name: words of autoseg_predict, the bar
    "bfloat16": (["--speed", "accurate", "--set", "precision=bfloat16"], "1/2.5 wall"),
    "float32": (["--speed", "accurate", "--set", "precision=float32"], "1/1.2 wall"),
    "by itself": ([], ""),
}
CT_ROWS = {
    "by itself": ([], "1/3 wall"),
    "bfloat16": (["--set", "precision=bfloat16"], "1/3 wall"),
}


@dataclass(frozen=True)
class Both:
    """The same images and the same random network for both programs."""

    folder: Path  # a workspace, and nnU-Net's three folders
    raw: Path  # Dataset<number>_<name>
    images: Path
    options: argparse.Namespace
    peer: bool

    def compare(self, title: str, words: list[str], bar: str) -> None:
        """Print a row."""
        told: list[str] = []
        alternate(
            title, self.options.rounds,
            lambda: run_autoseg(self, words, told),
            (lambda: run_nnunet(self)) if self.peer else None,
            bar,
        )  # fmt: skip
        print(f"| | {told[-1]} | | | |", flush=True)


def main() -> None:
    """Print one row per way of predicting."""
    parser = common_options(__doc__)
    parser.add_argument("--cases", type=int, default=60)
    options = parser.parse_args()
    peer = has_peer(options)
    print_head(options.device)
    volumes = {f"{options.cases} volumes, size M, {name}": row for name, row in ROWS.items()}
    cts = {f"CT 512x512x100 end to end, size M, {name}": row for name, row in CT_ROWS.items()}
    if options.device == "cpu" and not options.only:
        cts = {}
    for rows, make in ((volumes, write_volumes), (cts, write_ct)):
        asked = {name: row for name, row in rows.items() if wanted(options, name)}
        if asked:
            with tempfile.TemporaryDirectory() as where:
                both = make(Path(where), options, peer)
                make_models(both)
                for name, (words, bar) in asked.items():
                    both.compare(f"predict {name}", words, bar)


def write_volumes(folder: Path, options: argparse.Namespace, peer: bool) -> Both:
    """Write the last hippocampus volumes under nnU-Net's names, which autoseg reads too."""
    raw = write_hippocampus(folder / "raw" / "Dataset005_HIPPO")
    images = folder / "images"
    images.mkdir()
    for path in sorted((DATA / "hippocampus" / "imagesTr").glob("*.nii.gz"))[-options.cases :]:
        shutil.copy(path, images / path.name.replace(".nii.gz", "_0000.nii.gz"))
    return Both(folder, raw, images, options, peer)


def write_ct(folder: Path, options: argparse.Namespace, peer: bool) -> Both:
    """Write phantom CTs to plan with, and one of 100 slices to predict."""
    raw = write_phantom_cts(folder / "raw" / "Dataset006_CT", cases=4)
    images = write_phantom_cts(folder / "scan", cases=1, slices=100) / "imagesTr"
    return Both(folder, raw, images, options, peer)


def make_models(both: Both) -> None:
    """Write a bundle and an nnU-Net results folder with random weights."""
    folder = both.folder
    measure(autoseg("plan", "-w", folder, "--no-prepare"))
    prepared = next((folder / "prepared").iterdir())
    measure([sys.executable, "-c", AUTOSEG_MODEL, prepared, folder / "bundle"])
    if both.peer:
        path = folder / "make_model.py"
        path.write_text(NNUNET_MODEL)
        measure([both.options.nnunet / "bin/python", path, both.raw], nnunet_places(folder))


def run_autoseg(both: Both, words: list[str], told: list[str]) -> Cost:
    """Predict into a fresh folder; add what autoseg says of its seconds to `told`."""
    folder, device = both.folder, both.options.device
    shutil.rmtree(folder / "ours", ignore_errors=True)
    command = autoseg("predict", "-i", both.images, "-o", folder / "ours", "-m", folder / "bundle")
    command += ["--device", device, *words]
    cost, text = measure(["sh", "-c", 'exec "$@" 2>&1', "sh", *command])
    told += [line for line in text.splitlines() if "reading and preparing" in line]
    return cost


def run_nnunet(both: Both) -> Cost:
    """Predict into a fresh folder with its default numbers of processes."""
    folder, options = both.folder, both.options
    shutil.rmtree(folder / "theirs", ignore_errors=True)
    words = [options.nnunet / "bin/nnUNetv2_predict", "-i", both.images, "-o", folder / "theirs"]
    words += ["-d", both.raw.name[7:10], "-c", "3d_fullres", "-f", "0", "-device", options.device]
    return measure(words, os.environ | nnunet_places(folder))[0]


if __name__ == "__main__":
    main()
