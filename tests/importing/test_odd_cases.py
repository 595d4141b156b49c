"""Cases unlike the others: what they lack, and voxel sizes of their own."""

import pytest

from autoseg.dataset import Case
from autoseg.importing.odd_cases import (
    find_missing,
    find_never_seen,
    find_odd_spacing,
    tell_missing,
)
from autoseg.labels import Labels

LABELS = Labels({"liver": (1,), "kidney": (2, 3), "tumour": (3,)})


def case(name, **keys):
    return Case(name, (), None, **keys)


def test_a_target_that_nearly_all_cases_have_is_missed_in_the_others():
    cases = [case(f"c{number}") for number in range(6)]
    values = [{0: 9, 1: 5, 2: 5}] * 3 + [{0: 9, 1: 5}, {0: 9, 1: 5, 3: 2}, {0: 9, 2: 1}]
    missing = find_missing(cases, values, LABELS)
    assert missing == {"liver": ("c5",), "kidney": ("c3",)}  # a tumour is rare: no surprise
    assert [str(warning) for warning in tell_missing(missing)] == [
        f"labelsTr: '{name}' is missing in {where}, expected in every case -> if it is not "
        "annotated there, say so in cases.<case>.annotated of dataset.json"
        for name, where in (("liver", "c5"), ("kidney", "c3"))
    ]


def test_controls_empty_label_maps_and_what_is_not_annotated_are_not_missed():
    cases = [
        *(case(f"c{number}") for number in range(5)),
        case("control", tags=("control",)),
        case("empty"),
        case("kidneys", annotated=("kidney",)),
    ]
    values = [{0: 9, 1: 5}] * 5 + [{0: 9, 2: 1}, {0: 9}, {0: 9, 2: 3}]
    assert find_missing(cases, values, LABELS) == {}


def test_targets_that_occur_nowhere_are_told_in_one_line():
    cases = [case("c0"), case("c1", annotated=("liver", "kidney"))]
    told = [str(one) for one in find_never_seen(cases, [{0: 9, 1: 5}, {0: 9, 1: 2}], LABELS)]
    assert told == [
        "dataset.json: 'kidney' (value 2, 3), 'tumour' (value 3) occur in no case -> remove them "
        "from labels"
    ]
    cases = [case("c1", annotated=("liver", "kidney"))]
    told = [str(one) for one in find_never_seen(cases, [{0: 9, 1: 2}], LABELS)]
    assert told == [
        "dataset.json: 'tumour' is annotated in no case: it cannot be learnt -> remove it from "
        "labels, or add it to the annotated targets of a case",
        "dataset.json: 'kidney' (value 2, 3) occurs in no case -> remove it from labels",
    ]


USUAL = (2.5, 0.98, 0.98)


def odd(*spacings):
    found = find_odd_spacing([f"c{number}" for number in range(len(spacings))], spacings)
    return [str(warning) for warning in found]


def test_a_lost_header_and_a_size_of_its_own_are_told():
    assert odd(USUAL, USUAL, (1.0, 1.0, 1.0), USUAL, (25.0, 0.98, 0.98)) == [
        "c2: voxels of (1, 1, 1) mm, expected about (2.5, 0.98, 0.98), the median "
        "-> was its header lost?",
        "c4: voxels of (25, 0.98, 0.98) mm, expected about (2.5, 0.98, 0.98), the median "
        "-> right, or in other units?",
    ]


@pytest.mark.parametrize(
    "spacings",
    [
        [(1.0, 1.0, 1.0)] * 5,
        [USUAL, (25.0, 0.98, 0.98)],  # which of two is odd?
        [(0.5, 0.8, 0.8), (1, 0.7, 0.7), (2.5, 0.9, 0.9), (3, 0.8, 0.8), (5, 0.9, 0.9)],
        [USUAL, USUAL, (3.0, 0.7, 0.7)],
    ],
    ids=["no headers", "two cases", "mixed", "near"],
)
def test_sizes_that_are_usual_here_are_not_told(spacings):
    assert odd(*spacings) == []
