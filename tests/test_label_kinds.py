"""The whole pipeline on labels of every kind, as a user types it.

More values than a byte holds; regions; ignored voxels; targets that some cases leave out.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from autoseg.cli import main
from autoseg.image import Geometry, Image
from autoseg.io import read_labels, write_image, write_labels
from tests.synthetic import small_phantom
from tests.tumours import CONTRASTS, REGIONS, make_tumour

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


# --- regions in several channels -----------------------------------------------------------------


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with heads in four contrasts, a tumour of three regions, trained for a while."""
    root = tmp_path_factory.mktemp("heads")
    for case in range(CASES):
        image, label_map = make_tumour(np.random.default_rng(case), (16, 24, 24), case != 3)
        write_case(root, f"h{case}", image.array, label_map)
    found = ["--images", f"{root}/images/{{case}}_{{channel}}.nii.gz"]
    found += ["--labels", f"{root}/labels/{{case}}.nii.gz"]
    classes = [f"{name}={','.join(map(str, values))}" for name, values in REGIONS.items()]
    channels = [f"{name}={index}" for index, name in enumerate(CONTRASTS)]
    words = ["-d", "HEADS", *found, "--channels", *channels, "--classes", *classes]
    assert run(root, "import", *words) == 0
    assert run(root, "plan") == 0
    more = ["--set", "steps_per_epoch=80", "batch_size=2"]
    assert run(root, "train", "3d_fullres", "0", *QUICK, *more) == 0
    return root


def predict_heads(root: Path, name: str) -> np.ndarray:
    """Predict two heads that are new under `name`; return the label map of the first."""
    images = root / f"new_{name}"
    for case in range(2):
        image, _ = make_tumour(np.random.default_rng(50 + case), (16, 24, 24))
        for index, channel in enumerate(image.array):
            path = images / f"n{case}_{index:04d}.nii.gz"
            write_image(path, Image(channel[None], image.geometry))
    assert run(root, "predict", "-i", str(images), "-o", str(root / name)) == 0
    return read_labels(root / name / "n0.nii.gz").array[0]


def test_regions_of_four_channels_are_learnt_written_in_order_and_judged_as_regions(
    heads: Path,
) -> None:
    found = predict_heads(heads, "found")
    assert set(np.unique(found)) <= {0, 1, 2, 3}
    for case in range(2):
        _, label_map = make_tumour(np.random.default_rng(50 + case), (16, 24, 24))
        write_labels(heads / "truth" / f"n{case}.nii.gz", label_map, Geometry(label_map.shape))
    words = ["-d", "HEADS", "-p", str(heads / "found"), "-g", str(heads / "truth")]
    assert run(heads, "evaluate", *words) == 0
    summary = json.loads((heads / "found/summary.json").read_text())
    assert list(summary["mean"]) == ["whole", "core", "enhancing"]
    metrics = summary["metric_per_case"][0]["metrics"]
    truth = read_labels(heads / "truth/n0.nii.gz").array[0]
    for name, values in REGIONS.items():
        assert metrics[name]["n_ref"] == np.isin(truth, values).sum()
        assert metrics[name]["n_pred"] == np.isin(found, values).sum()
    assert summary["mean"]["whole"]["dice"]["mean"] > 0.4


def test_thresholds_are_tried_on_the_scores_of_a_trained_model_and_obeyed(heads: Path) -> None:
    assert run(heads, "evaluate") == 0
    path = heads / "models/HEADS/best.json"
    best = json.loads(path.read_text())
    tried = {trial["scope"] for trial in best["trials"] if trial["rule"].startswith("threshold")}
    assert tried == set(REGIONS)
    sizes = []
    for probability in (0.02, 0.98):
        best["rules"] = {"whole": [{"rule": "threshold", "probability": probability}]}
        path.write_text(json.dumps(best))
        sizes.append(int((predict_heads(heads, f"at_{probability}") > 0).sum()))
    assert sizes[0] > sizes[1]


# --- ignored voxels, values with gaps, the ignored one among them --------------------------------

SPREAD = np.array([0, 1, 3, 7], np.uint8)  # of background, liver, spleen, lesion
IGNORE = 5


@pytest.mark.parametrize("kind", ["scribbles", "slices"])
def test_what_is_ignored_is_not_learnt_not_judged_and_never_predicted(
    tmp_path: Path, kind: str
) -> None:
    for case in range(CASES):
        image, label_map = small_phantom(case)
        sparse, rng = SPREAD[label_map], np.random.default_rng(case)
        if kind == "scribbles":
            sparse[rng.random(sparse.shape) < 0.9] = IGNORE
        else:
            sparse[np.arange(len(sparse)) % 5 != case % 5] = IGNORE
        write_case(tmp_path, f"c{case}", image.array[0].astype(np.float32), sparse)
        write_labels(tmp_path / "full" / f"c{case}.nii.gz", SPREAD[label_map],
                     Geometry(sparse.shape, (2.0, 1.0, 1.0)))  # fmt: skip
    words = ["--images", f"{tmp_path}/images/{{case}}.nii.gz"]
    words += ["--labels", f"{tmp_path}/labels/{{case}}.nii.gz", "--channels", "CT"]
    words += ["--classes", "liver=1", "spleen=3", "lesion=7", f"ignore={IGNORE}"]
    assert run(tmp_path, "import", "-d", "SPARSE", *words) == 0
    assert run(tmp_path, "plan") == 0
    with np.load(tmp_path / "prepared/SPARSE/3d_fullres/c0.npz") as prepared:
        assert (prepared["labels"] == 255).mean() >= 0.75
    assert run(tmp_path, "train", "3d_fullres", "0", *QUICK, *STEPS) == 0
    fold = tmp_path / "models/SPARSE/3d_fullres-S/run/fold_0/validation"
    judged = json.loads((fold / "summary.json").read_text())["metric_per_case"][0]
    reference = read_labels(tmp_path / "labels" / f"{judged['case']}.nii.gz").array
    predicted = read_labels(fold / f"{judged['case']}.nii.gz").array
    assert IGNORE not in np.unique(predicted)
    liver = judged["metrics"]["liver"]
    assert liver["n_ref"] == (reference == 1).sum()
    assert liver["n_pred"] == ((predicted == 1) & (reference != IGNORE)).sum()
    full = str(tmp_path / "full")  # judged by the sparse ones, the full labels are perfect
    words = ["-d", "SPARSE", "-p", full, "-g", str(tmp_path / "labels"), "-o", f"{tmp_path}/out"]
    assert run(tmp_path, "evaluate", *words) == 0
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["foreground_mean"]["dice"]["mean"] == 1.0


# --- targets that some cases leave out -----------------------------------------------------------


def test_a_target_counts_only_in_the_cases_where_it_is_annotated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for case in range(2 * CASES):
        image, label_map = small_phantom(case)
        site = "a" if case % 2 else "b"
        label_map = np.where((label_map == 3) & (site == "a"), 1, label_map).astype(np.uint8)
        write_case(tmp_path, f"{site}{case}", image.array[0].astype(np.float32), label_map)
    words = ["--images", f"{tmp_path}/images/{{case}}.nii.gz"]
    words += ["--labels", f"{tmp_path}/labels/{{case}}.nii.gz", "--channels", "CT"]
    words += ["--classes", "liver", "spleen", "lesion", "--annotated", "a*=liver,spleen"]
    assert run(tmp_path, "import", "-d", "PARTLY", *words) == 0
    assert run(tmp_path, "plan") == 0
    assert "Annotated: lesion in 5 of 10 cases" in capsys.readouterr().out
    assert run(tmp_path, "train", "3d_fullres", "0", *QUICK, *STEPS) == 0
    fold = tmp_path / "models/PARTLY/3d_fullres-S/run/fold_0/validation"
    summary = json.loads((fold / "summary.json").read_text())
    cases = [case["case"] for case in summary["metric_per_case"]]
    assert sorted(case[0] for case in cases) == ["a", "b"]  # spread evenly over the folds
    assert [summary["mean"][name]["n_ref"]["n"] for name in ("liver", "lesion")] == [2, 1]
