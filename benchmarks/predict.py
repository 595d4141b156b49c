"""The whole prediction command, cold start included, beside nnU-Net's on the same volumes.

    python benchmarks/predict.py --nnunet VENV [--rounds 3]

Both get random weights of the same network (nnU-Net's own plan for the data: size M), the same
patch and all mirror images; time does not depend on weights. nnU-Net plans the data set itself and
writes its checkpoint through its own trainer. Rows: 60 hippocampus volumes in float32 and bfloat16
with `--speed accurate`, and as autoseg predicts by itself (`balanced`).
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
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
)

NNUNET_MODEL = """
import json, os, sys
from batchgenerators.utilities.file_and_folder_operations import load_json
from nnunetv2.experiment_planning import plan_and_preprocess_api as planning
from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
import torch
if __name__ == "__main__":
    planning.extract_fingerprints([5], num_processes=2)
    planning.plan_experiments([5])
    folder = f"{nnUNet_preprocessed}/Dataset005_HIPPO"
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
from autoseg.plan import load_plan
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


def main() -> None:
    """Print one row per way of predicting."""
    parser = common_options(__doc__)
    parser.add_argument("--cases", type=int, default=60)
    options = parser.parse_args()
    peer = has_peer(options)
    print_head(options.device)
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        raw = write_hippocampus(folder / "raw" / "Dataset005_HIPPO")
        images = copy_images(folder / "images", options.cases)
        make_models(folder, raw, options, peer)
        for name, (words, bar) in ROWS.items():
            if wanted(options, name):
                alternate(
                    f"predict {options.cases} volumes, size M, {name}", options.rounds,
                    lambda words=words: run_autoseg(folder, images, words, options),
                    (lambda: run_nnunet(folder, images, options)) if peer else None,
                    bar,
                )  # fmt: skip


def copy_images(target: Path, count: int) -> Path:
    """Copy the last `count` images under nnU-Net's names, which autoseg reads too."""
    target.mkdir()
    for path in sorted((DATA / "hippocampus" / "imagesTr").glob("*.nii.gz"))[-count:]:
        shutil.copy(path, target / path.name.replace(".nii.gz", "_0000.nii.gz"))
    return target


def make_models(folder: Path, raw: Path, options: argparse.Namespace, peer: bool) -> None:
    """Write a bundle and an nnU-Net results folder with random weights."""
    import sys

    measure(autoseg("plan", "-w", folder, "--no-prepare"))
    prepared = next((folder / "prepared").iterdir())
    measure([sys.executable, "-c", AUTOSEG_MODEL, prepared, folder / "bundle"])
    if peer:
        path = folder / "make_model.py"
        path.write_text(NNUNET_MODEL)
        measure([options.nnunet / "bin/python", path, raw], nnunet_places(folder))


def run_autoseg(folder: Path, images: Path, words: list[str], options: argparse.Namespace) -> Cost:
    """Predict into a fresh folder."""
    shutil.rmtree(folder / "ours", ignore_errors=True)
    command = autoseg("predict", "-i", images, "-o", folder / "ours", "-m", folder / "bundle")
    return measure([*command, "--device", options.device, *words])[0]


def run_nnunet(folder: Path, images: Path, options: argparse.Namespace) -> Cost:
    """Predict into a fresh folder with its default numbers of processes."""
    shutil.rmtree(folder / "theirs", ignore_errors=True)
    words = [options.nnunet / "bin/nnUNetv2_predict", "-i", images, "-o", folder / "theirs"]
    words += ["-d", "5", "-c", "3d_fullres", "-f", "0", "-device", options.device]
    return measure(words, os.environ | nnunet_places(folder))[0]


if __name__ == "__main__":
    main()
