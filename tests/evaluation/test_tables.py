"""A summary as files."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import pytest

from autoseg.errors import CorruptError
from autoseg.evaluation.metrics import METRICS
from autoseg.evaluation.score import make_header
from autoseg.evaluation.summary import summarise
from autoseg.evaluation.tables import read_summary, write_summary
from autoseg.labels import Labels
from autoseg.results import BOTH_EMPTY, PRED_EMPTY, REF_EMPTY, Summary
from tests.evaluation.scores import case
from tests.synthetic import spoil

LABELS = Labels({"a": (1,), "b": (2,)})


def example() -> Summary:
    cases = [
        case("patient, 1", a=0.9, b=0.8),
        case("patient 2", a=0.7, b=PRED_EMPTY),
        case("healthy", ("control",), a=REF_EMPTY, b=BOTH_EMPTY),
    ]
    return summarise(cases, LABELS, make_header(LABELS))


def refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def test_a_summary_comes_back_as_it_was_written(tmp_path):
    write_summary(tmp_path, example())
    assert read_summary(tmp_path / "summary.json") == example()


def test_the_json_is_strict_and_says_null(tmp_path):
    write_summary(tmp_path, example())
    text = (tmp_path / "summary.json").read_text()
    record = json.loads(text, parse_constant=refuse)
    assert record["n"] == 3
    assert record["header"]["mode"] == "surfel"
    assert record["header"]["nsd_tolerance_source"] == {"a": "default", "b": "default"}
    first = record["metric_per_case"][0]
    assert first["metrics"]["b"]["hd95"] is None
    assert first["status"]["b"]["hd95"] == "both_empty"
    assert record["mean"]["a"]["dice"]["n"] == 3


def test_the_csv_has_one_line_a_value(tmp_path):
    write_summary(tmp_path, example())
    with (tmp_path / "metrics.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["case", "target", "metric", "value", "status"]
    assert len(rows) == 3 * 2 * len(METRICS)
    found = {(row["case"], row["target"], row["metric"]): row for row in rows}
    assert float(found["patient, 1", "a", "dice"]["value"]) == 0.9
    assert found["patient 2", "b", "hd95"]["value"] == ""
    assert found["patient 2", "b", "hd95"]["status"] == "pred_empty"


@pytest.mark.parametrize("text", ["{}", "[]", '{"metric_per_case": [{"status": 3}]}'])
def test_a_foreign_json_is_not_taken_for_a_summary(tmp_path, text):
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(CorruptError, match="not a summary of autoseg"):
        read_summary(tmp_path / "summary.json")


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        (("mean", "a", "dice"), None, r"mean\.a lacks dice"),
        (("foreground_mean", "dice"), None, "foreground_mean lacks dice"),
        (("case_mean", "dice"), None, "case_mean lacks dice"),
        (("by_tag", "control", "b"), None, r"by_tag\.control\.b lacks dice"),
        (("metric_per_case", 1, "metrics", "b"), None, "patient 2 lacks dice, n_ref, vol_ref_ml"),
        (("metric_per_case", 0, "metrics", "a", "vol_ref_ml"), None, "lacks vol_ref_ml of a"),
        (("metric_per_case", 0, "metrics", "a", "dice"), float("nan"), "nan with status"),
        (("metric_per_case", 0, "metrics", "a", "dice"), 10**400, "is not a value"),
        (("mean", "a", "dice", "mean"), float("inf"), "expected a finite number"),
    ],
)
def test_a_summary_that_lacks_what_its_readers_need_is_refused(tmp_path, place, value, told):
    write_summary(tmp_path, example())
    path = tmp_path / "summary.json"
    record = json.loads(path.read_text())
    spoil(record, place, value)
    path.write_text(json.dumps(record))
    with pytest.raises(CorruptError, match=told):
        read_summary(path)


def test_the_worst_cases_are_named_with_their_files(tmp_path):
    dices = {f"p{i}": 0.9 - i / 100 for i in range(7)}
    cases = [replace(case(n, a=d), prediction_file=f"pred/{n}.nii.gz") for n, d in dices.items()]
    write_summary(tmp_path, summarise(cases, Labels({"a": (1,)})))
    worst = json.loads((tmp_path / "summary.json").read_text())["worst_cases"]["a"]
    assert [entry["case"] for entry in worst] == ["p6", "p5", "p4", "p3", "p2"]
    assert worst[0]["dice"] == pytest.approx(0.84)
    assert worst[0]["prediction_file"] == "pred/p6.nii.gz"


def test_a_summary_of_an_older_version_can_be_read(tmp_path):
    write_summary(tmp_path, example())
    path = tmp_path / "summary.json"
    record = json.loads(path.read_text())
    for name in ("case_mean", "agreement", "worst_cases"):
        del record[name]
    for means in record["mean"].values():
        for mean in means.values():
            del mean["ci95"], mean["quartiles"]
    path.write_text(json.dumps(record))
    assert read_summary(path).mean["a"]["dice"].mean == example().mean["a"]["dice"].mean
