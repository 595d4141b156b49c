"""The verb check: one report for everything, written beside what is prepared."""

import json

import numpy as np
import pytest

from autoseg.dataset import load_dataset
from autoseg.errors import UsageError
from autoseg.image import Geometry, Image
from autoseg.io import write_image, write_labels
from autoseg.workflows.check import check, inspect
from autoseg.workspace import Workspace

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
    declared = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}}
    (raw / "dataset.json").write_text(json.dumps(declared))
    return Workspace(tmp_path)


def test_good_data_have_an_empty_report(workspace):
    assert check(workspace, "D") == ((), ())
    text = json.loads((workspace.prepared("D") / "check.json").read_text())
    assert text == {"dataset": "D", "cases": 3, "problems": [], "warnings": []}


def test_names_and_contents_are_reported_together(workspace):
    raw = workspace.raw("D")
    (raw / "labelsTr" / "c0.mha").unlink()
    (raw / "imagesTr" / "c1.mha").write_bytes(b"")
    problems, _ = check(workspace)
    assert [problem.place for problem in problems] == ["imagesTr/c0.mha", "imagesTr/c1.mha"]
    text = json.loads((workspace.prepared("D") / "check.json").read_text())
    assert text["problems"][0]["found"] == "has no labels"
    assert sorted(path.name for path in raw.iterdir()) == ["dataset.json", "imagesTr", "labelsTr"]


def test_workers_report_the_same(workspace):
    (workspace.raw("D") / "imagesTr" / "c1.mha").write_bytes(b"")
    assert check(workspace, "D", workers=2) == check(workspace, "D")


def test_an_unusable_declaration_is_a_report_too(workspace):
    (workspace.raw("D") / "dataset.json").write_text('{"labels": {"liver": 1}}')
    problems, _ = check(workspace, "D")
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
    problems, _ = check(workspace)
    assert [(problem.place, problem.found.split(" in ")[0]) for problem in problems] == [
        ("imagesTr/c0.mha", "has no labels"),
        ("labelsTr/c1.mha", "labels without an image"),
        ("imagesTr/c0.mha", "is empty (0 bytes)"),
        ("labelsTr/c1.mha", "label value 7"),
    ]
