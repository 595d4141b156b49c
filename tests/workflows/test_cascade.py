"""A cascade as a user trains it, on phantoms whose plan is told to have a coarse stage."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from autoseg.bundle_reader import load_bundle
from autoseg.cli import main
from autoseg.files import read_json
from autoseg.image import Geometry
from autoseg.io import read_image, read_labels, write_labels
from autoseg.phantom import write_phantoms, write_raw
from autoseg.plan_file import load_plan
from autoseg.planning.folds import Fold, save_folds
from autoseg.preprocessing.npz import map_npz
from autoseg.preprocessing.prepare import prepare_labels
from autoseg.preprocessing.store import read_sidecar
from tests.synthetic import make_workspace, write_unseen

QUICK = ["--size", "S", "--device", "cpu", "--set", "steps=3", "batch_size=2", "precision=float32"]
COARSE = ["--set", "3d_lowres.spacing=3,2,2", "3d_cascade_fullres.S.patch_size=12x24x24"]
CASES = ("phantom_00", "phantom_01", "phantom_02")


def run(verb: str, root: Path, *words: str) -> int:
    return main([verb, *words, "-w", str(root)])


def model(root: Path, name: str = "3d_cascade_fullres-S") -> Path:
    return root / "models" / "PHANTOM" / name


@pytest.fixture(scope="module")
def coarse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of three phantoms whose 3d_lowres is trained, three steps a fold."""
    root = tmp_path_factory.mktemp("cascade")
    make_workspace(root, cases=3)
    write_unseen(root / "unseen", cases=1)
    assert run("plan", root, *COARSE) == 0
    assert run("train", root, "3d_lowres", "all", *QUICK) == 0
    return root


@pytest.fixture(scope="module")
def trained(coarse: Path) -> Path:
    """The same with fold 0 of the cascade."""
    words = [*QUICK, "target_weights=balanced"]  # by the volumes in the arrays it shares
    assert run("train", coarse, "3d_cascade_fullres", "0", *words) == 0
    return coarse


def predict(root: Path, output: Path, *words: str) -> np.ndarray:
    images = str(root / "unseen" / "images")
    assert run("predict", root, "-i", images, "-o", str(output), *words) == 0
    return read_labels(output / "phantom_90.nii.gz").array[0]


def test_the_fine_grid_is_prepared_once(coarse: Path) -> None:
    folders = {path.name for path in (coarse / "prepared" / "PHANTOM").iterdir() if path.is_dir()}
    assert folders == {"2d", "3d_lowres", "3d_fullres", "labels"}


@pytest.mark.parametrize(
    ("gone", "named"),
    [((1,), "fold 1 .*autoseg_train 3d_lowres 1 "), ((0, 2), "folds 0, 2 .*3d_lowres all ")],
)
def test_folds_of_the_previous_stage_that_are_missing_are_named(
    coarse: Path, tmp_path: Path, gone: tuple[int, ...], named: str, capsys: pytest.CaptureFixture
) -> None:
    lowres = model(coarse, "3d_lowres-S") / "run"
    for fold in gone:
        (lowres / f"fold_{fold}" / "result.json").rename(tmp_path / f"{fold}.json")
    try:
        assert run("train", coarse, "3d_cascade_fullres", "1", *QUICK) == 2
    finally:
        for fold in gone:
            (tmp_path / f"{fold}.json").rename(lowres / f"fold_{fold}" / "result.json")
    assert_matches(capsys.readouterr().err.splitlines()[-1], named + r"-d PHANTOM --size S")


def test_a_label_map_of_the_previous_stage_that_is_gone_is_named(
    coarse: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = next((model(coarse, "3d_lowres-S") / "run/fold_2/validation").glob("*.nii.gz"))
    path.rename(tmp_path / path.name)
    try:
        assert run("train", coarse, "3d_cascade_fullres", "1", *QUICK) == 3
    finally:
        (tmp_path / path.name).rename(path)
    said = capsys.readouterr().err.splitlines()[-1]
    assert_matches(said, f"{path.name}.* is gone -> autoseg_train 3d_lowres 2 .*--overwrite")


def test_a_case_that_no_fold_validates_is_named(
    coarse: Path, capsys: pytest.CaptureFixture
) -> None:
    path = coarse / "prepared" / "PHANTOM" / "folds.json"
    lowres = model(coarse, "3d_lowres-S") / "run" / "fold_2" / "result.json"
    kept, result = path.read_text(), lowres.read_text()
    folds = read_json(path)
    alone = folds["folds"][2]["validation"]
    path.write_text(json.dumps(folds | {"folds": folds["folds"][:2]}))
    lowres.unlink()
    try:
        assert run("train", coarse, "3d_cascade_fullres", "1", *QUICK) == 2
    finally:
        path.write_text(kept)
        lowres.write_text(result)
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"1 of 3 cases are validated by no fold, such as {alone[0]}" in said


def assert_matches(text: str, pattern: str) -> None:
    with pytest.raises(ValueError, match=pattern):
        raise ValueError(text)


def test_every_case_brings_the_prediction_of_the_fold_that_has_not_seen_it(trained: Path) -> None:
    folder = model(trained) / "run" / "previous"
    plan = load_plan(trained / "prepared" / "PHANTOM" / "plan.json")
    folds = read_json(trained / "prepared" / "PHANTOM" / "folds.json")["folds"]
    manifest = read_json(folder / "manifest.json")
    lowres = load_bundle(model(trained, "3d_lowres-S") / "bundle")
    assert set(manifest["weights_sha256"]) == {"0", "1", "2"} == set(lowres.weights)
    for case in CASES:
        fold = manifest["cases"][case]
        assert case in folds[int(fold)]["validation"]
        predicted = model(trained, "3d_lowres-S") / f"run/fold_{fold}/validation/{case}.nii.gz"
        frame = read_sidecar(trained / "prepared" / "PHANTOM" / "3d_fullres", case).frame
        expected = prepare_labels(read_labels(predicted).array[0], frame, plan.labels)
        path = folder / f"{case}.npz"
        found = map_npz(path, path.stat().st_size)["indices"]
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == np.uint8


def test_its_bundle_predicts_without_the_workspace(trained: Path, tmp_path: Path) -> None:
    here = predict(trained, tmp_path / "here", "-c", "3d_cascade_fullres")
    shutil.copytree(model(trained) / "bundle", tmp_path / "mailed")
    (tmp_path / "elsewhere").mkdir()
    words = ["-i", str(trained / "unseen/images"), "-o", str(tmp_path / "there")]
    assert run("predict", tmp_path / "elsewhere", *words, "-m", str(tmp_path / "mailed")) == 0
    there = read_labels(tmp_path / "there" / "phantom_90.nii.gz").array[0]
    np.testing.assert_array_equal(here, there)
    assert here.any()
    said = json.loads((tmp_path / "there" / "predictions.json").read_text())["models"][0]
    assert said["previous"]["model"] == "3d_lowres-S"
    assert set(said["previous"]["weights_sha256"]) == {"0", "1", "2"}


def test_label_maps_of_the_previous_stage_may_be_given(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    coarse = predict(trained, tmp_path / "lowres", "-c", "3d_lowres", "--set", "rules=none")
    words = ["-c", "3d_cascade_fullres", "--previous"]
    alone = predict(trained, tmp_path / "alone", "-c", "3d_cascade_fullres")
    given = predict(trained, tmp_path / "given", *words, str(tmp_path / "lowres"))
    np.testing.assert_array_equal(alone, given)
    said = json.loads((tmp_path / "given" / "predictions.json").read_text())["models"][0]
    assert said["previous"] == "label maps that were given"
    image = trained / "unseen" / "images" / "phantom_90.nii.gz"
    other = tmp_path / "other"
    other.mkdir()
    write_labels(other / "phantom_90.nii.gz", 3 - coarse, read_image(image).geometry)
    changed = predict(trained, tmp_path / "changed", *words, str(other))
    assert not np.array_equal(changed, given)


def spoil(folder: Path, what: str, geometry: Geometry) -> None:
    label_map = np.zeros(geometry.shape, dtype=np.uint8)
    if what == "grid":
        geometry = dataclasses.replace(geometry, spacing=(3.0, 1.0, 1.5))
    if what == "value":
        label_map[0, 0, :2] = (7, 9)
    name = "someone.nii.gz" if what == "missing" else "phantom_90.nii.gz"
    write_labels(folder / name, label_map, geometry)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("missing", "phantom_90: no label map of the previous stage"),
        ("grid", "spacing (3, 1, 1.5), expected (3, 1, 1)"),
        ("value", "holds 7, 9, expected values of the targets: 0, 1, 2, 3"),
    ],
)
def test_given_label_maps_are_checked_first(
    trained: Path, tmp_path: Path, what: str, message: str, capsys: pytest.CaptureFixture
) -> None:
    images = trained / "unseen" / "images"
    folder = tmp_path / "maps"
    folder.mkdir()
    spoil(folder, what, read_image(images / "phantom_90.nii.gz").geometry)
    words = ["-i", str(images), "-o", str(tmp_path / "out"), "-c", "3d_cascade_fullres"]
    assert run("predict", trained, *words, "--previous", str(folder)) == 3
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_previous_label_maps_for_a_single_stage_are_a_mistake(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    words = ["-i", str(trained / "unseen/images"), "-o", str(tmp_path / "out"), "-c", "3d_lowres"]
    assert run("predict", trained, *words, "--previous", str(tmp_path)) == 2
    assert "none of the models continues" in capsys.readouterr().err
    words[-1] = "3d_cascade_fullres"
    assert run("predict", trained, *words, "--previous", str(tmp_path / "nowhere")) == 2


def test_the_evaluation_takes_it_as_one_more_model(
    trained: Path, capsys: pytest.CaptureFixture
) -> None:
    assert run("evaluate", trained) == 0
    said = capsys.readouterr().out
    assert "3d_cascade_fullres-S, 1 of 3 folds (0)" in said
    assert "3d_lowres-S, 3 of 3 folds" in said
    evidence = json.loads((trained / "models/PHANTOM/best.json").read_text())["evidence"]
    assert {"3d_cascade_fullres-S", "3d_lowres-S"} < set(evidence)  # and both together


def test_a_fresh_previous_stage_makes_its_maps_anew_and_is_another_model(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(trained, root)
    folder = model(root) / "run" / "previous"
    times = {case: (folder / f"{case}.npz").stat().st_mtime_ns for case in CASES}
    again = [*QUICK, "seed=5", "--overwrite"]
    assert run("train", root, "3d_lowres", "1", *again) == 0
    assert run("train", root, "3d_cascade_fullres", "full", *QUICK) == 0
    fold_of = read_json(folder / "manifest.json")["cases"]
    renewed = [c for c in CASES if (folder / f"{c}.npz").stat().st_mtime_ns != times[c]]
    assert "1" in {fold_of[case] for case in renewed}
    images = str(root / "unseen/images")
    words = ["-i", images, "-o", str(tmp_path / "out"), "-c", "3d_cascade_fullres"]
    assert run("predict", root, *words, "-f", "0") == 7
    assert "another plan or previous stage" in capsys.readouterr().err
    assert run("predict", root, *words, "-f", "full") == 0


def test_a_bundle_of_two_stages_verifies_both(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(model(trained) / "bundle", bundle)
    assert main(["verify", "-m", str(bundle), "--device", "cpu"]) == 0
    said = capsys.readouterr()
    assert "(1 fold)" in said.out
    assert "fold 2: " in said.err.partition("its previous stage, 3d_lowres-S:")[2]
    path = bundle / "previous" / "fold_1" / "weights.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert main(["verify", "-m", str(bundle), "--device", "cpu"]) == 7


def test_the_second_stage_looks_at_the_first(trained: Path) -> None:
    weights = load_bundle(model(trained) / "bundle").weights["0"]
    first = next(t for t in weights.values() if t.ndim == 5 and t.shape[1] == 4)
    assert (first[:, 1:].abs().sum((0, 2, 3, 4)) > 0).all()
    assert isinstance(first, torch.Tensor)


@pytest.mark.slow
def test_the_cascade_is_as_good_as_its_first_stage_at_least(tmp_path: Path) -> None:
    """Patches see 16 % of the phantoms; two folds of each stage, minutes in all."""
    write_raw(tmp_path / "raw" / "PHANTOM", 4, (16, 80, 80))
    write_phantoms(tmp_path / "unseen", "images", "labels", range(90, 94), (16, 80, 80))
    coarse = ["3d_lowres.spacing=3,2,2", "3d_cascade_fullres.S.patch_size=16x32x32"]
    assert run("plan", tmp_path, "--set", *coarse) == 0
    folds = tmp_path / "prepared" / "PHANTOM" / "folds.json"
    halves = ("phantom_00", "phantom_02"), ("phantom_01", "phantom_03")
    save_folds(folds, [Fold(*halves), Fold(*halves[::-1])])
    dice = {}
    for name in ("3d_lowres", "3d_cascade_fullres"):
        words = ["--size", "S", "--device", "cpu", "--set", "steps=150", "steps_per_epoch=50"]
        assert run("train", tmp_path, name, "all", *words) == 0
        predict_words = ["-i", str(tmp_path / "unseen/images"), "-o", str(tmp_path / name)]
        assert run("predict", tmp_path, *predict_words, "-c", name) == 0
        truth = str(tmp_path / "unseen" / "labels")
        assert run("evaluate", tmp_path, "-p", str(tmp_path / name), "-g", truth) == 0
        summary = json.loads((tmp_path / name / "summary.json").read_text())
        dice[name] = summary["foreground_mean"]["dice"]["mean"]
    assert dice["3d_cascade_fullres"] >= dice["3d_lowres"]
