"""Folds: laws on grouped and tagged cases, small data, and the file."""

import json
from dataclasses import replace

import pytest

from autoseg.dataset import Case
from autoseg.errors import CorruptError, DataError, UsageError
from autoseg.planning.folds import (
    Fold,
    Rule,
    choose_folds,
    explain_annotated,
    is_edited,
    load_folds,
    make_folds,
    rule_of,
    save_folds,
)


def cases(count, group=lambda i: None, tags=lambda i: ()):
    return [Case(f"c{i:03d}", (), group=group(i), tags=tags(i)) for i in range(count)]


def test_every_case_is_validated_once_and_trained_on_otherwise():
    folds, _ = make_folds(cases(23))
    everyone = {f"c{i:03d}" for i in range(23)}
    assert sorted(i for fold in folds for i in fold.validation) == sorted(everyone)
    for fold in folds:
        assert set(fold.train) | set(fold.validation) == everyone
        assert not set(fold.train) & set(fold.validation)


def test_scans_of_one_patient_share_a_fold():
    folds, reason = make_folds(cases(40, group=lambda i: f"patient{i // 3}"))
    assert "group" in reason
    for fold in folds:
        patients = {int(i[1:]) // 3 for i in fold.validation}
        assert not patients & {int(i[1:]) // 3 for i in fold.train}
    assert max(len(f.validation) for f in folds) - min(len(f.validation) for f in folds) <= 3


def test_tags_are_spread_evenly():
    folds, _ = make_folds(cases(53, tags=lambda i: ("control",) if i % 5 == 0 else ()))
    controls = [sum(int(i[1:]) % 5 == 0 for i in fold.validation) for fold in folds]
    sizes = [len(fold.validation) for fold in folds]
    assert max(controls) - min(controls) <= 1
    assert max(sizes) - min(sizes) <= 2


def test_two_tags_are_spread_evenly_together():
    folds, _ = make_folds(
        cases(60, tags=lambda i: (f"site-{i % 2}", *(["control"] if i % 6 == 0 else [])))
    )
    for wanted in (lambda i: i % 2 == 0, lambda i: i % 6 == 0):
        counts = [sum(wanted(int(c[1:])) for c in fold.validation) for fold in folds]
        assert max(counts) - min(counts) <= 2


def test_partly_annotated_cases_are_spread_evenly():
    half = [replace(c, annotated=("liver",)) if i % 2 else c for i, c in enumerate(cases(50))]
    folds, reason = make_folds(half)
    assert reason == "Folds: 5 of 50 cases, annotated targets are spread evenly."
    assert explain_annotated(half, ["liver", "spleen"])[0].startswith(
        "Annotated: spleen in 25 of 50 cases; elsewhere"
    )
    assert explain_annotated(cases(50), ["liver"]) == []
    counts = [sum(int(i[1:]) % 2 for i in fold.validation) for fold in folds]
    assert max(counts) - min(counts) <= 1
    sizes = [len(fold.validation) for fold in folds]
    assert max(sizes) - min(sizes) <= 2


def test_few_cases_are_left_out_one_by_one_and_a_single_one_has_no_folds():
    folds, reason = make_folds(cases(3))
    assert [len(fold.validation) for fold in folds] == [1, 1, 1]
    assert "one per case" in reason
    assert make_folds(cases(1))[0] == ()
    assert "only one case" in make_folds(cases(1))[1]
    assert make_folds(cases(4, group=lambda i: "same"))[0] == ()


def test_folds_survive_the_disk(tmp_path):
    folds, _ = make_folds(cases(7))
    save_folds(tmp_path / "folds.json", folds)
    assert load_folds(tmp_path / "folds.json") == folds


def test_a_case_on_both_sides_is_refused(tmp_path):
    path = tmp_path / "folds.json"
    fold = {"train": ["a", "b"], "validation": ["b"]}
    path.write_text(json.dumps({"format": "autoseg-folds-1", "folds": [fold]}))
    with pytest.raises(DataError, match="fold 0 trains and validates on b"):
        load_folds(path)
    path.write_text("[]")
    with pytest.raises(CorruptError, match="not a list of folds"):
        load_folds(path)


def test_folds_are_chosen_by_number_or_all_and_full_needs_none():
    folds = (Fold(("a",), ("b",)), Fold(("b",), ("a",)))
    assert choose_folds("1", folds) == {"1": folds[1]}
    assert choose_folds("all", folds) == {"0": folds[0], "1": folds[1]}
    assert choose_folds("full", ()) == {}
    with pytest.raises(UsageError, match="there is no fold '2', expected one of 0, 1, all, full"):
        choose_folds("2", folds)
    with pytest.raises(UsageError, match="there is no fold 'all', expected one of full"):
        choose_folds("all", ())


def control_or_patient(number, controls):
    return ("control",) if number < controls else ("patient",)


def test_controls_are_trained_on_in_every_fold_and_patients_spread_over_four():
    """C20: the 182 patients of the tumour challenge, 46/46/45/45."""
    everyone = cases(608, tags=lambda i: control_or_patient(i, 426))
    folds, reason = make_folds(everyone, Rule(4, ("patient",)))
    assert [len(fold.validation) for fold in folds] == [46, 46, 45, 45]
    controls = {case.id for case in everyone if "control" in case.tags}
    validated = [i for fold in folds for i in fold.validation]
    assert sorted(validated) == sorted({case.id for case in everyone} - controls)
    for fold in folds:
        assert controls <= set(fold.train)
        assert not set(fold.train) & set(fold.validation)
    assert reason == (
        "Folds: 4 of 608 cases, tags are spread evenly; validated 46/46/45/45: patient only, "
        "426 others are trained on in every fold."
    )


def test_a_control_scan_of_a_validated_patient_is_not_trained_on_in_that_fold():
    everyone = cases(12, group=lambda i: f"p{i % 6}", tags=lambda i: control_or_patient(i, 6))
    folds, _ = make_folds(everyone, Rule(3, ("patient",)))
    assert [len(fold.validation) for fold in folds] == [2, 2, 2]
    for fold in folds:
        held_out = {int(i[1:]) % 6 for i in fold.validation}
        assert {int(i[1:]) % 6 for i in fold.train} == set(range(6)) - held_out
        assert len(fold.train) == 8


def test_a_rule_travels_with_its_folds(tmp_path):
    folds, _ = make_folds(cases(7), Rule(3))
    save_folds(tmp_path / "folds.json", folds, rule=Rule(3))
    assert rule_of(tmp_path / "folds.json") == Rule(3)
    assert not is_edited(tmp_path / "folds.json")
    save_folds(tmp_path / "folds.json", folds)
    assert rule_of(tmp_path / "folds.json") is None


def test_a_tag_that_no_case_has_is_told():
    with pytest.raises(UsageError, match=r"no case has the tag 'patints' -> did you mean 'patien"):
        make_folds(cases(8, tags=lambda i: control_or_patient(i, 3)), Rule(4, ("patints",)))
