"""Label maps of several data sets: typed, in a file, or as a mapping."""

import json

import pytest

from autoseg.errors import DataError, UsageError
from autoseg.importing.label_maps import parse_label_maps


def test_entries_files_and_mappings_say_the_same(tmp_path):
    said = {"pku": {"3": "femur_head", "spinal cord": "spinal_cord"}, "a1k": {"1": "liver"}}
    path = tmp_path / "map.json"
    path.write_text(json.dumps(said))
    entries = ["pku:3=femur_head,spinal cord=spinal_cord", "a1k:1=liver"]
    assert parse_label_maps(entries, ["pku", "a1k"]) == said
    assert parse_label_maps([str(path)], ["pku", "a1k"]) == said
    assert parse_label_maps({"pku": {3: "femur_head"}}, ["pku"]) == {"pku": {"3": "femur_head"}}
    assert parse_label_maps((), ["pku"]) == {}


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("3:1", "--label-map 3:1, expected DATASET:CLASS=NAME"),
        ("pku:", "expected DATASET:CLASS=NAME"),
        ("pku:3=", "expected DATASET:CLASS=NAME"),
        ("pkv:3=liver", "--label-map pkv:3=liver: 'pkv' -> did you mean 'pku'"),
        ("pku:3=4", "'4' cannot name a class, expected its name in the union, or background"),
        ("pku:3=a,3=b", "pku:3 is 'a' and 'b', expected one of them"),
    ],
)
def test_what_cannot_be_meant_is_told(entry, told):
    with pytest.raises(UsageError) as caught:
        parse_label_maps([entry], ["pku"])
    assert told in str(caught.value)


def test_a_file_that_is_no_label_map_is_told(tmp_path):
    path = tmp_path / "map.json"
    with pytest.raises(DataError, match="file not found"):
        parse_label_maps([str(path)], ["A"])
    for text, told in (("[1]", "is no label map"), ('{"A": 1}', "is no label map"),
                       ('{"A": {"1": null}}', "None cannot name a class")):  # fmt: skip
        path.write_text(text)
        with pytest.raises(UsageError, match=told):
            parse_label_maps([str(path)], ["A"])
