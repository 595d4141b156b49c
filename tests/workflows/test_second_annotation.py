"""`autoseg check --second-annotation`: where two annotations differ shows which class is wrong."""

import json

import numpy as np
import pytest

from autoseg.cli import main
from autoseg.dataset import load_dataset
from autoseg.image import Geometry
from autoseg.importing.second import dice_of, sum_up
from autoseg.io import read_labels, write_labels
from autoseg.labels import Labels
from tests.synthetic import DATASET, make_workspace

LABELS = Labels({"organ": (1, 2), "tumour": (2,), "other": (3,)})


def test_dice_is_of_whole_targets_and_of_those_that_are_annotated():
    first = np.array([[[1, 1, 2, 0, 3, 0]]])
    second = np.array([[[1, 2, 2, 2, 0, 0]]])
    expected = {"organ": 2 * 3 / 7, "tumour": 2 * 1 / 4, "other": 0.0}
    assert dice_of(first, second, LABELS, LABELS.names) == expected
    assert dice_of(first, second, LABELS, ("tumour",)) == {"tumour": 0.5}
    assert dice_of(first * 0, second * 0, LABELS, LABELS.names) == {}


def test_targets_are_summed_up_over_the_cases_that_have_them():
    by_case = {"a": {"organ": 1.0, "tumour": 0.2}, "b": {"organ": 0.5}, "c": {"organ": 0.9}}
    organ, tumour = sum_up(LABELS, by_case)
    assert (organ.median, tumour.median) == (0.9, 0.2)
    assert str(organ) == (
        "class organ: Dice 0.90 with the second (median over 3 cases, lowest 0.50 in b)"
    )
    assert str(tumour) == "class tumour: Dice 0.20 with the second (1 case)"


@pytest.fixture
def workspace(tmp_path):
    """Two cases, of which one has a second annotation, a spleen that lies elsewhere in it."""
    workspace = make_workspace(tmp_path, cases=2)
    case = load_dataset(workspace.raw(DATASET)).cases[1]
    read = read_labels(case.labels)
    label_map = read.array[0].copy()
    mask = label_map == 2
    label_map[mask] = 0
    label_map[np.roll(mask, 12, 2)] = 2
    write_labels(tmp_path / "data" / case.id / "GT2.nii.gz", label_map, read.geometry)
    return workspace


def run(workspace, place):
    return main(["check", "-w", str(workspace.root), "-d", DATASET, "--second-annotation", place])


@pytest.mark.parametrize("place", ["GT2", "GT2.nii.gz", "{root}/data/{{case}}/GT2.nii.gz"])
def test_the_class_that_differs_is_told(workspace, capsys, place):
    """A07: only the heart of Patient_27 differs."""
    assert run(workspace, place.format(root=workspace.root)) == 0
    captured = capsys.readouterr()
    assert "second annotation of 1 of 2 cases" in captured.err
    lines = captured.out.splitlines()
    assert lines[0] == "class liver: Dice 1.00 with the second (1 case)"
    assert lines[1].startswith("class spleen: Dice 0.")
    warnings = [line for line in lines if line.startswith("second annotation: ")]
    assert warnings == [
        f"second annotation: {lines[1]}, expected at least 0.9 -> look at both: they differ in "
        "what is meant, or one was moved"
    ]
    text = json.loads((workspace.prepared(DATASET) / "check.json").read_text())
    assert text["agreements"][0] == {"target": "liver", "median": 1.0, "dice": {"phantom_01": 1.0}}


def test_a_name_is_looked_for_where_the_data_were_imported_from(
    workspace, capsys, tmp_path_factory
):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (workspace.root / "data").rename(elsewhere / "data")
    assert run(workspace, "GT2") == 2
    assert f"in such folders below {workspace.root}\n" in capsys.readouterr().err
    record = workspace.raw(DATASET) / "conversion.json"
    record.write_text(json.dumps({"source": str(elsewhere)}))
    assert run(workspace, "GT2") == 0
    assert "second annotation of 1 of 2 cases" in capsys.readouterr().err


def test_a_folder_of_label_maps_will_do(workspace, capsys):
    assert run(workspace, str(workspace.raw(DATASET) / "labelsTr")) == 0
    assert "class liver: Dice 1.00 with the second (median over 2 cases" in capsys.readouterr().out


def test_what_cannot_be_compared_is_a_problem(workspace, capsys):
    (path,) = (workspace.root / "data").glob("*/GT2.nii.gz")
    write_labels(path, np.zeros((3, 4, 5), np.uint8), Geometry((3, 4, 5)))
    assert run(workspace, "GT2") == 3
    assert f"{path}: shape 3x4x5, expected 12x40x40 as in phantom_01" in capsys.readouterr().err
    path.write_bytes(b"")
    assert run(workspace, "GT2") == 3
    assert f"{path}: is empty" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["GT3", "no/such/folder", "{root}/data"])
def test_a_place_without_any_is_refused(workspace, capsys, place):
    assert run(workspace, place.format(root=workspace.root)) == 2
    message = capsys.readouterr().err
    assert "no second annotation, expected" in message or "not found, expected" in message
