"""One page of everything that exists so far."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from autoseg.errors import Problem, UsageError
from autoseg.evaluation.tables import read_summary
from autoseg.files import write_json
from autoseg.workflows.crossvalidate import evaluate_crossvalidation
from autoseg.workflows.report import report
from autoseg.workspace import Workspace
from tests.workflows.prepared import make_workspace
from tests.workflows.test_crossvalidate import A, validate


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Two folds validated: in half of the cases one half of the core is missed."""
    workspace = make_workspace(tmp_path, cases=10)
    validate(workspace, A, {f"ball_{n}": 0 for n in range(0, 10, 2)})
    evaluate_crossvalidation(workspace)
    return workspace


def test_the_numbers_of_the_page_are_those_of_the_summary(workspace):
    page = report(workspace, "BALLS").read_text(encoding="utf-8")
    summary = read_summary(
        workspace.models("BALLS") / A / "run" / "crossvalidation" / "summary.json"
    )
    for target, means in summary.mean.items():
        row = re.search(f"<tr><td>{target}</td>.*?</tr>", page)[0]
        assert f"<td>{means['dice'].n}</td><td>{means['dice'].mean:.4f}</td>" in row
        assert f"<td>{means['hd95'].mean:.2f}</td>" in row


def test_nothing_in_the_page_is_fetched_from_elsewhere(workspace):
    page = report(workspace, "BALLS").read_text(encoding="utf-8")
    assert not re.search(
        r"(?:src|href)=\"(?!data:|#)|url\(|@import|<script[^>]+src|https?://", page
    )


def test_an_earlier_report_is_replaced_and_another_file_is_not(workspace, tmp_path):
    path = report(workspace, "BALLS")
    assert path == workspace.models("BALLS") / "report.html"
    assert report(workspace, "BALLS") == path
    foreign = tmp_path / "thesis.html"
    foreign.write_text("mine")
    with pytest.raises(UsageError, match="is there and no report"):
        report(workspace, "BALLS", output=foreign)
    assert foreign.read_text() == "mine"
    assert "<table>" in report(workspace, "BALLS", output=foreign, overwrite=True).read_text()


def test_before_any_training_the_page_lies_with_the_prepared_data(tmp_path):
    workspace = make_workspace(tmp_path)
    path = report(workspace)
    assert path == workspace.prepared("BALLS") / "report.html"
    assert "run autoseg_train" in path.read_text(encoding="utf-8")


def test_an_anonymous_page_holds_no_case_patient_or_path(workspace, tmp_path):
    warned = Problem(str(tmp_path / "ball_3.nii.gz"), "a spacing of its own")
    write_json(
        workspace.prepared("BALLS") / "check.json",
        {"cases": 10, "problems": [], "warnings": [warned]},
    )
    known = report(workspace, "BALLS").read_text(encoding="utf-8")
    assert "ball_3" in known
    assert "a spacing of its own" in known
    page = report(workspace, "BALLS", anonymous=True).read_text(encoding="utf-8")
    assert "ball_" not in page
    assert str(tmp_path) not in page
    assert ".nii" not in page
    assert "1 warning in 10 cases." in page
    assert page.count("data:image/png") == known.count("data:image/png") > 0
    assert re.search(r"case \d+", page)
