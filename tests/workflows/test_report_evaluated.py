"""`autoseg report --evaluated`: two folders as a page."""

from __future__ import annotations

import re

import pytest

from autoseg.cli import main
from autoseg.errors import UsageError
from autoseg.evaluation.tables import read_summary
from autoseg.workflows.report_evaluated import report_evaluated
from tests.workflows.prepared import make_workspace
from tests.workflows.test_crossvalidate import A, validate


@pytest.fixture
def folder(tmp_path):
    """Label maps with their scores; in one case one half of the core is missed."""
    workspace = make_workspace(tmp_path, cases=10)
    validate(workspace, A, {f"ball_{n}": 0 for n in range(0, 10, 2)})
    return workspace.models("BALLS") / A / "run" / "fold_0" / "validation"


def test_an_evaluated_folder_has_its_results_and_cases(folder, capsys):
    assert main(["report", "--evaluated", str(folder)]) == 0
    said = capsys.readouterr().out
    assert re.fullmatch(rf"{re.escape(str(folder / 'report.html'))} \([1-9]\d* kB\)\n", said)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert re.findall("<h2>(.*?)</h2>", page) == ["Results", "Cases"]
    summary = read_summary(folder / "summary.json")
    row = re.search("<tr><td>core</td>.*?</tr>", page)[0]
    assert f"<td>{summary.mean['core']['dice'].mean:.4f}</td>" in row
    assert summary.cases[0].case in page
    hidden = report_evaluated(folder, anonymous=True)
    assert hidden.name == "report-anonymous.html"
    assert not re.search("ball_|validation<", hidden.read_text(encoding="utf-8"))


def test_a_folder_without_scores_and_another_file_are_refused(folder, tmp_path):
    with pytest.raises(UsageError, match=r"holds no summary.json -> run autoseg_evaluate"):
        report_evaluated(tmp_path)
    (folder / "mine.html").write_text("mine")
    with pytest.raises(UsageError, match="is there and no report"):
        report_evaluated(folder, output=folder / "mine.html")
    assert main(["report", "--evaluated", str(folder), "--curves"]) == 2
