"""One page of everything that exists so far."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoseg.errors import Problem, UsageError
from autoseg.evaluation.summary import summarise
from autoseg.evaluation.tables import read_summary, write_summary
from autoseg.files import read_json, write_json
from autoseg.pictures import png_bytes
from autoseg.plan_file import load_plan, save_plan
from autoseg.records import from_json
from autoseg.report.html import data_uri
from autoseg.results import Choice
from autoseg.workflows.crossvalidate import evaluate_crossvalidation
from autoseg.workflows.report import report
from autoseg.workflows.statistics import statistics
from autoseg.workspace import Workspace
from tests.synthetic import make_workspace as make_phantoms
from tests.workflows.prepared import LABELS, make_workspace
from tests.workflows.test_crossvalidate import A, B, validate


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
    planned = list(load_plan(workspace.plan("BALLS")).configurations)
    first = "3d_fullres" if "3d_fullres" in planned else planned[0]
    page = path.read_text(encoding="utf-8")
    assert page.count(f"run autoseg_train {first} 0 -d BALLS.") == 3


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


def test_pictures_of_misplaced_targets_are_on_the_page(workspace):
    write_json(
        workspace.prepared("BALLS") / "check.json", {"cases": 10, "problems": [], "warnings": []}
    )
    assert "Seemingly" not in report(workspace, "BALLS").read_text(encoding="utf-8")
    path = workspace.prepared("BALLS") / "check" / "left%2Fright core.png"
    path.parent.mkdir()
    path.write_bytes(png_bytes(np.zeros((3, 3), np.uint8)))
    for anonymous in (False, True):
        page = report(workspace, "BALLS", anonymous=anonymous).read_text(encoding="utf-8")
        assert data_uri(path.read_bytes()) in page
        assert "<figcaption>left/right core</figcaption>" in page


def test_an_anonymous_page_does_not_replace_the_other(workspace):
    known = report(workspace, "BALLS")
    before = known.read_bytes()
    assert report(workspace, "BALLS", anonymous=True) == known.with_name("report-anonymous.html")
    assert known.read_bytes() == before


def test_patients_and_names_within_sentences_are_left_out(workspace):
    plan = load_plan(workspace.plan("BALLS"))
    told = "Scans of ball_1 (patient Meyer) in /data/meyer/ball_1.nii.gz are 3x1x1 mm."
    save_plan(workspace.plan("BALLS"), replace(plan, reasons=(told,)))
    for path in workspace.models("BALLS").rglob("summary.json"):
        summary = read_summary(path)
        cases = [replace(case, group="Meyer", tags=("ward 3",)) for case in summary.cases]
        write_summary(path.parent, replace(summary, cases=tuple(cases)))
    assert "Meyer" in report(workspace, "BALLS").read_text(encoding="utf-8")
    page = report(workspace, "BALLS", anonymous=True).read_text(encoding="utf-8")
    assert not re.search("Meyer|meyer|ball_|ward 3|/data", page)
    assert "are 3x1x1 mm." in page


def test_a_pooled_summary_that_is_older_than_a_fold_is_made_anew(workspace):
    pooled = workspace.models("BALLS") / A / "run" / "crossvalidation" / "summary.json"
    fold = workspace.run("BALLS", "2d", "S", "0") / "validation"
    first = read_summary(fold / "summary.json")
    os.utime(pooled, ns=(0, 0))
    # One case of fold 0 alone: fold 1 has two.
    write_summary(fold, summarise(first.cases[:1], LABELS, first.header))
    page = report(workspace, "BALLS").read_text(encoding="utf-8")
    assert "3 cases, each scored by the one fold" in page


def test_curves_are_those_of_history(workspace):
    run = workspace.run("BALLS", "2d", "S", "0")
    (run / "history.csv").write_text(
        "epoch,train_loss,validation_loss,dice_core\n1,2.5,2.25,\n2,1.5,1.75,0.625\n"
    )
    page = report(workspace, "BALLS").read_text(encoding="utf-8")
    assert "<title>training: 1.5 at epoch 2</title>" in page
    assert "<title>core: 0.625 at epoch 2</title>" in page
    (run / "history.csv").write_text("epoch,train_loss\n1,half\n")
    page = report(workspace, "BALLS").read_text(encoding="utf-8")
    assert re.search("history.csv: is damaged .*half.* -&gt; remove it", page)


def test_the_choice_is_shown_with_its_evidence(workspace):
    choice = from_json(Choice, read_json(workspace.best("BALLS")))
    page = report(workspace, "BALLS").read_text(encoding="utf-8")
    assert f"<td>{A}</td><td>{choice.evidence[A]:.4f}</td>" in page
    assert choice.reasons[0] in page
    workspace.best("BALLS").unlink()
    assert "Nothing is chosen yet: run autoseg_evaluate." in report(workspace, "BALLS").read_text()


def test_a_case_whose_label_map_is_gone_is_shown_without_its_prediction(workspace):
    before = report(workspace, "BALLS").read_text(encoding="utf-8").count("data:image")
    for path in workspace.models("BALLS").rglob("ball_*.nii.gz"):
        path.unlink()
    assert report(workspace, "BALLS").read_text(encoding="utf-8").count("data:image") == before


def test_a_chosen_pair_is_shown_with_its_own_means(tmp_path):
    workspace = make_workspace(tmp_path, cases=10)
    names = [f"ball_{n}" for n in range(10)]
    validate(workspace, A, dict.fromkeys(names, 0))
    validate(workspace, B, dict.fromkeys(names, 1))
    assert evaluate_crossvalidation(workspace).choice.models == (A, B)
    page = report(workspace, "BALLS").read_text(encoding="utf-8")
    pair = read_summary(workspace.models("BALLS") / "ensembles" / f"{A}+{B}" / "summary.json")
    shown = page[page.index("<h3>The pair</h3>") :]
    core = re.search("<tr><td>core</td>.*?</tr>", shown)[0]
    assert f"<td>{pair.mean['core']['dice'].mean:.4f}</td>" in core
    assert f"<td>{A} + {B}</td>" in page


def test_data_that_are_measured_and_not_planned_have_a_report(tmp_path):
    make_workspace(tmp_path)  # another dataset, planned
    workspace = make_phantoms(tmp_path, cases=3)
    found = statistics(workspace, "PHANTOM")
    path = report(workspace, "PHANTOM")
    assert path == workspace.prepared("PHANTOM") / "report.html"
    page = path.read_text(encoding="utf-8")
    assert "run autoseg_plan -d PHANTOM" in page
    liver = found.targets["liver"].volume_ml
    assert f"<td>{liver.minimum:.4g}</td><td>{liver.median:.4g}</td>" in page
    case = found.cases[0]
    assert f"<title>{case.case}: {case.targets['liver'].volume_ml:.4g}</title>" in page


def test_an_unknown_dataset_is_refused(tmp_path):
    with pytest.raises(UsageError, match="unknown dataset 'BALS'"):
        report(make_workspace(tmp_path), "BALS")


def test_what_ails_all_scans_is_told_once(workspace, caplog):
    folder = workspace.raw("BALLS")
    (folder / "labelsTr").mkdir(parents=True)
    for n in range(10):
        (folder / "labelsTr" / f"ball_{n}.nii.gz").touch()
    labels = {"background": 0, "core": 1}
    told = {"channel_names": {"0": "MR"}, "labels": labels, "file_ending": ".nii.gz"}
    write_json(folder / "dataset.json", told)
    with caplog.at_level("WARNING"):
        report(workspace, "BALLS")
    (line,) = [line for line in caplog.messages if line.startswith("no viewer of")]
    assert re.fullmatch(r"no viewer of ball_.*, ball_\d: .*BALLS: \d+ problems .*", line)
