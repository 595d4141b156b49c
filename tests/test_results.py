"""What stages leave behind goes to JSON and comes back."""

from __future__ import annotations

import json

import pytest

from autoseg.errors import CorruptError
from autoseg.files import json_text
from autoseg.records import from_json, to_json
from autoseg.results import PRED_EMPTY, CaseScores, Choice, Mean, Summary, Value


def summary() -> Summary:
    metrics = {"liver": {"dice": Value(0.0, PRED_EMPTY), "hd95": Value(None, PRED_EMPTY)}}
    case = CaseScores("p1", metrics, (5.0, 1.0, 1.0), 300.0, "g/p1.nii.gz", "", ("control",), 2)
    mean = Mean(0.0, 1, 1, 0.0, 0.0, None, {PRED_EMPTY: 1})
    header = {"mode": "surfel", "nsd_tolerance_mm": {"liver": 2.0}}
    return Summary(
        (case,), {"liver": {"dice": mean}}, {"dice": mean}, header, ("spleen",), {"p2": "gone"},
        {"control": {"liver": {"dice": mean}}},
    )  # fmt: skip


@pytest.mark.parametrize(
    "record", [summary(), Choice(("3d_fullres-M",), {"3d_fullres-M": 0.9}, ("the only one",))]
)
def test_a_record_survives_json(record):
    text = json_text(to_json(record))
    assert from_json(type(record), json.loads(text)) == record


def test_an_unknown_field_is_named():
    with pytest.raises(CorruptError, match="unknown field 'modles'"):
        from_json(Choice, {"modles": [], "evidence": {}})
