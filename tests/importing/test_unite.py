"""Labels united by name: classes, regions, ignored voxels, and who knows which class."""

import numpy as np
import pytest

from autoseg.errors import UsageError
from autoseg.importing.unite import unite
from autoseg.labels import Labels

# The two sources of one student's abdominal project, and the label map he wrote by hand.
PKU = Labels(
    {
        "bladder": (1,), "colon": (2,), "femur_head_left": (3,), "femur_head_right": (4,),
        "kidney_left": (5,), "kidney_right": (6,), "liver": (7,), "rectum": (8,),
        "small_intestine": (9,), "spinal_cord": (10,), "stomach": (11,),
    }
)  # fmt: skip
ABDOMEN = Labels({"liver": (1,), "kidney": (2,), "spleen": (3,), "pancreas": (4,)})
PKU_MAP = {
    "1": "bladder", "2": "colon", "3": "femur_head", "4": "femur_head", "5": "kidney",
    "kidney_right": "kidney", "7": "liver", "8": "rectum", "9": "small_intestine",
    "10": "spinal_cord", "11": "stomach",
}  # fmt: skip


def test_the_twelve_classes_of_the_abdominal_project_come_out_as_in_its_own_map():
    """A10."""
    united, of = unite({"pku": PKU, "a1k": ABDOMEN}, {"pku": PKU_MAP})
    assert united.names == (
        "bladder", "colon", "femur_head", "kidney", "liver", "rectum", "small_intestine",
        "spinal_cord", "stomach", "spleen", "pancreas",
    )  # fmt: skip
    assert united.values == tuple(range(1, 12))
    assert [of["pku"].values[value] for value in range(1, 12)] == [1, 2, 3, 3, 4, 4, 5, 6, 7, 8, 9]
    assert [of["a1k"].values[value] for value in range(1, 5)] == [5, 4, 10, 11]
    assert of["pku"].annotated(None) == united.names[:9]
    assert of["a1k"].annotated(None) == ("kidney", "liver", "spleen", "pancreas")


def test_a_class_of_two_is_annotated_where_both_are():
    _, of = unite({"pku": PKU, "a1k": ABDOMEN}, {"pku": PKU_MAP})
    assert of["pku"].annotated(["kidney_left", "liver"]) == ("liver",)
    assert of["pku"].annotated(["kidney_left", "kidney_right"]) == ("kidney",)
    assert of["pku"].annotated([]) == ()


def test_the_same_labels_stay_what_they_are_and_everything_is_annotated():
    united, of = unite({"A": ABDOMEN, "B": ABDOMEN}, {})
    assert united == ABDOMEN
    assert of["B"].values == {0: 0, 1: 1, 2: 2, 3: 3, 4: 4}
    assert of["B"].annotated(None) is None


def test_a_class_renamed_to_background_is_dropped_and_not_annotated():
    united, of = unite({"A": ABDOMEN, "B": Labels({"liver": (1,), "spleen": (2,)})},
                       {"B": {"1": "liver", "2": "background"}})  # fmt: skip
    assert of["B"].values == {0: 0, 1: 1, 2: 0}
    assert of["B"].annotated(None) == ("liver",)
    assert united.names == ABDOMEN.names


def test_the_rest_can_be_dropped_or_keep_its_names():
    other = Labels({"liver": (1,)})
    united, of = unite({"A": PKU, "B": other}, {"A": {"liver": "liver", "*": "background"}})
    assert united.names == ("liver",)
    assert [of["A"].values[value] for value in PKU.values] == [0] * 6 + [1] + [0] * 4
    sides = {"kidney_left": "kidney", "6": "kidney", "*": "*"}
    united, of = unite({"A": PKU, "B": other}, {"A": sides})
    assert united.names == (*PKU.names[:4], "kidney", *PKU.names[6:])
    assert of["A"].values[5] == of["A"].values[6] == 5


def decode_sets(labels, label_map):
    return {name: labels.mask(np.asarray(label_map), name).tolist() for name in labels.names}


def test_regions_and_classes_meet_without_losing_a_voxel():
    """A tumour alone in one source, inside the kidney in another; a kidney alone in a third."""
    sources = {
        "alone": Labels({"tumour": (1,)}),
        "inside": Labels({"kidney": (1, 2), "tumour": (2,)}, ignore=9),
        "plain": Labels({"cyst": (3,), "kidney": (5,)}),
    }
    united, of = unite(sources, {})
    for source, own in sources.items():
        before = decode_sets(own, [0, *own.values])
        after = decode_sets(united, [0, *(of[source].values[value] for value in own.values)])
        assert {name: after[name] for name in before} == before
        assert all(not any(after[name]) for name in after if name not in before)
    assert of["inside"].values[9] == united.ignore
    assert united.ignore not in united.values
    # The kidney is written before the tumour in it, and the tumour's value counts as kidney too.
    assert united.names.index("kidney") < united.names.index("tumour")
    assert united.targets["tumour"][0] in united.targets["kidney"]
    scores = np.ones((len(united.names), 1))
    scores[united.names.index("cyst")] = -1
    assert united.decode(scores)[0] == united.targets["tumour"][0]


def test_a_class_of_several_values_can_be_split_by_value():
    parts = Labels({"kidney": (1, 2)})
    united, of = unite({"A": parts, "B": ABDOMEN}, {"A": {"1": "cortex", "2": "medulla"}})
    assert united.names[:2] == ("cortex", "medulla")
    assert of["A"].values == {0: 0, 1: 1, 2: 2}
    assert unite({"A": parts, "B": ABDOMEN}, {})[1]["A"].values == {0: 0, 1: 1, 2: 1}


def test_sides_and_tolerances_go_along():
    left_right = Labels({"a": (1,), "b": (2,)}, None, {"a": 2.0}, (("a", "b"),))
    united, _ = unite(
        {"A": left_right, "B": Labels({"x": (1,)}, None, {"x": 3.0})}, {"B": {"x": "a"}}
    )
    assert united.declared_pairs == (("a", "b"),)
    assert united.nsd_tolerance_mm == {"a": 2.0}
    merged, _ = unite({"A": left_right, "B": ABDOMEN}, {"A": {"a": "liver", "b": "liver"}})
    assert merged.declared_pairs == ()


def test_everything_that_a_label_map_cannot_mean_is_told_at_once():
    renamed = {"A": {"1": "liver", "2": "kidney", "3": "spleen"}, "B": {"leaver": "liver"}}
    with pytest.raises(UsageError) as caught:
        unite({"A": ABDOMEN, "B": Labels({"liver": (1,)})}, renamed)
    assert str(caught.value).splitlines() == [
        "A: value 4 (pancreas) is not in the label map -> add A:4=NAME, or A:4=background to drop "
        "it",
        "B: the label map names 'leaver' -> did you mean 'liver'?",
        "B: value 1 (liver) is not in the label map -> add B:1=NAME, or B:1=background to drop it",
        "3 problems with the names of classes",
    ]
    regions = Labels({"kidney": (1, 2), "tumour": (2,)})
    with pytest.raises(UsageError, match="names '1', but labels overlap -> name classes, not val"):
        unite({"A": regions, "B": ABDOMEN}, {"A": {"1": "kidney", "kidney": "kidney"}})
    with pytest.raises(UsageError, match="no class is left"):
        unite({"A": Labels({"x": (1,)})}, {"A": {"x": "background"}})


def test_names_that_differ_in_spelling_only_are_refused():
    with pytest.raises(UsageError, match="'Left Kidney' is nearly the name 'left_kidney'"):
        unite({"A": Labels({"left_kidney": (1,)}), "B": Labels({"Left Kidney": (1,)})}, {})
