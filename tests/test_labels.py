"""Targets, values and channels: encoding, decoding, left and right."""

import numpy as np
import pytest

from autoseg.labels import Labels, other_side
from tests.synthetic import encoded_back

EXCLUSIVE = Labels({"liver": (1,), "spleen": (4,)})
REGIONS = Labels({"kidney": (1, 2), "tumour": (2,)})


def test_values_are_encoded_with_gaps_and_ignored_voxels():
    labels = Labels({"liver": (3,), "spleen": (200,)}, ignore=255)
    label_map = np.array([0, 3, 200, 255, 3], dtype=np.int32)
    indices = labels.encode(label_map)
    assert indices.dtype == np.uint8
    np.testing.assert_array_equal(indices, [0, 1, 2, labels.ignored_index, 1])
    np.testing.assert_array_equal(encoded_back(indices, labels), label_map)


@pytest.mark.parametrize("value", [2, 5, -1])
def test_encode_refuses_an_undeclared_value(value):
    with pytest.raises(ValueError, match="value"):
        EXCLUSIVE.encode(np.array([0, 1, value]))


def test_exclusive_targets_have_one_channel_more_than_targets():
    assert EXCLUSIVE.exclusive
    assert EXCLUSIVE.channels == 3
    assert EXCLUSIVE.written.tolist() == [0, 1, 4]


def test_overlapping_targets_have_one_channel_each():
    assert not REGIONS.exclusive
    assert REGIONS.channels == 2
    assert REGIONS.membership.tolist() == [[False, True, True], [False, False, True]]


def test_decoding_exclusive_scores_writes_the_best_channel():
    scores = np.array([[3.0, 0.0, 0.0], [1.0, 5.0, 0.0], [0.0, 0.0, 2.0]])
    assert EXCLUSIVE.decode(scores).tolist() == [0, 1, 4]


def test_decoding_overlapping_scores_writes_later_targets_over_earlier_ones():
    scores = np.array([[1.0, 1.0, -1.0, -1.0], [-1.0, 1.0, -1.0, 1.0]])
    assert REGIONS.decode(scores).tolist() == [1, 2, 0, 2]


@pytest.mark.parametrize("labels", [EXCLUSIVE, REGIONS, Labels({"a": (1, 2), "b": (3,)})])
def test_decoding_the_membership_of_a_label_map_gives_its_written_values(labels):
    label_map = np.array([0, *labels.values])
    present = labels.membership[:, labels.encode(label_map)]
    background = ~present.any(0, keepdims=True)
    scores = np.concatenate([background, present]) if labels.exclusive else present
    decoded = labels.decode(np.where(scores, 1.0, -1.0))
    for name in labels.targets:
        np.testing.assert_array_equal(labels.mask(decoded, name), labels.mask(label_map, name))


def test_mask_of_a_region_holds_all_its_values():
    assert REGIONS.mask(np.array([0, 1, 2]), "kidney").tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("kidney_left", "kidney_right"),
        ("left kidney", "right kidney"),
        ("L-kidney", "R-kidney"),
        ("kidney.r", "kidney.l"),
        ("kidneyRight", "kidneyLeft"),
        ("RightLung", "LeftLung"),
        ("LUNG_LEFT", "LUNG_RIGHT"),
        ("lung_upper_lobe_left", "lung_upper_lobe_right"),
        ("femur lt", "femur rt"),
        ("niere_links", "niere_rechts"),
        ("liver", None),
        ("vertebra_L5", None),
        ("flair", None),
    ],
)
def test_the_other_side_of_a_name_in_its_usual_spellings(name, other):
    assert other_side(name) == other


def test_pairs_are_found_by_name_once():
    labels = Labels({"kidney_left": (1,), "liver": (2,), "kidney_right": (3,)})
    assert labels.pairs == (("kidney_left", "kidney_right"),)
    assert labels.mirrored_channels == (0, 3, 2, 1)
    assert labels.mirrored_indices[:4].tolist() == [0, 3, 2, 1]


def test_a_side_without_its_partner_is_lonely():
    labels = Labels({"kidney_left": (1,), "liver": (2,)})
    assert labels.pairs == ()
    assert labels.lonely_sides == ("kidney_left",)


def test_declared_pairs_replace_those_found_by_name():
    labels = Labels({"a": (1,), "b": (2,)}, declared_pairs=(("a", "b"),))
    assert labels.mirrored_channels == (0, 2, 1)


def test_a_value_shared_by_both_sides_stays_where_it_is_when_mirrored():
    labels = Labels({"lung_left": (1, 3), "lung_right": (2, 3)})
    assert labels.mirrored_indices[:4].tolist() == [0, 2, 1, 3]
    assert labels.mirrored_channels == (1, 0)


def test_mirroring_twice_changes_nothing():
    labels = Labels({"l_eye": (1,), "r_eye": (2,), "brain": (3,)})
    twice = labels.mirrored_indices[labels.mirrored_indices]
    np.testing.assert_array_equal(twice, np.arange(256))


MANY = Labels({f"part_{i}": (1000 + 7 * i,) for i in range(300)}, ignore=65535)


def test_value_indices_take_one_byte_up_to_253_values_and_two_beyond():
    few = Labels({f"part_{i}": (i,) for i in range(1, 254)})
    more = Labels({f"part_{i}": (i,) for i in range(1, 255)})
    assert (few.index_dtype, few.ignored_index) == (np.uint8, 255)
    assert (more.index_dtype, more.ignored_index) == (np.int16, 32767)


def test_three_hundred_values_are_encoded_decoded_and_written_as_two_bytes():
    label_map = np.array([0, 1000, 1007, 3093, 65535])
    indices = MANY.encode(label_map)
    assert indices.tolist() == [0, 1, 2, 300, MANY.ignored_index]
    back = encoded_back(indices, MANY)
    np.testing.assert_array_equal(back, label_map)
    assert back.dtype == MANY.dtype == np.uint16
    with pytest.raises(ValueError, match="undeclared"):
        MANY.encode(np.array([1001]))
    scores = np.eye(301)[:, [300, 0, 1]]
    assert MANY.decode(scores).tolist() == [3093, 0, 1000]


def test_a_table_by_index_has_a_row_for_every_index_and_zero_where_ignored():
    table = MANY.by_index(MANY.channel_of_value)
    assert table[[0, 1, 300, MANY.ignored_index]].tolist() == [0, 1, 300, 0]


def test_sides_of_three_hundred_values_are_exchanged():
    targets = {f"{side}_{i}": (500 + 2 * i + (side == "right"),)
               for i in range(150) for side in ("left", "right")}  # fmt: skip
    labels = Labels(targets)
    exchanged = labels.mirrored_indices[labels.encode(np.array([500, 501, 798, 799, 0]))]
    assert encoded_back(exchanged, labels).tolist() == [501, 500, 799, 798, 0]
    assert exchanged.dtype == labels.index_dtype
