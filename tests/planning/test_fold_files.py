"""Folds of somebody's own making: three forms, and everything wrong with them told at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autoseg.dataset import Case
from autoseg.errors import DataError
from autoseg.planning.fold_files import read_folds
from autoseg.planning.folds import Fold, make_folds, save_folds

CASES = [Case(name, ()) for name in ("a", "b", "c", "d")]
FOLDS = (Fold(("a", "b"), ("c", "d")), Fold(("c", "d"), ("a", "b")))


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def refused(path: Path, cases: list[Case] = CASES) -> str:
    with pytest.raises(DataError) as caught:
        read_folds(path, cases)
    assert caught.value.exit_code == 3
    return str(caught.value)


def test_nnunets_splits_ours_and_a_table_say_the_same(tmp_path: Path):
    splits = [{"train": ["b", "a"], "val": ["d", "c"]}, {"train": ["c", "d"], "val": ["a", "b"]}]
    save_folds(tmp_path / "folds.json", FOLDS)
    files = [
        write(tmp_path / "splits_final.json", splits),
        tmp_path / "folds.json",
        write(tmp_path / "folds.csv", "case,fold\na,1\nb,1\nc,0\nd,0\n"),
        write(tmp_path / "excel.csv", "\ufeffFold;Case;site\r\n1;a;x\r\n1;b;\r\n0;c;\r\n0;d;y\r\n"),
    ]  # fmt: skip
    for path in files:
        assert read_folds(path, CASES) == (FOLDS, []), path


def test_nnunets_own_folds_of_the_same_cases_are_ours(tmp_path: Path):
    cases = [Case(f"c{i:03d}", ()) for i in range(23)]
    folds, _ = make_folds(cases)
    splits = [{"train": list(f.train), "val": list(f.validation)} for f in folds]
    assert read_folds(write(tmp_path / "s.json", splits), cases) == (folds, [])


def test_a_case_may_be_trained_on_in_every_fold(tmp_path: Path):
    path = write(tmp_path / "f.csv", "case,fold\na,0\nb,1\nc,train\nd,1")
    folds, _ = read_folds(path, CASES)
    assert folds == (Fold(("b", "c", "d"), ("a",)), Fold(("a", "c"), ("b", "d")))


def test_everything_wrong_is_told_in_one_go(tmp_path: Path):
    cases = [*CASES, Case("e1", (), group="eve"), Case("e2", (), group="eve")]
    splits = [
        {"train": ["a", "a", "b", "e1"], "val": ["b", "e2", "x"]},
        {"train": [], "val": ["c"]},
        {"train": ["a"], "val": []},
        {"train": ["a"]},
        {"train": "a", "validation": ["b"]},
        ["a"],
    ]
    told = refused(write(tmp_path / "s.json", splits), cases)
    for part in (
        "'x': is no case of the data set",
        "fold 0: lists 'a' more than once for training",
        "fold 0: trains and validates on 'b'",
        "fold 0: trains on 'e1' and validates on 'e2', both of group 'eve'",
        "fold 1: has no training cases",
        "fold 2: has no validation cases",
        'fold 3: lacks a list of cases, expected "val" or "validation"',
        "fold 4: train is no list of case names",
        "fold 5: is not an object",
    ):
        assert part in told
    assert "s.json: 9 problems in these folds -> correct the file, or move it away" in told


def test_everything_wrong_with_a_table_is_told_in_one_go(tmp_path: Path):
    table = "case,fold\na,0\na,1\nb,one\n,2\nq,1\nc,-1"
    told = refused(write(tmp_path / "f.csv", table))
    for part in (
        "line 3: 'a' stands in line 2 already",
        "line 4: 'b' is in fold 'one', expected a number from 0 on",
        "line 5: case or fold is empty",
        "line 7: 'c' is in fold '-1'",
        "'q': is no case of the data set",
    ):
        assert part in told


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("f.json", "[{", "is not JSON: .* line 1"),
        ("f.json", "{}", "is not a list of folds, expected"),
        ("f.json", "[]", "is not a list of folds, expected"),
        ("f.csv", "", "line 1: '', expected the columns case,fold"),
        ("f.csv", "name,part\na,0", "line 1: 'name,part', expected the columns case,fold"),
        ("f.csv", "case,fold\n", "holds no case"),
        ("f.csv", "case,fold\na,1\nb,2\nc,1\nd,2", "no case is in fold 0, expected folds counted"),
        ("f.csv", "case,fold\na,0\nb,2\nc,0\nd,2", "fold 1: has no validation cases"),
        ("f.csv", "case,fold\na,train\nb,train", "no case is in a fold"),
        ("f.csv", "case,fold\na,0\nb,0\nc,0\nd,0", "fold 0: has no training cases"),
    ],
)
def test_a_file_that_is_no_folds_says_what_was_expected(
    tmp_path: Path, name: str, content: str, message: str
):
    with pytest.raises(DataError, match=message):
        read_folds(write(tmp_path / name, content), CASES)


def test_a_misspelled_case_is_answered_with_the_near_one(tmp_path: Path):
    cases = [Case(f"patient_{i:03d}", ()) for i in range(40)]
    splits = [{"train": ["patient_001"], "val": ["patient_02"]}]
    assert "'patient_02': is no case of the data set -> did you mean 'patient_" in refused(
        write(tmp_path / "s.json", splits), cases
    )


def test_many_unknown_cases_do_not_flood_the_screen(tmp_path: Path):
    splits = [{"train": [f"q{i}" for i in range(500)], "val": ["a"]}]
    told = refused(write(tmp_path / "s.json", splits))
    assert "480 more: are no cases of the data set" in told
    assert len(told.splitlines()) == 22


def test_cases_left_out_and_cases_validated_twice_are_allowed_and_said(tmp_path: Path):
    splits = [{"train": ["a"], "val": ["b"]}, {"train": ["a"], "val": ["b", "c"]}]
    folds, oddities = read_folds(write(tmp_path / "s.json", splits), CASES)
    assert len(folds) == 2
    assert oddities == [
        "1 of 4 cases are in no fold: d",
        "validated in several folds, which autoseg_evaluate cannot pool: b",
    ]
