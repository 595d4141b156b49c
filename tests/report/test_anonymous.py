"""Sentences without names, whatever the names look like."""

from __future__ import annotations

import pytest

from autoseg.report.anonymous import LEFT_OUT, scrub


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("case 3 is empty", f"case {LEFT_OUT} is empty"),
        ("fold 1 lacks cases 3, 12 and 4.", f"fold 1 lacks cases {LEFT_OUT}, {LEFT_OUT} and 4."),
        ("units (3: from -1024).", f"units ({LEFT_OUT}: from -1024)."),
        ("group '12' is in two folds", f"group '{LEFT_OUT}' is in two folds"),
        ("batch 3, 12 % of 12 cases, 3 by hand", "batch 3, 12 % of 12 cases, 3 by hand"),
        ("scans 3.5 mm apart (3 of 12)", "scans 3.5 mm apart (3 of 12)"),
        ("007 lies elsewhere", f"{LEFT_OUT} lies elsewhere"),
        ("Müller; p_1, not p_12", f"{LEFT_OUT}; {LEFT_OUT}, not p_12"),
        ("see /data/p/x.nii.gz", f"see {LEFT_OUT}"),
    ],
)
def test_names_go_and_numbers_of_other_things_stay(text, left):
    assert scrub(text, frozenset({"3", "12", "007", "Müller", "p_1"})) == left
