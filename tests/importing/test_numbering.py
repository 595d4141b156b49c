"""Official numbers of structures: which of two numberings, and what has none."""

from __future__ import annotations

import pytest

from autoseg.errors import UsageError
from autoseg.importing.numbering import FIRST, SECOND, official_values


def test_numbers_are_those_of_the_project():
    first, second = FIRST.split(), SECOND.split()
    assert (len(first), len(set(first))) == (104, 104)
    assert (len(second), len(set(second))) == (117, 117)
    told = {7: "aorta", 18: "vertebrae_L5", 50: "brain", 81: "rib_right_12", 104: "urinary_bladder"}
    assert {value: first[value - 1] for value in told} == told
    told = {7: "pancreas", 26: "vertebrae_S1", 51: "heart", 91: "skull", 117: "costal_cartilages"}
    assert {value: second[value - 1] for value in told} == told


def test_the_newer_numbering_that_knows_all_counts():
    assert official_values({"liver", "aorta"}) == {"liver": 5, "aorta": 52}
    found = official_values({"face", "aorta", "liver"})  # there is no face in the newer one
    assert list(found.items()) == [("liver", 5), ("aorta", 7), ("face", 93)]
    assert official_values(FIRST.split()) == {n: v for v, n in enumerate(FIRST.split(), 1)}


def test_what_has_no_number_is_named():
    with pytest.raises(UsageError, match="no number for livre -> list the classes: --classes FILE"):
        official_values({"livre", "aorta"})
