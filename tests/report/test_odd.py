"""Cases unlike the others, and labels that a model contradicts."""

from __future__ import annotations

from autoseg.report.odd import doubtful_labels, false_alarms, odd_cases
from autoseg.report.sizes import measured_sizes
from autoseg.results import (
    OK,
    REF_EMPTY,
    CaseScores,
    CaseStatistics,
    DatasetStatistics,
    Mean,
    Summary,
    TargetInCase,
    Value,
)


def scored(case: str, dice: float, ours: float = 10.0, theirs: float = 10.0) -> CaseScores:
    status = OK if ours else REF_EMPTY
    values = {
        "dice": Value(dice, status), "n_ref": Value(ours), "assd": Value(0.5),
        "vol_ref_ml": Value(ours), "vol_pred_ml": Value(theirs),
    }  # fmt: skip
    return CaseScores(case, {"liver": values}, (1, 1, 1), 100.0)


def summary(*cases: CaseScores) -> Summary:
    return Summary(cases, {"liver": {"dice": Mean(0.9, 9, 9, 0.9)}}, {}, {})


def usual(count: int = 9) -> list[CaseScores]:
    return [scored(f"c{n}", 0.90 + 0.005 * n) for n in range(count)]


def test_labels_that_disagree_far_more_than_others_are_ranked():
    found = doubtful_labels(
        summary(*usual(), scored("half", 0.6, 10, 5), scored("none", 0.0, 0, 12))
    )
    assert [odd.case for odd in found] == ["none", "half"]
    assert found[0].why == "liver: not in the label, but 12 ml are found"
    assert "10 ml in the label, 5 ml found" in found[1].why
    # Median 0.915 of eleven; the spread of these is 0.0222: (0.915 - 0.6) / 0.0222.
    assert 14 < found[1].distance < 14.4


def test_near_perfect_cases_are_not_held_to_a_thousandth():
    cases = [scored(f"c{n}", 0.990 + 0.0005 * n) for n in range(9)]
    assert doubtful_labels(summary(*cases, scored("x", 0.95))) == []


def test_few_cases_say_nothing_about_what_is_usual():
    assert doubtful_labels(summary(*usual(5), scored("x", 0.0))) == []


def measured(case: str, z: float = 2.0, volume: float = 100.0) -> CaseStatistics:
    target = TargetInCase(5, volume, 1, {})
    return CaseStatistics(case, (10, 20, 20), (z, 1, 1), 10, 4000, {}, {"liver": target})


def test_a_scan_unlike_the_others_is_told_with_all_that_is_odd_about_it():
    cases = [measured(f"c{n}", volume=100 + n) for n in range(9)] + [measured("x", 5.0, 3.0)]
    statistics = DatasetStatistics("D", ("CT",), {"liver": (1,)}, tuple(cases), (None,) * 3,
                                   (None,) * 3, None, {"liver": None})  # fmt: skip
    (odd,) = odd_cases(measured_sizes(statistics))
    assert odd.case == "x"
    assert "spacing Z 5 mm (median 2)" in odd.why
    assert "volume of liver 3 ml (median 103.5)" in odd.why


def test_of_a_case_that_is_odd_in_many_ways_the_oddest_are_told():
    target = TargetInCase(5, 100.0, 1, {})
    cases = [measured(f"c{n}") for n in range(9)] + [
        CaseStatistics("x", (90, 60, 20), (9.0, 4, 1), 10, 4000, {}, {"liver": target})
    ]
    none = (None,) * 3
    statistics = DatasetStatistics(
        "D", ("CT",), {}, tuple(cases), none, none, None, {"liver": None}
    )
    (odd,) = odd_cases(measured_sizes(statistics))
    assert odd.why == (
        "size Z 90 voxels (median 10); spacing Z 9 mm (median 2); spacing Y 4 mm (median 1); "
        "and 1 more"
    )


def test_what_is_found_in_vain_is_listed_the_largest_first():
    found = false_alarms(summary(*usual(), scored("a", 0.0, 0, 2), scored("b", 0.0, 0, 30)))
    assert found == {"b": "liver 30 ml", "a": "liver 2 ml"}
    assert false_alarms(summary(*usual())) == {}
