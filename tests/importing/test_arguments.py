"""The options of an import."""

import pytest

from autoseg.errors import UsageError
from autoseg.importing.arguments import (
    annotated_of,
    order_channels,
    parse_annotated,
    parse_channels,
    parse_classes,
    parse_label_map,
)


def test_classes_count_from_one_unless_they_say_their_values():
    assert parse_classes(["anterior", "posterior"]) == {"anterior": 1, "posterior": 2}
    assert parse_classes(["kidney=1,2", "tumour=2"]) == {"kidney": [1, 2], "tumour": 2}


@pytest.mark.parametrize("classes", [[], ["a", "a"], ["a=x"], ["=1"], ["background"]])
def test_odd_classes_are_refused(classes):
    with pytest.raises(UsageError):
        parse_classes(classes)


def test_label_maps_are_pairs():
    assert parse_label_map(["255:1", "63:2,126:3"]) == {255: 1, 63: 2, 126: 3}
    assert parse_label_map({255: 1}) == {255: 1}
    assert parse_label_map([]) == {}
    with pytest.raises(UsageError, match="expected FROM:TO, such as 255:1"):
        parse_label_map(["255=1"])


def test_what_is_annotated_is_said_by_the_names_of_cases():
    entries = parse_annotated(["a_*=liver", "a_2=liver,spleen", "c="], ["liver", "spleen"])
    cases = ["a_1", "a_2", "b_1", "c"]
    expected = {"a_1": ("liver",), "a_2": ("liver", "spleen"), "c": ()}
    assert annotated_of(cases, entries) == expected
    with pytest.raises(UsageError, match="did you mean 'liver'"):
        parse_annotated(["a_*=livre"], ["liver", "spleen"])
    with pytest.raises(UsageError, match="expected CASES=CLASS"):
        parse_annotated(["liver"], ["liver"])
    with pytest.raises(UsageError, match="no case has such a name, expected as a_1, a_2"):
        annotated_of(cases, parse_annotated(["d_*=liver"], ["liver"]))


def test_channels_are_ordered_by_name_or_number():
    channels = parse_channels(["T1", "T2=flair"])
    assert channels == {"T1": "T1", "T2": "flair"}
    assert order_channels({"t1", "FLAIR", "dwi"}, channels) == {"t1": 0, "FLAIR": 1}
    assert order_channels({"0000", "0001"}, channels) == {"0000": 0, "0001": 1}
    assert order_channels({"1", "2"}, channels) == {"1": 0, "2": 1}
    with pytest.raises(UsageError, match="say which is which"):
        order_channels({"a", "b"}, channels)
