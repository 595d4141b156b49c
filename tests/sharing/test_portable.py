"""Exported networks, read by the program in docs/sharing.md, give the label maps of autoseg."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from autoseg.bundle import Bundle
from autoseg.bundle_reader import load_bundle
from autoseg.bundle_writer import save_weights
from autoseg.config import TrainConfig
from autoseg.errors import UsageError
from autoseg.image import RAS, STORED, Geometry, Image
from autoseg.inference.predictor import Predictor
from autoseg.io import read_image, read_labels, write_image
from autoseg.labels import Labels
from autoseg.networks import build_network
from autoseg.plan import IntensityStats, NetworkSpec, Plan
from autoseg.sharing.portable import describe_model, write_portable
from tests.inference.conftest import make_bundle, make_plan

DOCS = Path(__file__).parents[2] / "docs" / "sharing.md"
OBLIQUE = (0.0, 0.1961, 0.9806, -1.0, 0.0, 0.0, 0.0, -0.9806, 0.1961)
SIDES = Labels({"kidney_left": (5,), "kidney_right": (3,)})
REGIONS = Labels({"whole_left": (1, 3), "whole_right": (2,), "core": (3,)})


def make_case(name: str) -> tuple[Plan, Image]:
    """A plan and a scan in which one thing each is unusual."""
    rng = np.random.default_rng(5)
    plan, geometry = make_plan(SIDES), Geometry((19, 30, 27), (1.2, 0.9, 1.1))
    settings = plan.configurations["3d_fullres"]
    if name == "oblique":
        geometry = dataclasses.replace(geometry, direction=OBLIQUE, origin=(3.0, -20.0, 7.0))
    if name == "stored":
        plan = dataclasses.replace(plan, orientation=STORED)
        geometry = dataclasses.replace(geometry, direction=(1, 0, 0, 0, -1, 0, 0, 0, -1))
    if name == "ras":
        plan = dataclasses.replace(plan, orientation=RAS)
    if name == "regions":
        plan = dataclasses.replace(plan, labels=REGIONS)
    if name == "thick":
        settings = dataclasses.replace(settings, spacing=(1.0, 1.0, 5.0))
        plan = dataclasses.replace(plan, axis_order=(1, 2, 0))
        geometry = Geometry((24, 32, 30), (4.1, 0.8, 0.9))
    if name == "ct":
        settings = dataclasses.replace(settings, normalizers=("ct",))
        plan = dataclasses.replace(plan, intensities=(IntensityStats(1, 2, -1, 4, -9, 9),))
    if name == "masked":
        settings = dataclasses.replace(settings, mask_normalization=(True,))
    if name == "2d":
        flat = tuple((1, s, s) for s in (1, 2, 2))
        spec = NetworkSpec("plain_unet", (4, 8, 8), flat, ((1, 3, 3),) * 3, (1, 1, 1), (1, 1))
        sizes = {
            "S": dataclasses.replace(settings.sizes["S"], patch_size=(1, 24, 16), network=spec)
        }
        settings = dataclasses.replace(settings, spacing=(None, 1.0, 1.0), sizes=sizes)
    array = rng.normal(2, 3, geometry.shape)
    array[:, :4], array[:, :, -3:] = 0, 0
    plan = dataclasses.replace(plan, configurations={"3d_fullres": settings})
    return plan, Image(array[None].astype(np.float32), geometry)


def save(folder: Path, plan: Plan) -> Path:
    spec = plan.configurations["3d_fullres"].sizes["S"].network
    for fold in ("0", "1"):
        torch.manual_seed(int(fold))
        network = build_network(spec, 1, plan.labels.channels)
        with torch.no_grad():  # labels of every kind, in lumps
            network.heads[0].weight.mul_(5)
        state = dict(network.state_dict())
        save_weights(folder, fold, state, plan, "3d_fullres", "S", TrainConfig(), {})
    return folder


def run_reader(model: Path, output: Path, image: Path, monkeypatch, onnx: bool = False) -> None:
    code, loading = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    if onnx:
        line = re.search(r"    networks = .*\n", code).group()
        code = code.replace(line, "".join(f"    {x}\n" for x in loading.strip().split("\n")))
    monkeypatch.setattr(sys, "argv", ["reader.py", str(model), str(output), str(image)])
    exec(compile(code, "reader", "exec"), {})


def predict(bundle: Bundle, path: Path) -> np.ndarray:
    scan = read_image(path)
    geometry = scan.geometry
    return Predictor(bundle, "cpu", "accurate")(scan.array, geometry.spacing, geometry.direction)


NAMES = ("plain", "oblique", "stored", "ras", "regions", "thick", "ct", "masked", "2d")


@pytest.mark.parametrize("name", NAMES)
def test_the_reader_in_the_docs_makes_the_same_label_map(tmp_path: Path, monkeypatch, name: str):
    plan, image = make_case(name)
    bundle = load_bundle(save(tmp_path / "b", plan))
    write_portable(bundle, tmp_path / "model", "torchscript")
    write_image(tmp_path / "scan.nii.gz", image)
    run_reader(tmp_path / "model", tmp_path / "out.nii.gz", tmp_path / "scan.nii.gz", monkeypatch)
    theirs = read_labels(tmp_path / "out.nii.gz")
    ours = predict(bundle, tmp_path / "scan.nii.gz")
    assert theirs.geometry.shape == ours.shape
    assert len(np.unique(ours)) > 2
    assert (theirs.array[0] != ours).mean() < 5e-4  # near ties


def test_the_reader_takes_a_picture(tmp_path: Path, monkeypatch):
    plan, image = make_case("2d")
    grey = np.clip(image.array[:, 9:10] * 20 + 90, 0, 255).astype(np.uint8)
    bundle = load_bundle(save(tmp_path / "b", plan))
    write_portable(bundle, tmp_path / "model", "torchscript")
    write_image(tmp_path / "scan.png", Image(grey, Geometry((1, 30, 27))))
    run_reader(tmp_path / "model", tmp_path / "out.png", tmp_path / "scan.png", monkeypatch)
    ours = predict(bundle, tmp_path / "scan.png")
    assert len(np.unique(ours)) > 2
    assert (read_labels(tmp_path / "out.png").array[0] != ours).mean() < 2e-3  # near ties


def test_onnx_does_too_and_takes_any_number_of_tiles(tmp_path: Path, monkeypatch):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    plan, image = make_case("plain")
    bundle = load_bundle(save(tmp_path / "b", plan))
    write_portable(bundle, tmp_path / "model", "onnx")
    write_image(tmp_path / "scan.nii.gz", image)
    run_reader(tmp_path / "model", tmp_path / "out.nii.gz", tmp_path / "scan.nii.gz", monkeypatch,
               onnx=True)  # fmt: skip
    ours = predict(bundle, tmp_path / "scan.nii.gz")
    assert (read_labels(tmp_path / "out.nii.gz").array[0] != ours).mean() < 5e-4
    session = runtime.InferenceSession(tmp_path / "model/fold_0.onnx")
    for tiles in (1, 3):
        (scores,) = session.run(None, {"image": np.zeros((tiles, 1, 16, 24, 16), np.float32)})
        assert scores.shape == (tiles, 3, 16, 24, 16)


@pytest.mark.parametrize("kind", ["torchscript", "onnx"])
def test_no_path_of_this_computer_is_in_the_files(tmp_path: Path, kind: str):
    if kind == "onnx":
        pytest.importorskip("onnxscript")
    bundle = load_bundle(make_bundle(tmp_path / "secret" / "b", ("0",)))
    write_portable(bundle, tmp_path / "model", kind)
    for path in (tmp_path / "model").iterdir():
        content = path.read_bytes()
        for private in (b"secret", b"site-packages", str(DOCS.parents[1]).encode()):
            assert private not in content, (path, private)


def test_normalisation_is_told_in_numbers_or_in_what_is_measured(tmp_path: Path):
    plan, _ = make_case("ct")
    (row,) = describe_model(load_bundle(save(tmp_path / "b", plan)), "onnx")["normalisation"]
    assert (row["clip"], row["subtract"], row["divide"]) == ([-1, 4], 1, 2)
    plan, _ = make_case("masked")
    (row,) = describe_model(load_bundle(save(tmp_path / "c", plan)), "onnx")["normalisation"]
    assert (row["subtract"], row["divide"], row["inside_mask"]) == ("mean", "std", True)


def test_the_description_is_complete_json(tmp_path: Path):
    bundle = load_bundle(save(tmp_path / "b", make_case("regions")[0]))
    write_portable(bundle, tmp_path / "model", "torchscript")
    told = json.loads((tmp_path / "model/model.json").read_text())
    assert told["networks"] == ["fold_0.pt", "fold_1.pt"]
    assert (told["exchange"], told["left_right_axis"]) == ([1, 0, 2], 2)
    assert (told["values"], told["exclusive"]) == ([1, 2, 3], False)
    assert len(told["flips"]) == 8
    # Every key is explained where the reader is.
    explained = DOCS.read_text()
    assert [key for key in told if f"`{key}`" not in explained] == [
        "format", "dataset", "kind", "channels", "average"
    ]  # fmt: skip


def test_a_normaliser_of_ones_own_cannot_be_told(tmp_path: Path):
    plan, _ = make_case("plain")
    settings = plan.configurations["3d_fullres"]
    strange = dataclasses.replace(settings, normalizers=("my.module:norm",))
    plan = dataclasses.replace(plan, configurations={"3d_fullres": strange})
    bundle = load_bundle(save(tmp_path / "b", plan), trust=True)
    said = r"'my\.module:norm' normalises, which model\.json cannot say -> --to zip$"
    with pytest.raises(UsageError, match=said):
        write_portable(bundle, tmp_path / "model", "onnx")
    assert not (tmp_path / "model").exists()
