"""Lesions: components, one-to-one matching, counts and volumes, presets of challenges."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from autoseg.errors import UsageError
from autoseg.evaluation.lesions import (
    BRATS_METRICS,
    LESION_COUNTS,
    LESION_METRICS,
    LesionRules,
    components,
    match,
    measure_lesions,
)
from autoseg.results import BOTH_EMPTY, OK, PRED_EMPTY, REF_EMPTY, UNDEFINED
from tests.evaluation.shapes import UNIT, box

SHAPE = (30, 20, 20)


def lesion(start: int, length: int) -> np.ndarray:
    """A rod of `length` x 2 x 2 voxels."""
    return box(SHAPE, (start, start + length), (5, 7), (5, 7))


def measure(reference, prediction, spacing=UNIT, **rules) -> dict[str, float | None]:
    values = measure_lesions(reference, prediction, spacing, LesionRules(**rules))
    return {key: value.value for key, value in values.items()}


def test_counts_and_quality_of_known_lesions():
    # Found with IoU 3/5; found with IoU 1/4; missed; and one invented.
    reference = lesion(0, 4) | lesion(8, 4) | lesion(16, 2)
    prediction = lesion(1, 4) | lesion(11, 1) | lesion(24, 3)
    found = measure(reference, prediction, (2.0, 1.0, 1.0))
    assert [found[key] for key in ("lesion_n_ref", "lesion_n_pred")] == [3, 3]
    assert [found[key] for key in ("lesion_tp", "lesion_fp", "lesion_fn")] == [2, 1, 1]
    assert found["lesion_f1"] == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert found["lesion_sensitivity"] == found["lesion_precision"] == pytest.approx(2 / 3)
    assert found["lesion_sq"] == pytest.approx(3 / 5)  # only the first is above an IoU of 0.5
    assert found["lesion_rq"] == pytest.approx(1 / 3)
    assert found["lesion_pq"] == pytest.approx(found["lesion_sq"] * found["lesion_rq"])
    assert found["lesion_fp_volume_ml"] == pytest.approx(3 * 4 * 2 / 1000)
    assert found["lesion_fn_volume_ml"] == pytest.approx(2 * 4 * 2 / 1000)


def test_of_a_lesion_in_pieces_one_piece_matches():
    found = measure(lesion(0, 9), lesion(0, 3) | lesion(4, 5))
    assert [found[key] for key in ("lesion_tp", "lesion_fp", "lesion_fn")] == [1, 1, 0]
    assert found["lesion_sq"] == pytest.approx(5 / 9)
    assert found["lesion_fp_volume_ml"] == pytest.approx(0.012)  # the smaller piece


def test_lesions_that_touch_at_a_corner_are_one():
    mask = box((4, 4, 4), (0, 2), (0, 2), (0, 2)) | box((4, 4, 4), (2, 4), (2, 4), (2, 4))
    assert len(components(mask)[1]) == 1
    assert len(components(mask[1:3, 1:3, 1])[1]) == 1
    assert len(components(mask, connectivity=2)[1]) == 2
    assert len(components(np.eye(3, dtype=bool))[1]) == 1


def test_small_components_are_dropped_on_both_sides_and_counted():
    reference, prediction = (
        lesion(0, 4) | lesion(8, 1),
        lesion(0, 4) | lesion(12, 1) | lesion(16, 1),
    )
    found = measure(reference, prediction, (1.0, 1.0, 0.5), min_volume_mm3=2.1)
    assert (found["lesion_small_ref"], found["lesion_small_pred"]) == (1, 2)
    assert (found["lesion_n_ref"], found["lesion_n_pred"], found["lesion_f1"]) == (1, 1, 1)
    kept = measure(reference, prediction, (1.0, 1.0, 0.5), min_volume_mm3=2.0)
    assert kept["lesion_n_pred"] == 3
    numbers, sizes, _ = components(reference, 5)
    assert (sorted(np.unique(numbers)), sizes.tolist()) == ([0, 1], [16])


@pytest.mark.parametrize("seed", range(10))
def test_the_matching_has_the_largest_total_of_all(seed):
    iou = np.random.default_rng(seed).random((4, 4)) * (
        np.random.default_rng(seed + 9).random((4, 4)) > 0.4
    )
    rows, columns = match(iou, 0.3)
    allowed = np.where(iou > 0.3, iou, 0)
    best = max(sum(allowed[i, p[i]] for i in range(4)) for p in permutations(range(4)))
    assert iou[rows, columns].sum() == pytest.approx(best)
    assert (iou[rows, columns] > 0.3).all()


def test_an_overlap_of_exactly_the_threshold_is_no_match():
    assert len(match(np.array([[0.5]]), 0.5)[0]) == 0
    assert len(match(np.array([[0.0]]), 0.0)[0]) == 0


@pytest.mark.parametrize(
    ("reference", "prediction", "status", "f1", "sensitivity", "precision"),
    [
        (0, 0, BOTH_EMPTY, None, None, None),
        (0, 2, REF_EMPTY, 0, None, 0),
        (2, 0, PRED_EMPTY, 0, 0, None),
    ],
)
def test_cases_without_lesions(reference, prediction, status, f1, sensitivity, precision):
    values = measure_lesions(lesion(0, reference), lesion(0, prediction), UNIT, LesionRules())
    scores = [values[f"lesion_{key}"].value for key in ("f1", "sensitivity", "precision", "pq")]
    assert scores == [f1, sensitivity, precision, f1]
    assert values["lesion_sq"].value is None
    for key in set(LESION_METRICS) - set(LESION_COUNTS):
        assert values[key].status == (OK if key.endswith("_ml") else status), key
    assert values["lesion_fp"].value == (1 if prediction else 0)


def test_no_match_leaves_the_quality_of_segmentation_undefined():
    values = measure_lesions(lesion(0, 2), lesion(8, 2), UNIT, LesionRules())
    assert (values["lesion_sq"].value, values["lesion_sq"].status) == (None, UNDEFINED)
    assert values["lesion_pq"].value == 0


def test_a_target_in_neither_map_has_no_lesions():
    nothing = np.zeros((0, 0, 0), dtype=bool)
    for preset in ("", "brats", "autopet"):
        found = measure(nothing, nothing, preset=preset)
        assert found["lesion_n_ref"] == found["lesion_fp_volume_ml"] == 0


def test_autopet_counts_components_that_touch_nothing():
    reference, prediction = (
        lesion(0, 9) | lesion(20, 2),
        lesion(0, 3) | lesion(4, 5) | lesion(24, 3),
    )
    found = measure(reference, prediction, preset="autopet")
    assert found["lesion_fp_volume_ml"] == pytest.approx(0.012)  # not the second piece
    assert found["lesion_fn_volume_ml"] == pytest.approx(0.008)


def brats(reference, prediction, **rules) -> tuple[float, float]:
    found = measure(reference, prediction, preset="brats", **rules)
    return tuple(found[key] for key in BRATS_METRICS)


def test_brats_counts_missed_and_invented_lesions_as_0_and_374_mm():
    # 56 mm3 and 80 mm3: both judged. The first is found exactly, the second missed, one invented.
    reference, prediction = lesion(0, 14), lesion(0, 14)
    far = box(SHAPE, (0, 20), (15, 17), (15, 17))
    assert brats(reference, prediction) == (1, 0)
    assert brats(reference | far, prediction) == (0.5, 187)
    assert brats(reference, prediction | far) == (0.5, 187)
    assert brats(np.zeros(SHAPE, bool), far) == (0, 374)
    assert brats(np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)) == (1, 0)


def test_brats_does_not_judge_small_lesions_but_what_finds_them_is_not_false():
    small, large = lesion(0, 12), box(SHAPE, (0, 20), (15, 17), (15, 17))  # 48 and 80 mm3
    assert brats(small | large, large) == (1, 0)
    assert brats(small | large, small | large) == (1, 0)
    assert brats(small | large, large, brats_volume_mm3=2.0) == (0.5, 187)


def test_brats_joins_reference_lesions_whose_dilations_touch():
    reference = lesion(0, 13) | lesion(17, 13)  # four voxels apart; three grow from either side
    dice, _ = brats(reference, lesion(0, 13))
    assert dice == pytest.approx(2 / 3)  # one lesion, half of it found
    assert brats(reference, lesion(0, 13), brats_dilation=1)[0] == 0.5


def test_brats_compares_a_lesion_with_all_that_its_dilation_touches():
    reference, prediction = lesion(0, 13), lesion(0, 6) | lesion(14, 6)
    dice, distance = brats(reference, prediction)
    assert dice == pytest.approx(2 * 6 / (13 + 12))
    assert 5 < distance < 374


def test_rules_are_checked():
    with pytest.raises(UsageError, match="did you mean 'brats'"):
        LesionRules(preset="brat")
    with pytest.raises(UsageError, match="0 mm3 or more"):
        LesionRules(min_volume_mm3=-1)
