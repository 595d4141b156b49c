"""Predicting a folder: names, grids, bad cases, kill and continue, and no surprise to an output."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.errors import (
    CorruptError,
    DataError,
    LockedError,
    PartlyDone,
    ResourceError,
    Stopped,
    UsageError,
)
from autoseg.files import write_json
from autoseg.image import Geometry, Image
from autoseg.io import read_header, read_labels, read_names, write_image
from autoseg.label_table import TABLES
from autoseg.locks import locked
from autoseg.results import Choice
from autoseg.workflows.predict import predict
from autoseg.workflows.predict_record import FAILED, FINAL, PARTIAL
from autoseg.workspace import Workspace
from tests.inference.conftest import make_bundle, make_plan

ROOT = Path(__file__).parents[2]
COSINE, SINE = np.cos(0.3), np.sin(0.3)
OBLIQUE = (COSINE, 0.0, -SINE, 0.0, -1.0, 0.0, SINE, 0.0, COSINE)


def write_scan(path: Path, seed: int = 0, geometry: Geometry | None = None) -> Geometry:
    geometry = geometry or Geometry((14, 20, 18), (1.5, 1.0, 1.0), (3.0, -7.0, 11.0), OBLIQUE)
    array = np.random.default_rng(seed).normal(100, 20, (1, *geometry.shape)).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, Image(array, geometry))
    return geometry


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for number in range(3):
        write_scan(tmp_path / "images" / f"case_{number}.nii.gz", number)
    return tmp_path / "images"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "work")
    make_bundle(workspace.bundle("TOY", "3d_fullres", "S"))
    return workspace


def names(folder: Path) -> list[str]:
    """What lies there, besides hidden files and the tables of names and colours."""
    there = (path.name for path in folder.iterdir() if path.name not in TABLES)
    return sorted(name for name in there if not name.startswith("."))


def test_labels_lie_on_the_grid_of_the_image_under_its_name(workspace, images, tmp_path, caplog):
    caplog.set_level("INFO", "autoseg")
    manifest = predict(workspace, images, tmp_path / "out")
    assert names(tmp_path / "out") == [f"case_{n}.nii.gz" for n in range(3)] + [FINAL]
    for number in range(3):
        name = f"case_{number}.nii.gz"
        found = read_labels(tmp_path / "out" / name)
        expected = read_header(images / name).geometry
        assert found.geometry.shape == expected.shape
        np.testing.assert_allclose(found.geometry.direction, expected.direction, atol=1e-6)
        np.testing.assert_allclose(found.geometry.origin, expected.origin, atol=1e-5)
        assert set(np.unique(found.array)) <= {0, 1, 2}
        assert read_names(tmp_path / "out" / name) == {1: "anterior", 2: "posterior"}
    assert '1  1  1    "' in (tmp_path / "out" / "labels.txt").read_text()
    assert (tmp_path / "out" / "labels.ctbl").is_file()
    assert list(manifest["cases"]) == ["case_0", "case_1", "case_2"]
    assert manifest["failed"] == []
    assert manifest == json.loads((tmp_path / "out" / FINAL).read_text())
    said = caplog.text
    assert "3d_fullres-S, fold 0: the only model trained so far; there is no best.json" in said
    assert "speed balanced: tiles overlap by half and may outgrow the patch, every other" in said


def write_plain(path: Path, shape: tuple[int, ...]) -> None:
    """Write an image of two or three dimensions with SimpleITK alone."""
    array = np.random.default_rng(5).integers(1, 250, shape).astype(np.uint8)
    image = sitk.GetImageFromArray(array)
    if path.suffix not in (".tif", ".png"):
        image.SetSpacing((0.7, 0.9, 1.5)[: len(shape)])
        image.SetOrigin((3.0, -4.0, 11.0)[: len(shape)])
        image.SetDirection((0, 1, 1, 0) if len(shape) == 2 else (0, 1, 0, 1, 0, 0, 0, 0, -1))
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


@pytest.mark.parametrize("ending", [".nii", ".mha", ".nrrd", ".tif"])
@pytest.mark.parametrize("shape", [(9, 20, 18), (1, 20, 18), (20, 18)])
def test_type_and_grid_are_those_of_the_image(workspace, tmp_path, ending, shape):
    image, result = (tmp_path / folder / f"patient{ending}" for folder in ("images", "out"))
    write_plain(image, shape)
    predict(workspace, tmp_path / "images", tmp_path / "out")
    assert names(tmp_path / "out") == [f"patient{ending}", FINAL]
    ours, theirs = read_header(result), read_header(image)
    assert (ours.geometry, ours.dimension) == (theirs.geometry, theirs.dimension)
    assert set(np.unique(read_labels(result).array)) <= {0, 1, 2}


def test_a_picture_s_labels_are_a_picture_with_its_spacing(workspace, tmp_path):
    write_plain(tmp_path / "images" / "slide.png", (20, 18))
    (tmp_path / "images" / "slide.json").write_text('{"spacing": [1.0, 0.8, 0.8]}')
    predict(workspace, tmp_path / "images", tmp_path / "out")
    assert names(tmp_path / "out") == [FINAL, "slide.json", "slide.png"]
    assert read_labels(tmp_path / "out" / "slide.png").geometry.spacing == (1.0, 0.8, 0.8)


def test_the_number_of_a_channel_is_not_part_of_the_name(workspace, tmp_path):
    write_scan(tmp_path / "images" / "patient_0000.nii.gz")
    predict(workspace, tmp_path / "images", tmp_path / "out")
    assert names(tmp_path / "out") == ["patient.nii.gz", FINAL]


def test_one_bad_case_does_not_stop_the_others(workspace, images, tmp_path):
    bad = images / "case_1.nii.gz"
    bad.write_bytes(bad.read_bytes()[:500])
    with pytest.raises(PartlyDone, match=r"1 of 3 cases failed: case_1.*tries these") as caught:
        predict(workspace, images, tmp_path / "out")
    assert caught.value.exit_code == 5
    assert "case_1" in json.loads((tmp_path / "out" / FAILED).read_text())
    assert {"case_0.nii.gz", "case_2.nii.gz", FINAL} <= set(names(tmp_path / "out"))
    assert json.loads((tmp_path / "out" / FINAL).read_text())["failed"] == ["case_1"]
    # Mended, the same command does what is left.
    before = (tmp_path / "out" / "case_0.nii.gz").stat().st_mtime_ns
    write_scan(bad, 1)
    predict(workspace, images, tmp_path / "out")
    assert names(tmp_path / "out") == [f"case_{n}.nii.gz" for n in range(3)] + [FINAL]
    assert (tmp_path / "out" / "case_0.nii.gz").stat().st_mtime_ns == before


def test_nan_fails_its_case_and_an_empty_image_is_background(workspace, tmp_path):
    geometry = Geometry((8, 9, 10))
    array = np.full((1, 8, 9, 10), np.nan, dtype=np.float32)
    (tmp_path / "images").mkdir()
    write_image(tmp_path / "images" / "bad.nii.gz", Image(array, geometry))
    write_image(tmp_path / "images" / "empty.nii.gz", Image(np.zeros_like(array), geometry))
    with pytest.raises(PartlyDone, match="bad"):
        predict(workspace, tmp_path / "images", tmp_path / "out")
    assert "720 voxels are NaN" in json.loads((tmp_path / "out" / FAILED).read_text())["bad"]
    assert not read_labels(tmp_path / "out" / "empty.nii.gz").array.any()
    manifest = json.loads((tmp_path / "out" / FINAL).read_text())
    assert manifest["cases"]["empty"]["status"] == "empty_image"


# --- what is refused, before torch is loaded -----------------------------------------------------


def run_apart(workspace: Workspace, images: Path, output: Path, *more: str) -> list[str]:
    """Return [kind of error, was torch loaded?] of a prediction in a process of its own."""
    program = f"""
import sys
from pathlib import Path
from autoseg.workflows.predict import predict
from autoseg.workspace import Workspace
try:
    predict(Workspace(Path({str(workspace.root)!r})), Path({str(images)!r}), Path({str(output)!r}),
            settings={list(more)!r})
except Exception as error:
    print(type(error).__name__, "torch" in sys.modules)
"""
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.split()


def test_nothing_to_do_is_answered_before_torch_is_loaded(workspace, images, tmp_path):
    (tmp_path / "nothing").mkdir()
    assert run_apart(workspace, tmp_path / "nothing", tmp_path / "o") == ["UsageError", "False"]
    assert run_apart(workspace, images, tmp_path / "o", "setp=1") == ["UsageError", "False"]
    assert run_apart(workspace, images, images) == ["UsageError", "False"]
    assert not (tmp_path / "o").exists()


def test_missing_channels_are_answered_before_torch_is_loaded(workspace, tmp_path):
    write_scan(tmp_path / "images" / "a_0000.nii.gz")
    write_scan(tmp_path / "images" / "a_0001.nii.gz")
    assert run_apart(workspace, tmp_path / "images", tmp_path / "o") == ["DataError", "False"]


def test_input_and_output_must_differ(workspace, images):
    with pytest.raises(UsageError, match="same folder"):
        predict(workspace, images, images / ".." / "images")


def test_a_finished_output_is_kept_unless_overwritten(workspace, images, tmp_path):
    predict(workspace, images, tmp_path / "out")
    with pytest.raises(UsageError, match=r"finished prediction.*--overwrite"):
        predict(workspace, images, tmp_path / "out")
    (images / "case_2.nii.gz").unlink()
    predict(workspace, images, tmp_path / "out", overwrite=True)
    assert names(tmp_path / "out") == ["case_0.nii.gz", "case_1.nii.gz", FINAL]


def test_a_folder_with_anything_else_is_refused_and_overwrite_spares_it(
    workspace, images, tmp_path
):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"not empty.*thesis\.txt"):
        predict(workspace, images, tmp_path / "out")
    # Label maps of somebody, in the place of those of this run.
    (tmp_path / "out" / "case_1.nii.gz").write_text("drawn by hand")
    with pytest.raises(UsageError, match=r"holds case_1\.nii\.gz, of no prediction: --overwrite"):
        predict(workspace, images, tmp_path / "out", overwrite=True)
    assert names(tmp_path / "out") == ["case_1.nii.gz", "thesis.txt"]
    (tmp_path / "out" / "case_1.nii.gz").unlink()
    predict(workspace, images, tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"


def test_two_runs_do_not_share_an_output(workspace, images, tmp_path):
    with locked(tmp_path / "out"), pytest.raises(LockedError, match="in use"):
        predict(workspace, images, tmp_path / "out")


# --- which model ---------------------------------------------------------------------------------


def test_without_a_model_the_next_step_is_named(images, tmp_path):
    with pytest.raises(UsageError, match=r"no model.*autoseg_train"):
        predict(Workspace(tmp_path / "empty"), images, tmp_path / "out")


def test_several_models_need_a_choice_and_best_json_makes_it(workspace, images, tmp_path, caplog):
    caplog.set_level("INFO", "autoseg")
    make_bundle(workspace.bundle("TOY", "3d_fullres", "M-residual"), size="M-residual")
    with pytest.raises(UsageError, match=r"several models.*3d_fullres-M-residual, 3d_fullres-S"):
        predict(workspace, images, tmp_path / "out")
    predict(workspace, images, tmp_path / "sized", size="M-residual")
    with pytest.raises(UsageError, match=r"'2d' is not trained.*trained: 3d_fullres-M"):
        predict(workspace, images, tmp_path / "out", configuration="2d")
    write_json(workspace.best("TOY"), Choice(("3d_fullres-S",), {"3d_fullres-S": 0.9}))
    predict(workspace, images, tmp_path / "out")
    assert "the best known choice (best.json)" in caplog.text


def test_a_choice_whose_model_is_gone_is_not_followed_and_said_so(
    workspace, images, tmp_path, caplog
):
    caplog.set_level("INFO", "autoseg")
    write_json(workspace.best("TOY"), Choice(("3d_fullres-M",), {"3d_fullres-M": 0.9}))
    predict(workspace, images, tmp_path / "out")
    assert "best.json is not followed: it chose 3d_fullres-M, but 3d_fullres-M is" in caplog.text
    assert "there is no best.json" not in caplog.text


def test_rules_of_best_json_are_followed_said_and_can_be_left_out(
    workspace, images, tmp_path, caplog
):
    caplog.set_level("INFO", "autoseg")
    plain = predict(workspace, images, tmp_path / "plain", settings=["rules=none"])
    before = read_labels(tmp_path / "plain" / "case_0.nii.gz").array
    value = int(before.max())  # of random weights: one target at least is there
    rules = {("anterior", "posterior")[value - 1]: [{"rule": "min_component", "mm3": 1e9}]}
    write_json(workspace.best("TOY"), Choice(("3d_fullres-S",), {}, (), rules))
    assert plain["rules"] == {}
    manifest = predict(workspace, images, tmp_path / "out")
    assert manifest["rules"] == rules
    assert "rules (best.json): " in caplog.text
    after = read_labels(tmp_path / "out" / "case_0.nii.gz").array
    assert value not in after
    assert np.array_equal(np.where(before == value, 0, before), after)
    assert predict(workspace, images, tmp_path / "a", settings=["rules=none"])["rules"] == {}
    assert predict(workspace, images, tmp_path / "b", configuration="3d_fullres")["rules"] == {}


def test_rules_of_one_s_own_are_applied_said_and_noted(workspace, images, tmp_path, caplog):
    caplog.set_level("INFO", "autoseg")
    predict(workspace, images, tmp_path / "plain")
    before = read_labels(tmp_path / "plain" / "case_0.nii.gz").array
    value = int(before.max())
    name = ("anterior", "posterior")[value - 1]
    settings = [f"rules={name}:min_voxels:1e6"]
    manifest = predict(workspace, images, tmp_path / "out", settings=settings)
    assert manifest["rules"] == {name: [{"rule": "min_voxels", "voxels": 1e6}]}
    assert f"rules (as asked): {name}: min voxels 1e+06" in caplog.text
    after = read_labels(tmp_path / "out" / "case_0.nii.gz").array
    assert np.array_equal(np.where(before == value, 0, before), after)


def test_wrong_rules_are_answered_before_anything_is_loaded(workspace, images, tmp_path):
    rules = {"anterior": [{"rule": "closing", "mm": "two"}]}
    write_json(workspace.best("TOY"), Choice(("3d_fullres-S",), {}, (), rules))
    with pytest.raises(CorruptError, match="closing of 'anterior'"):
        predict(workspace, images, tmp_path / "out")
    workspace.best("TOY").unlink()
    with pytest.raises(UsageError, match="--set rules=mine"):
        predict(workspace, images, tmp_path / "out", settings=["rules=mine"])
    assert not (tmp_path / "out").exists()


def test_an_ensemble_of_two_models_is_their_mean_probability(workspace, images, tmp_path):
    make_bundle(workspace.bundle("TOY", "3d_fullres", "M"), ("9",), size="M")
    write_json(workspace.best("TOY"), Choice(("3d_fullres-S", "3d_fullres-M"), {}))
    manifest = predict(workspace, images, tmp_path / "both")
    assert [model["model"] for model in manifest["models"]] == ["3d_fullres-M", "3d_fullres-S"]
    predict(workspace, images, tmp_path / "one", size="S")
    both, one = (
        read_labels(tmp_path / folder / "case_0.nii.gz").array for folder in ("both", "one")
    )
    assert (both != one).any()


def test_folds_and_bundles_can_be_named(workspace, images, tmp_path):
    folder = make_bundle(tmp_path / "mailed", ("0", "1"))
    manifest = predict(Workspace(tmp_path), images, tmp_path / "a", bundles=[folder], folds=["1"])
    assert list(manifest["models"][0]["weights_sha256"]) == ["1"]
    with pytest.raises(UsageError, match="fold 4 is not in this model"):
        predict(Workspace(tmp_path), images, tmp_path / "b", bundles=[folder], folds=["4"])


def test_bundles_of_different_targets_are_not_averaged(images, tmp_path):
    from autoseg.labels import Labels

    one = make_bundle(tmp_path / "one")
    two = make_bundle(tmp_path / "two", plan=make_plan(Labels({"liver": (1,)})))
    with pytest.raises(UsageError, match="labels differ"):
        predict(Workspace(tmp_path), images, tmp_path / "out", bundles=[one, two])


def test_bundles_whose_targets_stand_in_another_order_are_not_averaged(images, tmp_path):
    from autoseg.labels import Labels

    one = make_bundle(tmp_path / "one", plan=make_plan(Labels({"liver": (1,), "spleen": (2,)})))
    two = make_bundle(tmp_path / "two", plan=make_plan(Labels({"spleen": (2,), "liver": (1,)})))
    with pytest.raises(UsageError, match="labels differ"):
        predict(Workspace(tmp_path), images, tmp_path / "out", bundles=[one, two])


# --- continuing ----------------------------------------------------------------------------------


def test_killed_and_continued_gives_the_same_bytes(workspace, images, tmp_path):
    for number in range(3, 12):
        write_scan(images / f"case_{number}.nii.gz", number)
    predict(workspace, images, tmp_path / "whole")
    command = [sys.executable, "-m", "autoseg.cli", "predict", "-i", str(images)]
    command += ["-o", str(tmp_path / "killed"), "-w", str(workspace.root)]
    run = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and run.poll() is None:
            if len(list((tmp_path / "killed").glob("case_*"))) >= 2:
                break
            time.sleep(0.01)
        os.kill(run.pid, signal.SIGKILL)
    finally:
        run.wait()
    done = len(list((tmp_path / "killed").glob("case_*.nii.gz")))
    if done < 12:
        assert (tmp_path / "killed" / PARTIAL).exists()
        predict(workspace, images, tmp_path / "killed")
    assert names(tmp_path / "killed") == names(tmp_path / "whole")
    for name in names(tmp_path / "whole"):
        whole, killed = (tmp_path / folder / name for folder in ("whole", "killed"))
        assert whole.read_bytes() == killed.read_bytes(), name


def noted(output: Path) -> list[str]:
    """Return the cases that the record of an unfinished run holds."""
    lines = (output / PARTIAL).read_text().splitlines()[1:]
    return [json.loads(line)["case"] for line in lines]


def test_a_case_is_written_and_noted_while_the_next_one_is_in_the_networks(
    workspace, images, tmp_path, monkeypatch
):
    from autoseg.inference.array_predictor import ArrayPredictor

    score, seen = ArrayPredictor.__call__, []

    def patient(self, array):
        done = [f"case_{n}" for n in range(len(seen))]
        deadline = time.monotonic() + 20
        while noted(tmp_path / "out") != done and time.monotonic() < deadline:
            time.sleep(0.01)
        seen.append(noted(tmp_path / "out") == done)
        return score(self, array)

    monkeypatch.setattr(ArrayPredictor, "__call__", patient)
    predict(workspace, images, tmp_path / "out")
    assert seen == [True, True, True]


def test_where_the_time_went_is_told_at_the_end(workspace, images, tmp_path, caplog):
    caplog.set_level("INFO", "autoseg")
    predict(workspace, images, tmp_path / "out")
    (line,) = [r.getMessage() for r in caplog.records if "reading and preparing" in r.getMessage()]
    number = r"[\d.e-]+ s"
    steps = (
        f"{number} reading and preparing, {number} in networks, {number} decoding, {number} writing"
    )
    assert re.fullmatch(f"{steps}; networks waited {number} for scans and files", line)


def test_what_was_localised_is_told_and_noted_on_the_scans_own_grid(
    workspace, tmp_path, caplog, monkeypatch
):
    from autoseg.inference import localise

    caplog.set_level("INFO", "autoseg")
    grid = Geometry((40, 60, 70), (1.0, 0.5, 1.0))
    for name in ("large", "other"):
        write_scan(tmp_path / "images" / f"{name}.nii.gz", 1, grid)
    write_scan(tmp_path / "images" / "small.nii.gz")
    # Prepared at 1 mm: 40x30x70 voxels; a patch is 16x24x16. Rows 0 to 48 are made from 0 to 23.
    found = iter([((20, 22), (10, 14), (50, 60)), localise.NOWHERE])
    monkeypatch.setattr(localise, "_first_look", lambda *_: next(found))
    out = tmp_path / "out"
    manifest = predict(workspace, tmp_path / "images", out, speed="localise",
                       settings=["margin_mm=3"])  # fmt: skip
    assert "large: predicted in 16x49x16 of 40x60x70 voxels" in caplog.text
    assert "other: nothing found at first sight, so all of it is predicted" in caplog.text
    cases = manifest["cases"]
    assert cases == json.loads((out / FINAL).read_text())["cases"]
    assert cases["large"]["searched"] == [[[13, 29], [0, 49], [47, 63]]]
    assert "searched" not in cases["other"]
    assert "searched" not in cases["small"]
    assert manifest["settings"]["margin_mm"] == 3
    label_map = read_labels(out / "large.nii.gz").array[0]
    assert label_map[13:29, :49, 47:63].any()
    label_map[13:29, :49, 47:63] = 0
    assert not label_map.any()


def test_a_damaged_or_outdated_result_is_made_again(workspace, images, tmp_path):
    out = tmp_path / "out"
    (images / "case_2.nii.gz").write_bytes(b"broken")
    with pytest.raises(PartlyDone):
        predict(workspace, images, out)
    good = (out / "case_0.nii.gz").read_bytes()
    (out / "case_0.nii.gz").write_bytes(good[:40])  # cut by a full disk
    write_scan(images / "case_1.nii.gz", 77)  # another scan under the old name
    old = (out / "case_1.nii.gz").read_bytes()
    with (out / PARTIAL).open("a") as stream:
        stream.write('{"case": "case_2", "fi')  # killed while writing
    write_scan(images / "case_2.nii.gz", 2)
    predict(workspace, images, out)
    assert (out / "case_0.nii.gz").read_bytes() == good
    assert (out / "case_1.nii.gz").read_bytes() != old
    assert names(out) == [f"case_{n}.nii.gz" for n in range(3)] + [FINAL]


def test_an_unfinished_run_of_other_settings_is_not_continued(workspace, images, tmp_path):
    (images / "case_2.nii.gz").write_bytes(b"broken")
    with pytest.raises(PartlyDone):
        predict(workspace, images, tmp_path / "out")
    with pytest.raises(UsageError, match="other models or settings"):
        predict(workspace, images, tmp_path / "out", speed="fast")


def test_a_signal_drops_the_running_case_and_the_same_command_continues(
    workspace, images, tmp_path, monkeypatch
):
    from autoseg.inference.array_predictor import ArrayPredictor

    predict(workspace, images, tmp_path / "whole")
    score, calls = ArrayPredictor.__call__, []

    def stopped(self, array):
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return score(self, array)

    with monkeypatch.context() as patch:
        patch.setattr(ArrayPredictor, "__call__", stopped)
        with pytest.raises(Stopped, match=r"SIGTERM, 1 of 3 cases.*run the same command") as caught:
            predict(workspace, images, tmp_path / "out")
    assert caught.value.exit_code == 75
    assert names(tmp_path / "out") == ["case_0.nii.gz", PARTIAL]
    predict(workspace, images, tmp_path / "out")
    for name in names(tmp_path / "whole"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_precision_is_float32_unless_another_is_named(workspace, images, tmp_path):
    manifest = predict(workspace, images, tmp_path / "full")
    assert manifest["settings"]["precision"] == "float32"
    manifest = predict(workspace, images, tmp_path / "low", settings=["precision=bfloat16"])
    assert manifest["settings"]["precision"] == "bfloat16"
    with pytest.raises(UsageError, match=r"unknown precision 'auto' -> known names: bfloat16"):
        predict(workspace, images, tmp_path / "auto", settings=["precision=auto"])


def test_wrong_channel_counts_inside_files_fail_their_case(workspace, images, tmp_path):
    array = np.ones((2, 8, 8, 8), dtype=np.float32)
    write_image(images / "two.nii.gz", Image(array, Geometry((8, 8, 8))))
    with pytest.raises((DataError, PartlyDone), match="two"):
        predict(workspace, images, tmp_path / "out")


def test_a_case_for_which_there_is_no_memory_does_not_stop_the_others(
    workspace, images, tmp_path, monkeypatch
):
    from autoseg.workflows import predict_engine

    write_scan(images / "case_1.nii.gz", 1, Geometry((40, 60, 60)))
    monkeypatch.setattr(predict_engine, "memory_bytes", lambda: 500_000)
    with pytest.raises(PartlyDone, match="1 of 3 cases failed: case_1"):
        predict(workspace, images, tmp_path / "out")
    why = json.loads((tmp_path / "out" / FAILED).read_text())["case_1"]
    assert "case_1: scores of 40x60x60 voxels take 0.00173 GB, and there are 0.0005 GB" in why
    # Alone, it is the command's own failure.
    with pytest.raises(ResourceError, match=r"there are 0\.0005 GB -> fewer models"):
        predict(workspace, images / "case_1.nii.gz", tmp_path / "seg.nii.gz")


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_memory_that_ends_on_the_way_is_called_so(workspace, images, tmp_path, monkeypatch, error):
    from autoseg.workflows import predict_cases

    def failing(*_):
        raise error

    monkeypatch.setattr(predict_cases, "decode_mean", failing)
    with pytest.raises(PartlyDone):
        predict(workspace, images, tmp_path / "out")
    why = json.loads((tmp_path / "out" / FAILED).read_text())
    assert why["case_0"].startswith("case_0: out of memory while predicting this case -> fewer")


def test_a_full_disk_stops_the_run(workspace, images, tmp_path, monkeypatch):
    from autoseg.workflows import predict_cases

    def full(*_, **__):
        raise ResourceError("the disk is full") from OSError(28, "No space left on device")

    monkeypatch.setattr(predict_cases, "write_labels", full)
    with pytest.raises(ResourceError, match="the disk is full"):
        predict(workspace, images, tmp_path / "out")
