"""What is evaluated: declared targets, words, presets, values found."""

from __future__ import annotations

import json

import pytest

from autoseg.errors import DataError, UsageError
from autoseg.evaluation.targets import (
    annotated_among,
    find_declaration,
    find_preset,
    labels_of_values,
    parse_targets,
    preset_tolerances,
)
from autoseg.labels import Labels


def test_targets_come_from_a_dataset_json_beside_or_above(tmp_path):
    folder = tmp_path / "raw" / "labelsTr"
    folder.mkdir(parents=True)
    assert find_declaration(folder) is None
    declared = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}}
    (tmp_path / "raw" / "dataset.json").write_text(json.dumps(declared))
    found = find_declaration(tmp_path, folder)
    assert found is not None
    assert found.labels.targets == {"liver": (1,)}
    (folder / "dataset.json").write_text("[]")
    with pytest.raises(DataError, match="cannot be used"):
        find_declaration(folder)


def test_what_is_odd_about_a_declaration_is_said(tmp_path, caplog):
    declared = {"labels": {"background": 0, "liver": 1}, "cases": {"a": {"patient": "P1"}}}
    (tmp_path / "dataset.json").write_text(json.dumps(declared))
    assert find_declaration(tmp_path) is not None  # also without names of channels
    assert "unknown key 'patient' in cases.a" in caplog.text


def test_without_a_declaration_the_values_found_are_the_targets():
    assert labels_of_values([({1}, {1, 4}), ({2}, set())], "p").targets == {
        "1": (1,), "2": (2,), "4": (4,)
    }  # fmt: skip
    with pytest.raises(DataError, match="predictions hold the values 255, references 1"):
        labels_of_values([({1}, {255}), (set(), {255})], "p")
    with pytest.raises(DataError, match="every label map is empty"):
        labels_of_values([(set(), set())], "p")


def test_targets_from_words_may_overlap_and_leave_a_value_open():
    labels = parse_targets(["kidney=1,2", "tumour=2", "ignore=9"])
    assert labels.targets == {"kidney": (1, 2), "tumour": (2,)}
    assert labels.ignore == 9
    assert not labels.exclusive


@pytest.mark.parametrize(
    "words",
    [["kidney"], ["=1"], ["a=x"], ["a=1,1"], ["a=1", "a=2"], ["a=0"], ["a=70000"], ["ignore=9"],
     ["a=1", "ignore=1"], ["a=1", "ignore=2,3"], ["a=-1"]],
)  # fmt: skip
def test_words_that_name_no_targets_are_refused(words):
    with pytest.raises(UsageError, match="target"):
        parse_targets(words)


def test_presets_have_targets_and_tolerances():
    kits = find_preset("kits23")
    labels = Labels(kits.targets)
    assert labels.targets["kidney_and_masses"] == (1, 2, 3)
    tolerances = {"kidney_and_masses": 1.0331, "masses": 1.1329, "tumour": 1.1498}
    assert preset_tolerances(kits, labels) == pytest.approx(tolerances, abs=5e-5)
    flare = find_preset("flare22")
    assert set(flare.targets) == set(flare.tolerances_mm)
    assert sorted(flare.targets.values()) == [(value,) for value in range(1, 14)]
    assert preset_tolerances(find_preset("totalseg"), labels) == dict.fromkeys(labels.names, 3.0)
    with pytest.raises(UsageError, match="did you mean 'kits23'"):
        find_preset("kits_23")


def test_a_region_is_annotated_where_all_of_its_values_are():
    declared = Labels({"liver": (1,), "cyst": (2,), "spleen": (3,)})
    labels = Labels({"liver_with_cysts": (1, 2), "spleen": (3,), "liver": (1,)})
    assert annotated_among(("liver", "spleen"), declared, labels) == ("spleen", "liver")
    assert annotated_among(None, declared, labels) is None
