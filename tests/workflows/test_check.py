"""The verb check: one report for everything, written beside what is prepared."""

import json

import numpy as np
import pytest

from autoseg.cli import main
from autoseg.dataset import load_dataset
from autoseg.errors import UsageError
from autoseg.image import Geometry, Image
from autoseg.io import read_image, read_labels, write_image, write_labels
from autoseg.planning.folds import Fold, save_folds
from autoseg.workflows import check as module
from autoseg.workflows.check import check, inspect
from autoseg.workspace import Workspace
from tests.synthetic import DATASET, make_workspace

GRID = Geometry((3, 4, 5))


@pytest.fixture
def workspace(tmp_path):
    raw = tmp_path / "raw" / "D"
    rng = np.random.default_rng(0)
    for number in range(3):
        image = Image(rng.integers(0, 99, (1, 3, 4, 5)).astype(np.int16), GRID)
        write_image(raw / "imagesTr" / f"c{number}.mha", image)
        label_map = rng.integers(0, 2, (3, 4, 5)).astype(np.uint8)
        write_labels(raw / "labelsTr" / f"c{number}.mha", label_map, GRID)
    declared = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "liver": 1}}
    (raw / "dataset.json").write_text(json.dumps(declared))
    return Workspace(tmp_path)


def test_good_data_have_an_empty_report(workspace):
    report = check(workspace, "D")
    assert report.problems == report.warnings == ()
    text = json.loads((workspace.prepared("D") / "check.json").read_text())
    assert text == {
        "dataset": "D", "cases": 3, "problems": [], "warnings": [], "missing": {}, "placements": [],
        "agreements": [], "not_judged": ["liver"],
    }  # fmt: skip


def test_names_and_contents_are_reported_together(workspace):
    raw = workspace.raw("D")
    (raw / "labelsTr" / "c0.mha").unlink()
    (raw / "imagesTr" / "c1.mha").write_bytes(b"")
    problems = check(workspace).problems
    assert [problem.place for problem in problems] == ["imagesTr/c0.mha", "imagesTr/c1.mha"]
    text = json.loads((workspace.prepared("D") / "check.json").read_text())
    assert text["problems"][0]["found"] == "has no labels"
    assert sorted(path.name for path in raw.iterdir()) == ["dataset.json", "imagesTr", "labelsTr"]


def test_a_patient_on_both_sides_of_folds_of_ones_own_is_told(workspace):
    raw, path = workspace.raw("D"), workspace.folds("D")
    declared = json.loads((raw / "dataset.json").read_text())
    declared["cases"] = {"c0": {"group": "anna"}, "c2": {"group": "anna"}}
    (raw / "dataset.json").write_text(json.dumps(declared))
    leak = "trains on 'c2' and validates on 'c0', both of group 'anna'"
    splits = raw / "splits_final.json"
    splits.write_text(json.dumps([{"train": ["c1", "c2"], "val": ["c0"]}]))
    assert [str(p) for p in check(workspace, "D").problems] == [
        f"splits_final.json, fold 0: {leak}"
    ]
    splits.unlink()
    save_folds(path, [Fold(("c1",), ("c0", "c2"))])
    assert check(workspace, "D").problems == ()
    edited = json.loads(path.read_text())
    edited["folds"] = [{"train": ["c1", "c2"], "validation": ["c0"]}]
    path.write_text(json.dumps(edited))
    assert [str(p) for p in check(workspace, "D").problems] == [f"folds.json, fold 0: {leak}"]
    edited["folds"][0]["train"] = ["c1", "gone"]  # planning makes new ones when the data changed
    path.write_text(json.dumps(edited))
    assert check(workspace, "D").problems == ()


def test_a_scan_that_was_imported_twice_under_two_names_is_told(workspace):
    """A11: turned and mirrored, as another program may have stored it."""
    raw = workspace.raw("D")
    scan = read_image(raw / "imagesTr" / "c1.mha").array
    turned = np.flip(scan.transpose(0, 3, 1, 2), 2).astype(np.float32)
    grid = Geometry(turned.shape[1:])
    write_image(raw / "imagesTr" / "kits_7.mha", Image(turned, grid))
    write_labels(raw / "labelsTr" / "kits_7.mha", (turned[0] > 50).astype(np.uint8), grid)
    told = (
        "imagesTr/kits_7.mha: the same voxels, turned or mirrored, as imagesTr/c1.mha, expected "
        "different scans -> remove one, or give both the same group under cases in dataset.json"
    )
    assert [str(problem) for problem in check(workspace, "D").problems] == [told]
    declared = json.loads((raw / "dataset.json").read_text())
    declared["cases"] = {"c1": {"group": "anna"}, "kits_7": {"group": "anna"}}
    (raw / "dataset.json").write_text(json.dumps(declared))
    report = check(workspace, "D")
    assert report.problems == ()
    assert [str(warning) for warning in report.warnings] == [told]


def test_workers_report_the_same(workspace):
    (workspace.raw("D") / "imagesTr" / "c1.mha").write_bytes(b"")
    assert check(workspace, "D", workers=2) == check(workspace, "D")


def test_an_unusable_declaration_is_a_report_too(workspace):
    (workspace.raw("D") / "dataset.json").write_text('{"labels": {"liver": 1}}')
    problems = check(workspace, "D").problems
    assert len(problems) == 2


def test_an_unknown_dataset_is_a_mistake_of_the_command(workspace):
    with pytest.raises(UsageError, match="unknown dataset 'E'"):
        check(workspace, "E")


def test_each_case_is_inspected_in_order(workspace):
    cases = [one.case.id for one in inspect(load_dataset(workspace.raw("D")))]
    assert cases == ["c0", "c1", "c2"]


def test_files_of_incomplete_cases_are_read_too(workspace):
    raw = workspace.raw("D")
    (raw / "labelsTr" / "c0.mha").unlink()
    (raw / "imagesTr" / "c0.mha").write_bytes(b"")
    (raw / "imagesTr" / "c1.mha").unlink()
    write_labels(raw / "labelsTr" / "c1.mha", np.full((3, 4, 5), 7, np.uint8), GRID)
    problems = check(workspace).problems
    assert [(problem.place, problem.found.split(" in ")[0]) for problem in problems] == [
        ("imagesTr/c0.mha", "has no labels"),
        ("labelsTr/c1.mha", "labels without an image"),
        ("imagesTr/c0.mha", "is empty (0 bytes)"),
        ("labelsTr/c1.mha", "label value 7"),
    ]


def move_labels(workspace, target, by, cases=None):
    """Move one target away, as if somebody had turned a knob: headers stay as they are."""
    dataset = load_dataset(workspace.raw(DATASET))
    (value,) = dataset.labels.targets[target]
    for case in dataset.cases[:cases]:
        read = read_labels(case.labels)
        label_map = read.array[0]
        mask = label_map == value
        label_map[mask] = 0
        label_map[np.roll(mask, by, (0, 1, 2))] = value
        write_labels(case.labels, label_map, read.geometry)


def test_a_label_that_was_moved_from_its_organ_is_a_warning_with_a_picture(tmp_path, capsys):
    """A06: all headers agree, and every case was moved in the same way."""
    workspace = make_workspace(tmp_path, cases=4)
    words = ["check", "-w", str(tmp_path), "-d", DATASET]
    assert main(words) == 0
    assert "4 cases, 0 errors, 0 warnings" in capsys.readouterr().out
    move_labels(workspace, "liver", (0, 7, 9))
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    picture = workspace.prepared(DATASET) / "check" / "liver.png"
    assert len(lines) == 2
    assert lines[0].startswith("labelsTr: class liver: coherence rank ")
    assert "(median over 4 cases)" in lines[0]
    assert lines[0].endswith(f"was it moved away from its organ? see {picture}")
    assert lines[1] == "4 cases, 0 errors, 1 warning"
    assert picture.read_bytes().startswith(b"\x89PNG")
    text = json.loads((workspace.prepared(DATASET) / "check.json").read_text())
    assert {one["target"]: one["misplaced"] for one in text["placements"]}["liver"]
    move_labels(workspace, "liver", (0, -7, -9))
    check(workspace, DATASET)
    assert not picture.exists()


def test_labels_of_so_many_cases_are_held_to_their_images(tmp_path, monkeypatch):
    workspace = make_workspace(tmp_path, cases=5)
    monkeypatch.setattr(module, "HELD_TO_IMAGES", 2)
    dataset = load_dataset(workspace.raw(DATASET))
    assert [bool(one.coherence) for one in inspect(dataset)] == [True, False, False, True, False]


def test_what_cannot_be_judged_is_told(tmp_path, capsys):
    workspace = make_workspace(tmp_path, cases=2)
    for case in load_dataset(workspace.raw(DATASET)).cases:
        read = read_labels(case.labels)
        label_map = read.array[0]
        spleen = np.flatnonzero(label_map == 2)
        label_map.flat[spleen[50:]] = 0
        write_labels(case.labels, label_map, read.geometry)
    assert main(["check", "-w", str(tmp_path)]) == 0
    told = capsys.readouterr().err
    assert "labels held to the images: 1 class judged, 2 not: spleen, lesion" in told
