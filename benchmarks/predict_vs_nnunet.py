"""Time the whole prediction command of autoseg and of nnU-Net on the same volumes in one run.

    python benchmarks/predict_vs_nnunet.py --data DATA/hippocampus --nnunet /tmp/nnunet_venv

Both get random weights: the time does not depend on them. nnU-Net plans the data set itself (its
default configuration, 32 to 256 features) and writes its checkpoint through its own trainer;
autoseg predicts with size S (16 to 128 features), the same patch, mirrored, in float32. Wall and
processor seconds are those of the whole command, imports included; on a busy machine only the
processor seconds compare.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from autoseg.bundle_writer import save_weights
from autoseg.config import TrainConfig
from autoseg.labels import Labels
from autoseg.networks import build_network
from autoseg.plan import Configuration, Design, IntensityStats, NetworkSpec, Plan

ROOT = Path(__file__).resolve().parents[1]
PATCH = (40, 56, 40)
ONE, TWO, THREE = (1, 1, 1), (2, 2, 2), (3, 3, 3)

NNUNET_MODEL = """
import json, os, sys
from batchgenerators.utilities.file_and_folder_operations import load_json
from nnunetv2.experiment_planning import plan_and_preprocess_api as planning
from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
import torch
if __name__ == "__main__":
    planning.extract_fingerprints([4], num_processes=2)
    planning.plan_experiments([4])
    folder = f"{nnUNet_preprocessed}/Dataset004_Hippocampus"
    plans = load_json(f"{folder}/nnUNetPlans.json")
    dataset = load_json(f"{sys.argv[1]}/dataset.json")
    plans["continue_training"] = False
    trainer = nnUNetTrainer(plans, "3d_fullres", 0, dataset, device=torch.device("cpu"))
    os.makedirs(trainer.preprocessed_dataset_folder)
    open(f"{trainer.preprocessed_dataset_folder}/any.b2nd", "w").close()  # it asks for the type
    trainer.initialize()
    # Begun trainings do this; without it the checkpoint would say: do not mirror.
    trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    print(trainer.inference_allowed_mirroring_axes)
    trainer.save_checkpoint(f"{trainer.output_folder}/checkpoint_final.pth")
    for name, content in (("plans", plans), ("dataset", dataset)):
        with open(f"{trainer.output_folder_base}/{name}.json", "w") as stream:
            json.dump(content, stream)
    print(plans["configurations"]["3d_fullres"]["patch_size"])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/hippocampus")
    parser.add_argument("--nnunet", type=Path, default=Path("/tmp/nnunet_venv"))
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--speed", default="balanced")
    parser.add_argument("--without-nnunet", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = copy_images(options.data / "imagesTr", folder / "images", options.cases)
        print(f"{options.cases} volumes, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        ours = time_autoseg(folder, images, options.speed)
        if not options.without_nnunet:
            theirs = time_nnunet(folder, images, options)
            print(f"ratio: wall {theirs[0] / ours[0]:.1f}, processor {theirs[1] / ours[1]:.1f}")


def copy_images(source: Path, target: Path, count: int) -> Path:
    """Copy the last `count` images under nnU-Net's names, which autoseg reads too."""
    target.mkdir()
    for path in sorted(source.glob("*.nii.gz"))[-count:]:
        shutil.copy(path, target / path.name.replace(".nii.gz", "_0000.nii.gz"))
    return target


def time_autoseg(folder: Path, images: Path, speed: str) -> tuple[float, float]:
    """Return (wall, processor) seconds of `autoseg predict` with one fold of random weights."""
    bundle = folder / "bundle"
    spec = NetworkSpec(
        "plain_unet", (16, 32, 64, 128), (ONE, TWO, TWO, TWO), (THREE,) * 4, (2,) * 4, (2,) * 3
    )
    configuration = Configuration(
        "3d_fullres", (1.0, 1.0, 1.0), (36, 50, 35), ("zscore",), (False,), False,
        {"S": Design(PATCH, 4, spec)},
    )  # fmt: skip
    plan = Plan(
        "HIPPO", ("MR",), Labels({"anterior": (1,), "posterior": (2,)}), (0, 1, 2),
        (IntensityStats(0, 1, 0, 0, 0, 0),), {"3d_fullres": configuration}, (),
    )  # fmt: skip
    torch.manual_seed(0)
    state = dict(build_network(spec, 1, 3).state_dict())
    save_weights(bundle, "0", state, plan, "3d_fullres", "S", TrainConfig(), {})
    command = [sys.executable, "-m", "autoseg.cli", "predict", "-i", str(images)]
    command += ["-o", str(folder / "ours"), "-m", str(bundle), "--device", "cpu", "--speed", speed]
    return timed("autoseg", command, {})


def time_nnunet(folder: Path, images: Path, options: argparse.Namespace) -> tuple[float, float]:
    """Return (wall, processor) seconds of `nnUNetv2_predict` with one fold of random weights."""
    raw = folder / "raw" / "Dataset004_Hippocampus"
    (raw / "labelsTr").mkdir(parents=True)
    (raw / "imagesTr").mkdir()
    paths = sorted((options.data / "imagesTr").glob("*.nii.gz"))
    for path in paths:
        name = path.name.replace(".nii.gz", "_0000.nii.gz")
        (raw / "imagesTr" / name).symlink_to(path.resolve())
        (raw / "labelsTr" / path.name).symlink_to((options.data / "labelsTr" / path.name).resolve())
    dataset = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "anterior": 1, "posterior": 2},
        "numTraining": len(paths),
        "file_ending": ".nii.gz",
    }
    (raw / "dataset.json").write_text(json.dumps(dataset))
    places = {"nnUNet_raw": "raw", "nnUNet_preprocessed": "prepared", "nnUNet_results": "results"}
    variables = {name: str(folder / place) for name, place in places.items()}
    script = folder / "make_model.py"
    script.write_text(NNUNET_MODEL)
    python = str(options.nnunet / "bin/python")
    environment = os.environ | variables
    made = subprocess.run(
        [python, str(script), str(raw)], env=environment, capture_output=True, text=True
    )
    if made.returncode:
        sys.exit(f"nnU-Net could not make its model:\n{made.stderr[-3000:]}")
    axes, patch = made.stdout.strip().splitlines()[-2:]
    print(f"nnU-Net plans a patch of {patch}, mirrors along {axes}")
    command = [str(options.nnunet / "bin/nnUNetv2_predict"), "-i", str(images)]
    command += ["-o", str(folder / "theirs"), "-d", "4", "-c", "3d_fullres", "-f", "0"]
    return timed("nnU-Net", [*command, "-device", "cpu"], variables)


def timed(name: str, command: list[str], variables: dict[str, str]) -> tuple[float, float]:
    """Run `command`, print and return its (wall, processor) seconds."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        command, env=os.environ | variables, cwd=ROOT, capture_output=True, text=True
    )
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-3000:]}")
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{name}: {wall:.1f} s, {processor:.1f} processor seconds")
    if name == "autoseg":
        print("".join(f"  {line}\n" for line in done.stderr.splitlines() if "case" in line), end="")
    return wall, processor


if __name__ == "__main__":
    main()
