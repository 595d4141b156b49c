"""Calibration: bins, Brier score and likelihood by hand; what is looked at; what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.errors import DataError
from autoseg.evaluation.calibration import (
    brier_score,
    check_probabilities,
    expected_calibration_error,
    measure_calibration,
    negative_log_likelihood,
    read_probabilities,
)
from autoseg.evaluation.label_maps import load_label_map
from autoseg.image import Geometry
from autoseg.labels import Labels
from autoseg.probabilities import write_probabilities
from autoseg.results import BOTH_EMPTY

ORGAN = Labels({"organ": (1,)})
REGIONS = Labels({"whole": (1, 2), "core": (2,)})


def binary(*of_one: float) -> np.ndarray:
    return np.array([[1 - p for p in of_one], list(of_one)])


def test_ece_by_hand():
    # Confidences 0.9, 0.9, 0.9 (two right) and 0.6 (wrong): 3/4 |2/3 - 0.9| + 1/4 |0 - 0.6|.
    found = expected_calibration_error(binary(0.9, 0.9, 0.1, 0.6), np.array([1, 0, 0, 0]))
    assert found == pytest.approx(0.75 * abs(2 / 3 - 0.9) + 0.25 * 0.6)


def test_a_confidence_on_an_edge_belongs_to_the_upper_bin_and_1_to_the_last():
    edge = 9 / 15
    alone = expected_calibration_error(binary(edge, edge + 0.03), np.array([1, 0]))
    assert alone == pytest.approx(abs((1 - edge) + (0 - edge - 0.03)) / 2)  # in one bin
    apart = expected_calibration_error(binary(edge, edge - 0.01), np.array([1, 0]))
    assert apart == pytest.approx(((1 - edge) + (edge - 0.01)) / 2)  # in two
    assert expected_calibration_error(binary(1.0, 0.0), np.array([1, 0])) == 0


def test_brier_and_likelihood_by_hand():
    probabilities, truth = binary(0.8, 0.3), np.array([1, 1])
    assert brier_score(probabilities, truth) == pytest.approx((2 * 0.2**2 + 2 * 0.7**2) / 2)
    assert negative_log_likelihood(probabilities, truth) == pytest.approx(
        -(np.log(0.8) + np.log(0.3)) / 2
    )
    assert negative_log_likelihood(binary(0.0), np.array([1])) == pytest.approx(-np.log(1e-7))


def example() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    reference = np.zeros((40, 40, 40), dtype=np.uint8)
    reference[18:22, 18:22, 18:22] = 1
    prediction = np.roll(reference, 1, 0)
    probabilities = np.stack([np.where(prediction, 0.2, 0.9), np.where(prediction, 0.8, 0.1)])
    return reference, prediction, probabilities


def measure(
    reference, prediction, probabilities, labels=ORGAN, target="organ", spacing=(2.0, 1, 1)
):
    maps = (load_label_map(array, "here") for array in (reference, prediction))
    values = measure_calibration(probabilities, *maps, labels, target, spacing)
    return {key: value.value for key, value in values.items()}


def test_only_the_voxels_within_10_mm_count():
    reference, prediction, probabilities = example()
    found = measure(reference, prediction, probabilities)
    either = np.argwhere((reference > 0) | (prediction > 0)) * (2.0, 1, 1)
    everywhere = np.argwhere(np.ones_like(reference)) * (2.0, 1, 1)
    low, high = either.min(0), either.max(0)  # a box: the distance is to its sides
    gaps = np.maximum(np.maximum(low - everywhere, everywhere - high), 0)
    near = np.sqrt((gaps**2).sum(1)) <= 10
    flat = probabilities.reshape(2, -1)[:, near]
    truth = reference.ravel()[near].astype(int)
    assert found["brier"] == pytest.approx(brier_score(flat, truth), rel=1e-12)
    assert found["ece"] == pytest.approx(expected_calibration_error(flat, truth), rel=1e-12)
    assert found["nll"] == pytest.approx(negative_log_likelihood(flat, truth), rel=1e-12)
    elsewhere = probabilities.copy()
    elsewhere[:, 0] = 0.5  # 36 mm away
    assert measure(reference, prediction, elsewhere) == found


def test_ignored_voxels_do_not_count():
    reference, prediction, probabilities = example()
    labels = Labels({"organ": (1,)}, ignore=9)
    half = reference.copy()
    half[:, :, 20:] = 9
    found = measure(half, prediction, probabilities, labels)
    changed = probabilities.copy()
    changed[:, :, :, 20:] = 0.5
    assert measure(half, prediction, changed, labels) == found


def test_regions_are_judged_by_their_own_channel():
    reference, prediction, _ = example()
    of_whole = np.where(reference > 0, 0.9, 0.2)
    probabilities = np.stack([of_whole, np.zeros_like(of_whole)])
    found = measure(reference, prediction, probabilities, REGIONS, "whole")
    assert 0 < found["brier"] <= 2 * 0.2**2 + 1e-12


def test_a_target_that_is_nowhere_has_no_calibration():
    reference, prediction, probabilities = example()
    labels = Labels({"organ": (1,), "other": (2,)})
    maps = [load_label_map(array, "here") for array in (reference, prediction)]
    values = measure_calibration(probabilities, *maps, labels, "other", (1, 1, 1))
    assert {(value.value, value.status) for value in values.values()} == {(None, BOTH_EMPTY)}


def test_what_is_no_probability_is_refused():
    good = np.full((2, 3, 3, 3), 0.5)
    check_probabilities(good, (3, 3, 3), ORGAN, "case 7")
    with pytest.raises(DataError, match=r"case 7.*shape \(1, 3, 3, 3\).*\(2, 3, 3, 3\): channels"):
        check_probabilities(good[:1], (3, 3, 3), ORGAN, "case 7")
    for wrong in (8 * good, good - 1, good * np.nan):
        with pytest.raises(DataError, match="probabilities, 0 to 1"):
            check_probabilities(wrong, (3, 3, 3), ORGAN, "case 7")


def test_probabilities_are_read_from_npz(tmp_path):
    np.savez(tmp_path / "a.npz", probabilities=np.ones((2, 1, 1, 1)))
    assert read_probabilities(tmp_path, "a", ORGAN).shape == (2, 1, 1, 1)
    np.savez(tmp_path / "b.npz", softmax=np.ones(1))
    with pytest.raises(DataError, match=r"holds softmax.*'probabilities'"):
        read_probabilities(tmp_path, "b", ORGAN)
    with pytest.raises(DataError, match="no probabilities of this case"):
        read_probabilities(tmp_path, "c", ORGAN)


def test_our_own_are_put_on_the_whole_grid_in_the_order_of_the_targets(tmp_path):
    organs = Labels({"liver": (1,), "spleen": (2,)})
    box = ((1, 2), (0, 2), (0, 1))

    def fill(array):
        array[...] = np.array([0.25, 0.5, 0.125], np.float16)[:, None, None, None]

    write_probabilities(tmp_path / "a.npz", Geometry((2, 2, 2)), box, organs, fill)
    found = read_probabilities(tmp_path, "a", organs)
    assert found.shape == (3, 2, 2, 2)
    assert found[:, 1, 0, 0].tolist() == [0.25, 0.5, 0.125]
    assert found[:, 0, 0, 0].tolist() == [1, 0, 0]
    other = read_probabilities(tmp_path, "a", Labels({"spleen": (2,), "liver": (1,)}))
    assert other[:, 1, 0, 0].tolist() == [0.25, 0.125, 0.5]
    with pytest.raises(DataError, match=r"liver \(1\), spleen \(2\), expected of 0, 1"):
        read_probabilities(tmp_path, "a", ORGAN)
