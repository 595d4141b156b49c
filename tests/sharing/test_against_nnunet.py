"""One patch through nnU-Net itself and through the converted network, and the way back.

Needs a virtual environment with nnU-Net 2.8.1; `benchmarks/models_vs_nnunet.py` compares labels.
"""

import dataclasses
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from autoseg.bundle_reader import load_bundle
from autoseg.config import PredictConfig
from autoseg.inference.predictor import load_networks, load_predictor
from autoseg.workflows.export import export
from autoseg.workflows.import_model import import_model
from autoseg.workspace import Workspace
from tests.inference.conftest import make_bundle
from tests.sharing.nnunet_folders import KINDS, make_folder

PYTHON = Path("/opt/nnunet/bin/python")
THEIRS = """
import sys, numpy, torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
for folder in sys.argv[1:]:
    predictor = nnUNetPredictor(device=torch.device("cpu"))
    predictor.initialize_from_trained_model_folder(folder, (0,))
    x = torch.from_numpy(numpy.load(f"{folder}/x.npy"))
    with torch.inference_mode():
        numpy.save(f"{folder}/y.npy", predictor.network.eval()(x).numpy())
"""


def ask_nnunet(*folders: Path, script: str = THEIRS) -> list[np.ndarray]:
    words = [str(PYTHON), "-c", script, *map(str, folders)]
    names = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
    variables = {name: str(folders[0].parent) for name in names}
    done = subprocess.run(words, env=os.environ | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return [np.load(folder / "y.npy") for folder in folders]


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON.exists(), reason="no virtual environment with nnU-Net")
def test_one_patch_through_both_programs_in_both_directions(tmp_path):
    folders, bundles = [], []
    for kind in KINDS:
        for axes in (2, 3):
            folder = make_folder(tmp_path / f"{kind}{axes}", kind, axes)
            bundle = import_model(Workspace(tmp_path), folder, output=tmp_path / f"b{kind}{axes}")
            again = export(bundle, tmp_path / f"{kind}{axes}_again", to="nnunet")
            torch.manual_seed(axes)
            for place in (folder, again):
                np.save(place / "x.npy", torch.randn(1, 1, *(8, 16, 16)[3 - axes :]).numpy())
            folders += [folder, again]
            bundles += [bundle, bundle]
    for folder, bundle, theirs in zip(folders, bundles, ask_nnunet(*folders), strict=True):
        x = torch.from_numpy(np.load(folder / "x.npy"))
        network = load_networks(load_bundle(bundle))[0].eval()
        with torch.no_grad():
            ours = network(x if x.ndim == 5 else x.unsqueeze(2))[0].reshape(theirs.shape)
        assert np.abs(ours.numpy() - theirs).max() < 1e-4, folder.name


WINDOW = """
import sys, numpy, torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
folder = sys.argv[1]
predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
predictor.initialize_from_trained_model_folder(folder, (0,))
predictor.network.load_state_dict(predictor.list_of_parameters[0])
x = torch.from_numpy(numpy.load(f"{folder}/x.npy"))
logits = predictor.predict_sliding_window_return_logits(x)
numpy.save(f"{folder}/y.npy", logits.float().numpy())
"""


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON.exists(), reason="no virtual environment with nnU-Net")
def test_an_exported_model_sees_the_same_voxels_in_both_programs(tmp_path):
    bundle = make_bundle(tmp_path / "bundle")  # patch 16 x 24 x 16
    out = export(bundle, tmp_path / "theirs", to="nnunet")
    array = np.random.default_rng(0).normal(size=(1, 21, 21, 11)).astype(np.float32)
    np.save(out / "x.npy", array[:, :, ::-1, ::-1].copy())  # towards front and right
    (theirs,) = ask_nnunet(out, script=WINDOW)
    theirs = theirs[:, :, ::-1, ::-1]
    model = load_bundle(bundle)
    predict = load_predictor(model, PredictConfig(speed="accurate"), torch.device("cpu"))
    ours = predict(array).numpy()
    # Half precision and the middle of their Gaussian remain.
    assert np.abs(ours - theirs).mean() < 0.02 * np.abs(ours).mean()
    stored = dataclasses.replace(predict, plan=dataclasses.replace(model.plan, file_ending=".png"))
    other = stored(array).numpy()  # counted from the other end
    assert np.abs(other - theirs).mean() > 10 * np.abs(ours - theirs).mean()
