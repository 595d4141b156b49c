"""Label values against the declared ones: counted, placed, and told how to be imported."""

import numpy as np
import pytest

from autoseg.importing.label_values import count_values, find_undeclared
from autoseg.labels import Labels

ONE = Labels({"tumour": (1,)})
FOUR = Labels({"oesophagus": (1,), "heart": (2,), "trachea": (3,), "aorta": (4,)})
THREE = Labels({"a": (1,), "b": (2,), "c": (5,)})


def remedies(values, labels):
    array = np.array([[[[0, *values]]]])
    found = find_undeclared(array, count_values(array), "c.png", labels)
    return [problem.remedy for problem in found]


def test_values_are_counted():
    rng = np.random.default_rng(0)
    array = rng.integers(-2, 300, (1, 3, 20, 20))
    for counted in (array, np.abs(array).astype(np.uint16)):
        values, counts = np.unique(counted, return_counts=True)
        assert count_values(counted) == dict(zip(values.tolist(), counts.tolist(), strict=True))


@pytest.mark.parametrize(
    ("labels", "values", "changes"),
    [
        (ONE, [255], "255:1"),
        (FOUR, [63, 126, 189, 252], "63:1,126:2,189:3,252:4"),
        (FOUR, [126], "63:1,126:2,189:3,252:4"),
        (THREE, [85, 255], "85:1,170:2,255:5"),
        (THREE, [63, 189], "63:1,126:2,189:5"),
    ],
)
def test_classes_stored_as_greys_are_told_how_to_be_imported(labels, values, changes):
    told = f"import with --label-map {changes}"
    assert remedies(values, labels) == [told] * len(values)


@pytest.mark.parametrize("values", [[7], [1, 63], [64], [252, 315], [-63]])
def test_other_values_are_not_taken_for_greys(values):
    told = "declare it in dataset.json, or correct the file"
    assert set(remedies(values, FOUR)) == {told}


def test_hundreds_of_classes_are_never_greys():
    many = Labels({f"cell {value}": (value,) for value in range(1, 301)})
    assert remedies([301], many) == ["declare it in dataset.json, or correct the file"]


def test_a_value_is_placed():
    array = np.zeros((1, 4, 2, 2), np.uint8)
    array[0, 1:3, 0, 0] = 7
    assert [str(p) for p in find_undeclared(array, count_values(array), "labelsTr/a.nii", ONE)] == [
        "labelsTr/a.nii: label value 7 in 2 voxels (slices 1 to 2), expected the declared values "
        "0, 1 -> declare it in dataset.json, or correct the file"
    ]
