"""Messages say fact, place, expectation and remedy; each kind has its exit code."""

import pytest

from autoseg import errors
from autoseg.errors import DataError, Problem, number_of, suggest


def test_a_message_says_fact_place_expectation_and_remedy():
    error = DataError(
        "labels are on a 90x512x512 grid",
        place="patient_007",
        expected="88x512x512",
        remedy="resample the labels",
    )
    assert str(error) == (
        "patient_007: labels are on a 90x512x512 grid, expected 88x512x512 -> resample the labels"
    )


def test_problems_come_before_the_summary_line():
    problems = [
        Problem("a.nii.gz", "is truncated", remedy="copy it again"),
        Problem("b", "is empty"),
    ]
    lines = str(DataError("2 problems in 2 cases", problems=problems)).splitlines()
    assert lines == [
        "a.nii.gz: is truncated -> copy it again",
        "b: is empty",
        "2 problems in 2 cases",
    ]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("UsageError", 2),
        ("DataError", 3),
        ("ResourceError", 4),
        ("PartlyDone", 5),
        ("LockedError", 6),
        ("CorruptError", 7),
        ("Stopped", 75),
    ],
)
def test_each_kind_has_its_exit_code(name, code):
    assert getattr(errors, name).exit_code == code


def test_a_near_name_is_suggested():
    assert suggest("epohcs", ["epochs", "loss"]) == "did you mean 'epochs'?"


def test_a_far_name_lists_the_known_ones():
    assert suggest("zzz", ["loss", "epochs"]) == "known names: epochs, loss"
    assert suggest("zzz", []) == "there are none yet"


def test_a_failure_is_one_finding_among_others_at_its_own_place_or_the_one_given():
    error = DataError("is cut short", expected="a scan", remedy="copy it again")
    assert str(error.as_problem("a.nii")) == "a.nii: is cut short, expected a scan -> copy it again"
    assert DataError("is cut short", place="b.nii").as_problem("a.nii").place == "b.nii"


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 cases"), (1, "1 case"), (2, "2 cases"), (12345, "12,345 cases")]
)
def test_a_number_of_things_is_said_as_people_say_it(count, words):
    assert number_of(count, "case") == words
