"""Patterns find files: {case}, {channel}, `*`; and say what they looked for when nothing fits."""

import pytest

from autoseg.errors import UsageError
from autoseg.importing.patterns import find_matches


@pytest.fixture
def tree(tmp_path):
    for name in (
        "p1/p1_t1.nii", "p1/p1_t1_ce.nii", "p2/p2_t1.nii", "p2/p2_t1_ce.nii", "p2/other_t1.nii",
        "flat/s_01_a.png", "flat/s_02_a.png", "flat/.s_03_a.png",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def test_a_case_in_the_file_name(tree):
    found = find_matches(f"{tree}/flat/s_{{case}}_a.png")
    assert [(match.case, match.path.name) for match in found] == [
        ("01", "s_01_a.png"),
        ("02", "s_02_a.png"),
    ]


def test_a_case_named_twice_is_the_same_case(tree):
    found = find_matches(f"{tree}/{{case}}/{{case}}_{{channel}}.nii", ["t1", "t1_ce"])
    assert [(match.case, match.channel) for match in found] == [
        ("p1", "t1"), ("p1", "t1_ce"), ("p2", "t1"), ("p2", "t1_ce"),
    ]  # fmt: skip


def test_a_star_fits_anything_in_one_name(tree):
    assert len(find_matches(f"{tree}/{{case}}/*_t1.nii")) == 3
    assert [m.case for m in find_matches(f"{tree}/f*/s_{{case}}_*.png")] == ["01", "02"]


def test_signs_of_expressions_are_plain_text(tmp_path):
    (tmp_path / "a+b(1).nii").write_bytes(b"x")
    assert [m.case for m in find_matches(f"{tmp_path}/a+{{case}}(1).nii")] == ["b"]


def test_relative_patterns_start_where_the_user_stands(tree, monkeypatch):
    monkeypatch.chdir(tree)
    assert [match.case for match in find_matches("flat/s_{case}_a.png")] == ["01", "02"]


@pytest.mark.parametrize(
    ("pattern", "text"),  # text: an expression
    [
        ("flat/a.png", "a pattern without {case}"),
        ("flat/{csae}.png", "unknown mark {csae} -> did you mean 'case'?"),
        ("flat/{case}.nii", "look for '{case}.nii' in .*flat; it holds s_01_a.png, s_02_a.png"),
        ("gone/{case}.nii", "no folder fits -> look for 'gone'"),
    ],
)
def test_a_pattern_without_files_says_where_it_looked(tree, monkeypatch, pattern, text):
    monkeypatch.chdir(tree)
    with pytest.raises(UsageError, match=text):
        find_matches(pattern)
