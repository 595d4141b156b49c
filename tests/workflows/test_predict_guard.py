"""Scans unlike the training data: warned about in the log and the manifest, refused if asked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoseg import Predictor
from autoseg.cli import main_predict
from autoseg.errors import DataError
from autoseg.image import Geometry, Image
from autoseg.io import write_image
from autoseg.label_table import TABLES
from autoseg.preprocessing.traits import traits_of
from autoseg.usual import Sections, usual
from autoseg.workflows.predict import predict
from autoseg.workflows.predict_guard import Unlike
from autoseg.workflows.predict_record import FAILED, FINAL, PARTIAL
from autoseg.workspace import Workspace
from tests.inference.conftest import make_bundle, make_plan

SHAPE = (14, 20, 18)


def scan(seed: int = 0, spacing: float = 1.0) -> Image:
    array = np.random.default_rng(seed).normal(100, 20, (1, *SHAPE)).astype(np.float32)
    return Image(array, Geometry(SHAPE, (spacing,) * 3))


def model(folder: Path, cut: float = 400.0) -> Path:
    """Write a bundle of a model that learnt from such scans; faces cut so much of its targets."""
    known = usual(
        [traits_of(scan(seed)) for seed in range(10, 20)],
        [dict.fromkeys(("anterior", "posterior"), Sections((200.0,) * 3, (cut,) * 6, (cut,) * 6))],
    )
    return make_bundle(folder, plan=replace(make_plan(), usual=known))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for number, spacing in enumerate((1.0, 0.1, 1.0)):
        write_image(tmp_path / "images" / f"case_{number}.nii.gz", scan(number, spacing))
    return tmp_path / "images"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "work")
    model(workspace.bundle("TOY", "3d_fullres", "S"))
    return workspace


def names(folder: Path) -> list[str]:
    """What lies there, besides hidden files and the tables of names and colours."""
    there = (path.name for path in folder.iterdir() if path.name not in TABLES)
    return sorted(name for name in there if not name.startswith("."))


def test_a_warning_says_which_case_and_why_and_stands_in_the_manifest(
    workspace, images, tmp_path, caplog
):
    cases = predict(workspace, images, tmp_path / "out")["cases"]
    assert ["warnings" in cases[f"case_{n}"] for n in range(3)] == [False, True, False]
    (told,) = cases["case_1"]["warnings"]
    assert told == "spacing: voxels of 0.1x0.1x0.1 mm, in training 1x1x1 mm: in cm?"
    assert f"case_1: {told}" in caplog.text
    assert json.loads((tmp_path / "out" / FINAL).read_text())["cases"] == cases


def test_strict_refuses_these_predicts_the_others_and_exits_3(workspace, images, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(DataError) as caught:
        predict(workspace, images, out, strict=True)
    assert caught.value.exit_code == 3
    assert str(caught.value).splitlines() == [
        "case_1: spacing: voxels of 0.1x0.1x0.1 mm, in training 1x1x1 mm: in cm?",
        f"{out}: 1 of 3 cases are unlike the training data and were refused -> correct them; "
        "without --strict the same command predicts them with a warning",
    ]
    assert names(out) == [
        "case_0.nii.gz",
        "case_2.nii.gz",
        FAILED,
        FINAL,
        PARTIAL,
    ]
    assert "in cm?" in json.loads((out / FAILED).read_text())["case_1"]
    # Without --strict the same command goes on.
    manifest = predict(workspace, images, out)
    assert list(manifest["cases"]) == ["case_0", "case_1", "case_2"]
    assert names(out) == ["case_0.nii.gz", "case_1.nii.gz", "case_2.nii.gz", FINAL]


def test_refused_before_any_network_sees_it(workspace, images, tmp_path, monkeypatch):
    seen = []
    from autoseg.workflows import predict_cases

    run = predict_cases.run_stages
    monkeypatch.setattr(
        predict_cases, "run_stages", lambda *given: seen.append(given) or run(*given)
    )
    with pytest.raises(DataError):
        predict(workspace, images, tmp_path / "out", strict=True)
    assert len(seen) == 2


def test_a_bad_file_beside_a_refused_case_is_told_too(workspace, images, tmp_path):
    (images / "case_2.nii.gz").write_bytes((images / "case_2.nii.gz").read_bytes()[:300])
    with pytest.raises(DataError, match=r"1 of 3 cases .* refused; 1 more failed, see failed.json"):
        predict(workspace, images, tmp_path / "out", strict=True)
    assert sorted(json.loads((tmp_path / "out" / FAILED).read_text())) == ["case_1", "case_2"]


def test_what_got_a_warning_is_refused_when_an_unfinished_run_goes_on_with_strict(
    workspace, images, tmp_path
):
    whole = (images / "case_2.nii.gz").read_bytes()
    (images / "case_2.nii.gz").write_bytes(whole[:300])  # so the run stays open
    with pytest.raises(Exception, match="case_2"):
        predict(workspace, images, tmp_path / "out")
    assert (tmp_path / "out" / "case_1.nii.gz").exists()
    (images / "case_2.nii.gz").write_bytes(whole)
    with pytest.raises(DataError, match="1 of 3 cases are unlike"):
        predict(workspace, images, tmp_path / "out", strict=True)
    assert not (tmp_path / "out" / "case_1.nii.gz").exists()
    assert (tmp_path / "out" / "case_2.nii.gz").exists()


def test_one_scan_is_refused_with_its_sentence(workspace, images, tmp_path, capsys):
    out = tmp_path / "seg.nii.gz"
    words = ["-w", str(workspace.root), "-i", str(images / "case_1.nii.gz"), "-o", str(out)]
    assert main_predict([*words, "--strict"]) == 3
    assert "case_1: spacing: voxels of 0.1x0.1x0.1 mm" in capsys.readouterr().err
    assert not out.exists()
    assert main_predict(words) == 0


def test_parts_name_their_own_refused_cases(workspace, images, tmp_path):
    out = tmp_path / "out"
    predict(workspace, images, out, parts=2, part=0, strict=True)
    with pytest.raises(DataError, match="1 of 1 cases are unlike"):
        predict(workspace, images, out, parts=2, part=1, strict=True)
    predict(workspace, images, out, parts=2, part=1)
    assert "warnings" in json.loads((out / FINAL).read_text())["cases"]["case_1"]


def test_a_target_that_touches_a_face_is_told_after_prediction(images, tmp_path):
    bundle = model(tmp_path / "bundle", cut=0.0)  # random weights: targets everywhere
    cases = predict(Workspace(tmp_path), images, tmp_path / "out", bundles=[bundle])["cases"]
    (told,) = cases["case_0"]["warnings"]
    assert told.startswith("field of view: ")
    assert "of its usual section there, in training at most 0%" in told
    with pytest.raises(DataError, match="3 of 3 cases"):
        predict(
            Workspace(tmp_path), images, tmp_path / "none", bundles=[bundle],
            strict=True, save_probabilities=True,
        )  # fmt: skip
    assert names(tmp_path / "none") == [FAILED, FINAL, PARTIAL]


def test_one_scan_that_is_refused_after_prediction_leaves_nothing(images, tmp_path):
    bundle, out = model(tmp_path / "bundle", cut=0.0), tmp_path / "out"
    out.mkdir()
    with pytest.raises(Unlike, match="field of view"):
        predict(Workspace(tmp_path), images / "case_0.nii.gz", out / "seg.nii.gz",
                bundles=[bundle], strict=True, save_probabilities=True)  # fmt: skip
    assert names(out) == []


def test_a_budget_knows_warnings_too(workspace, images, tmp_path):
    cases = predict(workspace, images, tmp_path / "out", budget="60s")["cases"]
    assert "in cm?" in cases["case_1"]["warnings"][0]


def test_a_model_that_knows_no_ranges_says_so_once(images, tmp_path, caplog):
    caplog.set_level("INFO", "autoseg")
    bundle = make_bundle(tmp_path / "bundle")
    cases = predict(Workspace(tmp_path), images, tmp_path / "out", bundles=[bundle])["cases"]
    assert not any("warnings" in case for case in cases.values())
    assert caplog.text.count("the model does not say what its training scans look like") == 1


def test_the_predictor_warns_in_the_log(tmp_path, caplog):
    predictor = Predictor(model(tmp_path / "bundle"))
    predictor(scan().array, (1.0, 1.0, 1.0))
    assert caplog.text == ""
    predictor(scan().array, (0.1, 0.1, 0.1))
    predictor.probabilities(scan().array, (0.1, 0.1, 0.1))
    assert caplog.text.count("spacing: voxels of 0.1x0.1x0.1 mm") == 2
