"""Resampling label maps: equal to the slow way."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.preprocessing.operators import operators
from autoseg.preprocessing.resample_labels import resample_labels, value_boxes
from tests.preprocessing.conftest import golden_cases

ONE = (1.0, 1.0, 1.0)


def slow_weights(labels, shape_out, spacing, target):
    """Return the values present, and the linear weight of each everywhere, in double."""
    values = np.unique(labels)
    matrices = operators(labels.shape, shape_out, spacing, target, order=1)
    return values, np.stack([multiply(matrices, labels == value) for value in values])


def multiply(matrices, volume):
    for axis, matrix in enumerate(matrices):
        if matrix is not None:
            volume = np.moveaxis(np.tensordot(matrix, volume, (1, axis)), 0, axis)
    return volume


def slow_labels(labels, shape_out):
    """The largest weight wins; in a tie the larger value where z + y + x is even."""
    values, weights = slow_weights(labels, shape_out, ONE, ONE)
    even = np.indices(shape_out).sum(0) % 2 == 0
    tied = weights > weights.max(0) - 1e-9
    largest = len(values) - 1 - tied[::-1].argmax(0)
    return values[np.where(even, largest, tied.argmax(0))]


def test_labels_equal_the_slow_way_over_random_shapes(rng):
    for _ in range(15):
        shape, out = rng.integers(1, 18, 3), rng.integers(1, 18, 3)
        labels = rng.integers(0, 3, shape).astype(np.uint8) * (rng.random(shape) > 0.5)
        labels[labels == 2] = 255
        found = resample_labels(labels.astype(np.uint8), tuple(out), ONE, ONE)
        np.testing.assert_array_equal(found, slow_labels(labels, tuple(out)))


def test_tall_scans_are_resampled_in_blocks_of_slices(rng):
    for size, wanted in ((31, 97), (90, 65), (70, 32), (33, 33)):
        labels = rng.integers(0, 3, (size, 4, 5)).astype(np.uint8)
        labels[: size // 2, 0] = 0
        found = resample_labels(labels, (wanted, 6, 3), ONE, ONE)
        np.testing.assert_array_equal(found, slow_labels(labels, (wanted, 6, 3)))


def test_labels_never_invent_a_value(rng):
    labels = (rng.integers(0, 2, (9, 9, 9)) * 7).astype(np.uint8)
    assert set(np.unique(resample_labels(labels, (13, 6, 17), ONE, ONE))) <= {0, 7}


def test_labels_that_fill_everything_stay():
    labels = np.full((5, 6, 7), 2, np.uint8)
    assert (resample_labels(labels, (9, 4, 8), ONE, ONE) == 2).all()


def test_empty_labels_stay_empty():
    assert not resample_labels(np.zeros((5, 6, 7), np.uint8), (9, 4, 8), ONE, ONE).any()


def test_value_boxes_hold_each_value():
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[1:3, 2, 3:5] = 4
    labels[0, 0, 0] = 255
    assert value_boxes(labels) == {4: np.s_[1:3, 2:3, 3:5], 255: np.s_[0:1, 0:1, 0:1]}


@pytest.mark.parametrize("case", golden_cases())
def test_labels_equal_nnunets_resampling(golden, case):
    labels, (spacing, target) = golden[f"{case}.labels"], golden[f"{case}.spacings"]
    expected = golden[f"{case}.resampled_labels"]
    found = resample_labels(labels, expected.shape, spacing, target)
    _, weights = slow_weights(labels, expected.shape, spacing, target)
    first, second = np.sort(weights, axis=0)[[-1, -2]]
    tied = first - second < 1e-9  # there the reference favours one side, and we neither
    assert tied.mean() < (0.25 if case == "factor_two" else 0.07)
    np.testing.assert_array_equal(found[~tied], expected[~tied])
