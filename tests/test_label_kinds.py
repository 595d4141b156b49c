"""The whole pipeline on labels of every kind, as a user types it: more values than a byte holds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from autoseg.cli import main
from autoseg.image import Geometry, Image
from autoseg.io import read_labels, write_image, write_labels

QUICK = ["--size", "S", "--budget", "1epoch", "--device", "cpu"]
STEPS = ["--set", "steps_per_epoch=3", "batch_size=2"]
CASES = 5


def write_case(folder: Path, case: str, array: np.ndarray, label_map: np.ndarray) -> None:
    """Write `array` (Z, Y, X) or (C, Z, Y, X) and its label map to `folder`/images and /labels."""
    grid = Geometry(label_map.shape, (2.0, 1.0, 1.0))
    channels = array if array.ndim == 4 else array[None]
    for index, channel in enumerate(channels):
        name = f"{case}.nii.gz" if len(channels) == 1 else f"{case}_{index}.nii.gz"
        write_image(folder / "images" / name, Image(channel[None], grid))
    write_labels(folder / "labels" / f"{case}.nii.gz", label_map, grid)


def run(root: Path, *words: str) -> int:
    return main([*words, "-w", str(root)])


# --- three hundred values ------------------------------------------------------------------------

VALUES = [1000 + 7 * index for index in range(300)]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with 300 cubes in a row of slices, trained for three steps."""
    root = tmp_path_factory.mktemp("many")
    cubes = np.kron(np.arange(300).reshape(3, 10, 10), np.ones((3, 3, 3), int))
    label_map = np.pad(np.asarray(VALUES, np.uint16)[cubes], 2)
    for case in range(CASES):
        noise = np.random.default_rng(case).normal(0, 3, label_map.shape)
        write_case(root, f"c{case}", (label_map / 14 + noise).astype(np.float32), label_map)
    classes = [f"p{index}={value}" for index, value in enumerate(VALUES)]
    found = ["--images", f"{root}/images/{{case}}.nii.gz"]
    found += ["--labels", f"{root}/labels/{{case}}.nii.gz"]
    words = ["-d", "MANY", *found, "--channels", "MR", "--classes", *classes]
    assert run(root, "import", *words) == 0
    assert run(root, "plan") == 0
    assert run(root, "train", "3d_fullres", "0", *QUICK, *STEPS) == 0
    return root


def test_three_hundred_values_are_prepared_as_two_bytes_and_come_back(many: Path) -> None:
    path = next((many / "prepared/MANY").glob("3d_fullres*/c0.npz"))
    with np.load(path) as prepared:
        assert prepared["labels"].dtype == np.int16
        assert set(np.unique(prepared["labels"])) == set(range(301))


def test_a_model_of_three_hundred_values_writes_them_as_they_are(many: Path) -> None:
    images, found = str(many / "images"), many / "found"
    assert run(many, "predict", "-i", images, "-o", str(found)) == 0
    label_map = read_labels(found / "c0.nii.gz").array
    assert label_map.dtype == np.uint16
    assert set(np.unique(label_map)) <= {0, *VALUES}
    assert len(np.unique(label_map)) > 1
    assert run(many, "evaluate", "-p", str(found), "-g", str(many / "labels")) == 0
    summary = json.loads((found / "summary.json").read_text())
    assert len(summary["mean"]) == 300
