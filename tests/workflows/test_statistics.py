"""The verb statistics: files that others read, nothing written when a case is wrong."""

import csv
import json

import numpy as np
import pytest

from autoseg.cli import main
from autoseg.errors import DataError, UsageError
from autoseg.files import read_json
from autoseg.io import read_image, read_labels
from autoseg.records import from_json
from autoseg.results import DatasetStatistics
from autoseg.workflows.statistics import statistics
from tests.synthetic import DATASET, make_workspace


@pytest.fixture
def workspace(tmp_path):
    return make_workspace(tmp_path, 3, (6, 12, 10))


def test_json_and_csv_hold_the_same_numbers(workspace):
    found = statistics(workspace)
    folder = workspace.prepared(DATASET)
    assert from_json(DatasetStatistics, read_json(folder / "statistics.json")) == found
    with (folder / "statistics.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 3 * 4  # the whole scan, and three targets
    case = found.cases[1]
    raw = workspace.raw(DATASET)
    image = read_image(raw / "imagesTr" / f"{case.case}.nii.gz").array[0]
    mask = read_labels(raw / "labelsTr" / f"{case.case}.nii.gz").array[0] == 1
    (row,) = [r for r in rows if (r["case"], r["target"]) == (case.case, "liver")]
    assert int(row["voxels"]) == mask.sum()
    assert float(row["p90"]) == pytest.approx(np.percentile(image[mask], 90))
    assert float(row["volume_ml"]) == pytest.approx(mask.sum() * 3 / 1000)
    assert (row["channel"], row["size_y"], row["spacing_z"]) == ("CT", "12", "3.0")


def test_again_and_in_processes_the_bytes_are_the_same(workspace, tmp_path):
    statistics(workspace)
    one = (workspace.prepared(DATASET) / "statistics.json").read_bytes()
    statistics(workspace, workers=2, output=tmp_path / "else where")
    assert (tmp_path / "else where" / "statistics.json").read_bytes() == one
    statistics(workspace)
    assert (workspace.prepared(DATASET) / "statistics.json").read_bytes() == one


def test_every_problem_is_listed_and_nothing_is_written(workspace):
    raw = workspace.raw(DATASET)
    images = sorted((raw / "imagesTr").iterdir())
    images[0].write_bytes(b"")
    images[2].write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(DataError) as error:
        statistics(workspace)
    assert [p.place for p in error.value.problems] == [f"imagesTr/{images[i].name}" for i in (0, 2)]
    assert str(error.value).endswith("PHANTOM: 2 problems, nothing was written")
    assert not workspace.prepared(DATASET).exists()


def test_statistics_of_another_dataset_are_not_replaced(workspace, tmp_path):
    (tmp_path / "statistics.json").write_text(json.dumps({"dataset": "OTHER"}))
    with pytest.raises(UsageError, match="holds the statistics of something else"):
        statistics(workspace, output=tmp_path)


def test_the_command_prints_a_table(workspace, tmp_path, capsys):
    assert main(["statistics", "-w", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "PHANTOM: 3 cases, median (least to most)"
    assert lines[1].split() == ["size", "(z,", "y,", "x)", "6", "x", "12", "x", "10", "voxels"]
    head = " ".join(lines[5].split())
    assert head == "target channel cases slices share volume ml mean p10 p90 min max"
    assert lines[6].split()[:3] == ["liver", "CT", "3/3"]
