"""Files and the table on the screen."""

from __future__ import annotations

import csv
import json
import re

import pytest

from autoseg.errors import CorruptError
from autoseg.evaluation.score import make_header
from autoseg.evaluation.summary import summarise
from autoseg.evaluation.tables import format_table, read_summary, write_summary
from autoseg.labels import Labels
from autoseg.results import BOTH_EMPTY, PRED_EMPTY, REF_EMPTY, Summary
from tests.evaluation.scores import case

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
    assert len(rows) == 3 * 2 * 13
    found = {(row["case"], row["target"], row["metric"]): row for row in rows}
    assert float(found["patient, 1", "a", "dice"]["value"]) == 0.9
    assert found["patient 2", "b", "hd95"]["value"] == ""
    assert found["patient 2", "b", "hd95"]["status"] == "pred_empty"


@pytest.mark.parametrize("text", ["{}", "[]", '{"metric_per_case": [{"status": 3}]}'])
def test_a_foreign_json_is_not_taken_for_a_summary(tmp_path, text):
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(CorruptError, match="not a summary of autoseg"):
        read_summary(tmp_path / "summary.json")


def test_no_mean_of_cases_is_shown_without_its_n():
    cases = [case("1", a=0.9, b=0.8), case("2", a=0.7, b=PRED_EMPTY)]
    table = format_table(summarise(cases, LABELS, make_header(LABELS)))
    rows = [line for line in table.splitlines() if re.match(r"[ab] ", line)]
    assert len(rows) == 2
    for row in rows:
        assert len(re.findall(r"\d\.\d+ n=\d+", row)) == 5  # one for each score
    assert "  b: hd95 2.00 mm (n=1 of 2; penalised 51.00 mm; 1 missed or false)" in table
    assert "mean of 2 targets  0.6000" in table
    assert table.startswith("2 cases; surfaces: surfel; NSD within 2 mm (default)")


def test_controls_are_shown_by_their_false_positives():
    table = format_table(example())
    assert "without a tag (2 cases)" in table
    assert "control (1 case)" in table
    assert (
        "a: in no reference; false positives in 1 of 1 case: 40 voxels, 0.04 ml "
        "(mean 40.0 voxels a case)" in table
    )
    assert "all cases (3)" in table


def test_an_incomplete_evaluation_shows_no_means():
    table = format_table(summarise([case("1", a=0.9)], Labels({"a": (1,)}), {}, {"2": "gone"}))
    assert "no means: the evaluation is incomplete" in table
    assert "failed: 2: gone" in table
    assert "0.9" not in table


def test_absent_targets_are_named():
    table = format_table(summarise([case("1", a=0.9, b=BOTH_EMPTY)], LABELS, {}))
    assert "in no reference: b" in table
