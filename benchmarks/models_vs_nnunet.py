"""Labels of nnU-Net and of its converted model, and of a bundle and its export, case by case.

    python benchmarks/models_vs_nnunet.py --model RESULTS_FOLDER --images FOLDER
    python benchmarks/models_vs_nnunet.py --bundle BUNDLE --images FOLDER

nnU-Net 2.8.1 predicts in its own virtual environment (`--nnunet`), on the processor, one case after
the other, with all mirror images; autoseg with `--speed accurate`. Printed: the largest difference
of one patch's scores, and Dice between both label maps per target, worst case and all voxels.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from autoseg.bundle_reader import load_bundle
from autoseg.inference.predictor import load_networks
from autoseg.io import read_labels
from autoseg.workflows.export import export
from autoseg.workflows.import_model import import_model
from autoseg.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]
SMALLEST_DICE = 0.9995
LARGEST_DIFFERENCE = 1e-4

NNUNET = """
import glob, os, sys
import numpy as np
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
model, output, images = sys.argv[1:4]
predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
predictor.initialize_from_trained_model_folder(model, None)
torch.manual_seed(0)
channels = len(predictor.dataset_json["channel_names"])
x = torch.randn(1, channels, *predictor.configuration_manager.patch_size)
predictor.network.load_state_dict(predictor.list_of_parameters[0])
with torch.inference_mode():
    np.savez(f"{output}/patch.npz", x=x.numpy(), y=predictor.network.eval()(x).numpy())
paths = sorted(glob.glob(f"{images}/*_0000" + predictor.dataset_json["file_ending"]))
names = [[p.replace("_0000.", f"_{c:04d}.") for c in range(channels)] for p in paths]
groups = [[p for p in group if os.path.exists(p)] for group in names]
names = [os.path.join(output, os.path.basename(p).split("_0000.")[0]) for p in paths]
predictor.predict_from_files_sequential(groups, names)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="a results folder of nnU-Net")
    parser.add_argument("--bundle", type=Path, help="a bundle, to be exported")
    parser.add_argument("--images", type=Path, required=True, help="CASE_0000.nii.gz")
    parser.add_argument("--nnunet", type=Path, default=Path("/opt/nnunet"), help="its environment")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.model is not None:
            theirs = predict_theirs(folder, options.model, options)
            bundle = import_model(Workspace(folder), options.model, output=folder / "converted")
            fine = judge(bundle, theirs, predict_ours(folder / "ours", bundle, options))
        else:
            exported = export(options.bundle, folder / "exported", to="nnunet")
            theirs = predict_theirs(folder, exported, options)
            bundle = import_model(Workspace(folder), exported, output=folder / "again")
            print("the bundle itself (labels):")
            judge(bundle, theirs, predict_ours(folder / "ours", options.bundle, options))
            print("its export, imported again:")
            fine = judge(bundle, theirs, predict_ours(folder / "again_ours", bundle, options))
    sys.exit(0 if fine else 1)


def predict_theirs(folder: Path, model: Path, options: argparse.Namespace) -> Path:
    """Let nnU-Net predict; return the folder of its label maps and of one patch's scores."""
    output = folder / "theirs"
    output.mkdir()
    names = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
    variables = {name: str(folder) for name in names}
    command = [str(options.nnunet / "bin/python"), "-c", NNUNET, str(model), str(output)]
    timed("nnU-Net", [*command, str(options.images)], variables)
    return output


def predict_ours(output: Path, bundle: Path, options: argparse.Namespace) -> Path:
    """Predict with autoseg; return the folder of its label maps."""
    command = [sys.executable, "-m", "autoseg.cli", "predict", "-m", str(bundle), "-o", str(output)]
    timed(
        "autoseg",
        [*command, "-i", str(options.images), *["--speed", "accurate", "--device", "cpu"]],
    )
    return output


def timed(name: str, command: list[str], variables: dict[str, str] | None = None) -> None:
    begin = time.perf_counter()
    done = subprocess.run(
        command, env=os.environ | (variables or {}), cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-3000:]}")
    print(f"{name}: {time.perf_counter() - begin:.1f} s wall, imports included")


def judge(bundle: Path, theirs: Path, ours: Path) -> bool:
    """Print how far scores of a patch and labels of cases differ; return whether that is fine."""
    model = load_bundle(bundle)
    patch = np.load(theirs / "patch.npz")
    x = torch.from_numpy(patch["x"])
    with torch.inference_mode():
        scores = load_networks(model)[0].eval()(x if x.ndim == 5 else x.unsqueeze(2))[0]
    difference = float(np.abs(scores.numpy().reshape(patch["y"].shape) - patch["y"]).max())
    print(f"one patch: largest difference {difference:.1e} of {np.abs(patch['y']).max():.1f}")
    fine = difference < LARGEST_DIFFERENCE
    paths = sorted(ours.glob(f"*{model.plan.file_ending}"))
    pairs = [(read_labels(p).array, read_labels(theirs / p.name).array) for p in paths]
    for target in model.plan.labels.names:
        masks = [[model.plan.labels.mask(a, target) for a in pair] for pair in pairs]
        counts = [(int((m & n).sum()), int(m.sum() + n.sum())) for m, n in masks]
        both, size = (sum(column) for column in zip(*counts, strict=True))
        changed = sum(int((m != n).sum()) for m, n in masks)
        worst = min((2 * b / s for b, s in counts if s), default=1.0)
        whole = 2 * both / size if size else 1.0
        print(
            f"{target}: Dice {whole:.5f} over {len(pairs)} cases, worst case {worst:.5f}, "
            f"{changed} of {size // 2} voxels differ"
        )
        if not size:
            print(f"{target}: found nowhere, so nothing was compared")
        fine &= bool(size) and whole >= SMALLEST_DICE
    return fine


if __name__ == "__main__":
    main()
