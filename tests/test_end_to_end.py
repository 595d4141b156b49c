"""The whole pipeline as a user types it, on phantom CTs small enough for a minute."""

import json

import numpy as np
import pytest

from autoseg.cli import main
from autoseg.io import read_labels
from tests.synthetic import make_workspace, write_unseen

QUICK = ["--size", "S", "--budget", "2epochs", "--set", "steps_per_epoch=5", "batch_size=2"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A workspace with five phantoms planned and fold 0 trained for ten steps, and unseen ones."""
    root = tmp_path_factory.mktemp("workspace")
    make_workspace(root)
    write_unseen(root / "unseen")
    assert run("plan", root) == 0
    assert run("train", root, "3d_fullres", "0", *QUICK, "--device", "cpu") == 0
    return root


def run(verb, root, *words):
    return main([verb, *words, "-w", str(root)])


def test_training_leaves_a_bundle_and_the_scores_of_its_fold(trained):
    model = trained / "models" / "PHANTOM" / "3d_fullres-S"
    assert (model / "bundle" / "fold_0" / "weights.safetensors").exists()
    summary = json.loads((model / "run" / "fold_0" / "validation" / "summary.json").read_text())
    assert [case["case"] for case in summary["metric_per_case"]] == ["phantom_00"]


def test_a_prediction_lies_on_the_grid_of_its_image(trained):
    output = trained / "pred"
    assert run("predict", trained, "-i", str(trained / "unseen/images"), "-o", str(output)) == 0
    for path in sorted((trained / "unseen/labels").iterdir()):
        reference, prediction = read_labels(path), read_labels(output / path.name)
        assert prediction.geometry == reference.geometry
        assert set(np.unique(prediction.array)) <= {0, 1, 2, 3}


def test_predictions_are_scored_against_their_references(trained, capsys):
    output = trained / "pred_scored"
    assert run("predict", trained, "-i", str(trained / "unseen/images"), "-o", str(output)) == 0
    capsys.readouterr()
    words = ["-p", str(output), "-g", str(trained / "unseen/labels")]
    assert run("evaluate", trained, *words) == 0
    assert "dice" in capsys.readouterr().out.lower()
    assert (output / "summary.json").exists()
    assert (output / "metrics.csv").read_text().startswith("case,target,metric,value,status")


def test_a_label_map_scored_against_itself_is_perfect(trained, tmp_path):
    labels = str(trained / "unseen/labels")
    assert run("evaluate", trained, "-p", labels, "-g", labels, "-o", str(tmp_path)) == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["foreground_mean"]["dice"]["mean"] == 1.0
    assert summary["foreground_mean"]["hd95"]["mean"] == 0.0


def test_one_fold_is_enough_for_the_cross_validation_so_far(trained, capsys):
    assert run("evaluate", trained) == 0
    assert "1 of 5 folds" in capsys.readouterr().out


def test_planning_again_does_nothing(trained):
    prepared = trained / "prepared" / "PHANTOM"
    before = {p: p.stat().st_mtime_ns for p in prepared.rglob("*.npz")}
    assert before
    assert run("plan", trained) == 0
    assert {p: p.stat().st_mtime_ns for p in prepared.rglob("*.npz")} == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "3d_fulres", "0"], "did you mean '3d_fullres'?"),
        (["train", "3d_fullres", "7"], "fold"),
        (["train", "3d_fullres", "0", "--size", "XXS"], "size 'XXS' is not planned"),
        (["train", "3d_fullres", "0", "--set", "epohcs=3"], "did you mean 'epochs'?"),
        (["train", "3d_fullres", "1", "--budget", "soon"], "budget"),
        (["predict", "-i", "nowhere", "-o", "out"], "nowhere"),
        (["evaluate", "-p", "nowhere"], "-g"),
    ],
)
def test_a_mistake_after_planning_exits_2(trained, words, message, capsys):
    assert run(words[0], trained, *words[1:]) == 2
    last = capsys.readouterr().err.rstrip("\n").split("\n")[-1]
    assert last.startswith("autoseg: error: ")
    assert message in last


def test_a_finished_fold_is_not_trained_again_unless_asked(trained, capsys):
    assert run("train", trained, "3d_fullres", "0", *QUICK, "--device", "cpu") == 2
    assert "--overwrite" in capsys.readouterr().err


def test_a_damaged_image_stops_planning_with_its_name(tmp_path, capsys):
    workspace = make_workspace(tmp_path, cases=2)
    path = workspace.raw("PHANTOM") / "imagesTr" / "phantom_01.nii.gz"
    path.write_bytes(path.read_bytes()[:500])
    assert run("plan", tmp_path) == 3
    assert "phantom_01" in capsys.readouterr().err
