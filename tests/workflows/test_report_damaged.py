"""A file of ours that is damaged costs its own part of the report, and nothing else."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from autoseg.files import write_json
from autoseg.fingerprint_file import save_fingerprint
from autoseg.results import CaseStatistics, DatasetStatistics
from autoseg.workflows.crossvalidate import evaluate_crossvalidation
from autoseg.workflows.report import report
from autoseg.workspace import Workspace
from tests.synthetic import spoil
from tests.test_fingerprint_file import FOUND
from tests.workflows.prepared import make_workspace
from tests.workflows.test_crossvalidate import A, B, validate

RUN = f"models/BALLS/{A}/run/fold_0"
FILES = {  # and the chapter that says so
    "prepared/BALLS/plan.json": "Plan",
    "prepared/BALLS/folds.json": "Plan",
    "prepared/BALLS/statistics.json": "Data",
    "prepared/BALLS/check.json": "Data",
    "prepared/BALLS/fingerprint.json": "Data",
    "models/BALLS/best.json": "Choice",
    f"models/BALLS/ensembles/{A}+{B}/summary.json": "Choice",
    f"{RUN}/validation/summary.json": "Results",
    f"models/BALLS/{A}/run/crossvalidation/summary.json": "Results",
    f"{RUN}/result.json": "Training",
    f"{RUN}/history.csv": "Training",
    f"models/BALLS/{A}/bundle/card.json": "Manifest",
    f"models/BALLS/{A}/bundle/train.json": "Manifest",
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    """Two models, a chosen pair, and everything else that a report reads."""
    workspace = make_workspace(tmp_path_factory.mktemp("report"), cases=10)
    names = [f"ball_{n}" for n in range(10)]
    validate(workspace, A, dict.fromkeys(names, 0))
    validate(workspace, B, dict.fromkeys(names, 1))
    evaluate_crossvalidation(workspace)
    case = CaseStatistics("ball_0", (9, 9, 9), (1.0, 1.0, 1.0), 9, 729, {}, {})
    found = DatasetStatistics("BALLS", ("CT",), {}, (case,), (None,) * 3, (None,) * 3, None, {})
    write_json(workspace.prepared("BALLS") / "statistics.json", found)
    write_json(
        workspace.prepared("BALLS") / "check.json", {"cases": 10, "problems": [], "warnings": []}
    )
    save_fingerprint(workspace.prepared("BALLS") / "fingerprint.json", FOUND, "")
    write_json(workspace.root / RUN / "result.json", {"seed": 0, "seconds": 60.0})
    (workspace.root / RUN / "history.csv").write_text("epoch,train_loss\n1,2.5\n2,1.5\n")
    for name in ("card.json", "train.json"):
        path = workspace.models("BALLS") / A / "bundle" / name
        path.parent.mkdir(exist_ok=True)
        write_json(path, {"model_id": "abc", "recipe": "fast"})
    return workspace


def chapters(workspace: Workspace, tmp_path: Path) -> dict[str, str]:
    page = report(workspace, "BALLS", output=tmp_path / "r.html").read_text(encoding="utf-8")
    page = re.sub(r"\d\d:\d\d UTC", "", page)  # a minute may pass between two pages
    return {part[: part.index("<")]: part for part in page.split("<h2>")[1:]}


@pytest.mark.parametrize("harm", ["empty", "cut", "garbage", "of another kind"])
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_is_told_in_its_chapter_and_the_rest_stands(workspace, tmp_path, file, harm):
    path, before = workspace.root / file, chapters(workspace, tmp_path)
    assert not any("Damaged" in chapter for chapter in before.values())
    whole = path.read_bytes()
    history = file.endswith(".csv")
    if history and harm in ("empty", "cut"):
        pytest.skip("a table that ends early is a table")
    harmed = {"empty": b"", "cut": whole[: len(whole) // 2], "garbage": b"\x00\xff\x80,",
              "of another kind": b"a,b\n1,2\n" if history else b"[1]"}  # fmt: skip
    times = path.stat()
    path.write_bytes(harmed[harm])
    try:
        after = chapters(workspace, tmp_path)
    finally:
        path.write_bytes(whole)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.name in after[FILES[file]]
    assert "Damaged" in after[FILES[file]]
    assert list(after) == list(before)
    others = {"Training", "Manifest", "Data"} - {FILES[file]}
    assert all(after[name] == before[name] for name in others)


@pytest.mark.parametrize(
    ("file", "place", "value", "told"),
    [
        ("prepared/BALLS/statistics.json", ("shape",), [None], "expected 3 entries"),
        ("prepared/BALLS/statistics.json", ("cases", 0, "spacing", 0), float("inf"), "finite"),
        (f"{RUN}/validation/summary.json", ("metric_per_case", 0, "metrics", "core", "vol_ref_ml"),
         None, "is not a summary"),
    ],
)  # fmt: skip
def test_a_single_value_that_cannot_be_is_told_in_its_chapter(
    workspace, tmp_path, file, place, value, told
):
    path = workspace.root / file
    whole, times = path.read_bytes(), path.stat()
    record = json.loads(whole)
    spoil(record, place, value)
    path.write_text(json.dumps(record))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    try:
        chapter = chapters(workspace, tmp_path)[FILES[file]]
    finally:
        path.write_bytes(whole)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert "Damaged" in chapter
    assert told in chapter


@pytest.mark.parametrize("seconds", ["1e999", "NaN", "1" + "0" * 400, "-1", '"long"'])
def test_a_time_that_no_training_takes_is_not_told(workspace, tmp_path, seconds):
    path = workspace.root / RUN / "result.json"
    whole = path.read_bytes()
    assert ">minutes</th>" in chapters(workspace, tmp_path)["Training"]
    path.write_text(f'{{"seed": 0, "seconds": {seconds}}}')
    told = chapters(workspace, tmp_path)["Training"]
    path.write_bytes(whole)
    assert "minutes" not in told
    assert "<th>seed</th>" in told


def test_without_a_plan_the_pooled_scores_that_are_there_are_shown(workspace, tmp_path):
    plan = workspace.plan("BALLS")
    whole, before = plan.read_bytes(), chapters(workspace, tmp_path)
    plan.write_text("{")
    after = chapters(workspace, tmp_path)
    plan.write_bytes(whole)
    table = before["Results"][: before["Results"].index("<svg")]
    assert table in after["Results"]


def test_a_number_that_is_none_is_an_empty_cell(workspace, tmp_path):
    path = workspace.root / RUN / "history.csv"
    path.write_text("epoch,train_loss,dice_core\n1,2.5,nan\n2,1.5,inf\n3,1.25,0.5\n")
    assert "<title>core: 0.5 at epoch 3</title>" in chapters(workspace, tmp_path)["Training"]
