"""Rules as data: their JSON, their words, and what a user types."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.errors import CorruptError, UsageError
from autoseg.labels import Labels
from autoseg.postprocess import apply_rules
from autoseg.rules import (
    ALL,
    Rule,
    describe_rules,
    parse_rules,
    read_rules,
    rules_json,
    thresholds,
)

ONE_MM = (1.0, 1.0, 1.0)
EXCLUSIVE = Labels({"liver": (1,), "spleen": (2,)})
REGIONS = Labels({"kidney": (1, 2), "tumour": (2,)})
SINGLE = Labels({"liver": (1,)})


def test_rules_survive_json_and_are_said_in_words():
    rules = {ALL: (Rule("largest_component"),), "spleen": (Rule("min_component", 50.0),)}
    stored = rules_json(rules)
    assert stored["spleen"] == ({"rule": "min_component", "mm3": 50.0},)
    assert read_rules(stored, EXCLUSIVE, "best.json") == rules
    words = "all targets: largest component; spleen: min component 50 mm3"
    assert describe_rules(rules) == words


def test_thresholds_are_for_the_decoder():
    rules = read_rules({"tumour": [{"rule": "threshold", "probability": 0.3}]}, REGIONS, "x")
    assert thresholds(rules, REGIONS) == (0.5, 0.3)
    assert thresholds({}, REGIONS) is None
    label_map = np.ones((1, 2, 2), dtype=np.uint8)
    assert apply_rules(label_map, ONE_MM, REGIONS, rules) is label_map


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "not an object"),
        ({"livr": []}, "unknown target 'livr'"),
        ({"liver": {"rule": "fill_holes"}}, "are not a list"),
        ({"liver": ["fill_holes"]}, "unknown rule 'None'"),
        ({"liver": [{"rule": "fill_hole"}]}, "unknown rule 'fill_hole' of 'liver'"),
        ({"*": [{"rule": "fill_holes"}]}, "for all targets together"),
        ({"liver": [{"rule": "closing"}]}, "rule of 'liver'"),
        ({"liver": [{"rule": "closing", "mm3": 2}]}, "rule of 'liver'"),
        ({"liver": [{"rule": "closing", "mm": -1}]}, "closing of 'liver': -1"),
        ({"liver": [{"rule": "closing", "mm": True}]}, "closing of 'liver': True"),
        ({"liver": [{"rule": "threshold", "probability": 0.4}]}, "exclusive targets"),
    ],
)
def test_a_wrong_rule_is_named(value, message):
    with pytest.raises(CorruptError, match=message.replace("*", r"\*")) as caught:
        read_rules(value, EXCLUSIVE, "models/X/best.json")
    assert caught.value.place == "models/X/best.json"


def test_a_single_target_has_a_threshold_too():
    rules = read_rules({"liver": [{"rule": "threshold", "probability": 0.3}]}, SINGLE, "x")
    assert thresholds(rules, SINGLE) == (0.3,)


def test_rules_as_typed():
    text = "*:largest_component, liver:closing:2,liver:fill_holes,spleen:min_component:50mm3"
    assert parse_rules(text, EXCLUSIVE) == {
        ALL: (Rule("largest_component"),),
        "liver": (Rule("closing", 2.0), Rule("fill_holes")),
        "spleen": (Rule("min_component", 50.0),),
    }
    assert parse_rules("none", EXCLUSIVE) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bset", "--set rules=bset: 'bset', expected TARGET:RULE:NUMBER -> did you mean 'best'?"),
        ("livr:closing:2", "unknown target 'livr' -> did you mean 'liver'?"),
        ("liver:close:2", "unknown rule 'close' of 'liver' -> did you mean 'closing'?"),
        ("liver:closing", "'liver:closing', expected liver:closing:NUMBER (mm)"),
        ("liver:closing:two", "closing of 'liver': 'two', expected between 0 and 50"),
        ("liver:closing:5000", "closing of 'liver': 5000.0, expected between 0 and 50"),
        ("liver:gaussian:1e12", "gaussian of 'liver': 1000000000000.0, expected between 0 and 50"),
        ("liver:min_voxels:-1", "min_voxels of 'liver': -1.0, expected a positive number"),
        ("liver:fill_holes:2", "'liver:fill_holes:2', expected liver:fill_holes, without a number"),
        ("", "expected TARGET:RULE:NUMBER"),
    ],
)
def test_what_is_typed_wrong_is_answered(text, message):
    with pytest.raises(UsageError) as caught:
        parse_rules(text, EXCLUSIVE)
    assert message in str(caught.value)
