"""Names of members: a fold, and a further seed."""

import pytest

from autoseg.members import is_full, is_member, member_name, split_member


@pytest.mark.parametrize(
    ("fold", "seed", "name"),
    [("0", None, "0"), ("12", 3, "12-seed3"), ("full", None, "full"), ("full", 1, "full-seed1")],
)
def test_a_name_tells_fold_and_further_seed(fold: str, seed: int | None, name: str):
    assert member_name(fold, seed) == name
    assert split_member(name) == (fold, seed)
    assert is_member(name)
    assert is_full(name) is (fold == "full")


@pytest.mark.parametrize("name", ["0.bak-20260101-120000", "0-seed", "all-seed1", "seed1", ""])
def test_what_is_no_member_is_told_apart(name: str):
    assert not is_member(name)
    assert split_member(name) == (name, None)
