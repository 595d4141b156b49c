"""One case: input rules, statuses, regions, ignored voxels, number types."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from autoseg.errors import DataError, UsageError
from autoseg.evaluation.metrics import METRICS
from autoseg.evaluation.score import choose_tolerances, make_header, score_case, summarise
from autoseg.image import Geometry
from autoseg.labels import Labels
from autoseg.results import BOTH_EMPTY, MISSING_PRED, OK, PRED_EMPTY, REF_EMPTY, SKIPPED

SHAPE = (12, 14, 16)
GEOMETRY = Geometry(SHAPE, (2.0, 1.0, 0.5))
LABELS = Labels({"liver": (1,), "tumour": (2,)})


def label_maps(dtype=np.uint8) -> tuple[np.ndarray, np.ndarray]:
    """A liver with a tumour inside, and a prediction that is one voxel off."""
    reference = np.zeros(SHAPE, dtype=dtype)
    reference[2:9, 3:11, 4:12] = 1
    reference[4:7, 5:8, 6:9] = 2
    return np.roll(reference, 1, 1), reference


def score(prediction, reference, labels=LABELS, geometry=GEOMETRY, **more):
    return score_case(prediction, reference, geometry, labels, case="patient_007", **more)


def values(scores, target="liver") -> dict[str, float | None]:
    return {name: value.value for name, value in scores.metrics[target].items()}


def test_every_target_has_every_metric_and_the_reference_s_spacing():
    scores = score(*label_maps(), tags=("site-A",))
    assert set(scores.metrics) == {"liver", "tumour"}
    assert set(values(scores)) == set(METRICS)
    assert scores.spacing == (2.0, 1.0, 0.5)
    assert scores.diagonal_mm == pytest.approx(np.sqrt(24**2 + 14**2 + 8**2))
    assert (scores.case, scores.tags, scores.dim) == ("patient_007", ("site-A",), 3)


def test_all_targets_in_one_pass_equal_each_target_alone():
    prediction, reference = label_maps()
    together = score(prediction, reference)
    for name, value in {"liver": 1, "tumour": 2}.items():
        alone = score(
            (prediction == value).astype(np.uint8),
            (reference == value).astype(np.uint8),
            Labels({name: (1,)}),
        )
        assert alone.metrics[name] == together.metrics[name]


def test_a_region_is_the_union_of_its_values():
    prediction, reference = label_maps()
    regions = Labels({"liver with tumour": (1, 2), "tumour": (2,)})
    found = score(prediction, reference, regions)
    union = score((prediction > 0) * 1, (reference > 0) * 1, Labels({"all": (1,)}))
    assert found.metrics["liver with tumour"] == union.metrics["all"]


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.astype(np.int16),
        lambda a: a.astype(np.int64),
        lambda a: a.astype(np.float32) + np.float32(4e-4),
        np.asfortranarray,
        lambda a: a[::-1].copy()[::-1],
        lambda a: np.require(a.copy(), requirements="C"),
    ],
)
def test_number_types_and_memory_layouts_do_not_matter(change):
    prediction, reference = label_maps()
    expected = score(prediction, reference)
    assert score(change(prediction), change(reference)) == expected


def test_inputs_are_not_changed_and_may_be_read_only(tmp_path):
    prediction, reference = label_maps()
    np.save(tmp_path / "reference.npy", reference)
    mapped = np.load(tmp_path / "reference.npy", mmap_mode="r")
    before = prediction.copy()
    prediction.flags.writeable = False
    assert score(prediction, mapped) == score(before, reference)
    assert (prediction == before).all()


def test_booleans_are_labels_0_and_1():
    prediction, reference = label_maps()
    found = score(prediction > 0, reference > 0, Labels({"all": (1,)}))
    assert values(found, "all")["n_ref"] == 7 * 8 * 8


@pytest.mark.parametrize("factor", [100, 40000, 10**9])
def test_large_label_values_are_not_cut_off(factor):
    prediction, reference = (array * factor for array in label_maps(np.int64))
    labels = Labels({"liver": (factor,), "tumour": (2 * factor,)})
    assert score(prediction, reference, labels).metrics == score(*label_maps()).metrics


def test_missing_and_empty_are_told_apart():
    prediction, reference = label_maps()
    nothing = np.zeros(SHAPE, dtype=np.uint8)
    only_liver = np.where(reference == 1, 1, 0)
    expected = {
        OK: score(prediction, reference),
        PRED_EMPTY: score(np.where(prediction == 1, 1, 0), reference),
        REF_EMPTY: score(prediction, only_liver),
        BOTH_EMPTY: score(only_liver, only_liver),
        MISSING_PRED: score(None, reference),
        SKIPPED: score(prediction, reference, annotated=("liver",)),
    }
    for status, scores in expected.items():
        assert scores.metrics["tumour"]["dice"].status == status
    assert expected[MISSING_PRED].metrics["tumour"]["dice"].value == 0
    assert expected[MISSING_PRED].metrics["tumour"]["hd95"].value is None
    assert expected[SKIPPED].metrics["liver"]["dice"].status == OK
    missing_control = score(None, nothing).metrics["liver"]["dice"]
    assert (missing_control.value, missing_control.status) == (None, BOTH_EMPTY)


def test_ignored_voxels_belong_to_neither_mask():
    prediction, reference = label_maps()
    labels = Labels(LABELS.targets, ignore=9)
    half = reference.copy()
    half[:, :, 8:] = 9
    found = score(prediction, half, labels)
    left = Geometry((12, 14, 8), GEOMETRY.spacing)
    cut = score(prediction[:, :, :8], reference[:, :, :8], geometry=left)
    assert found.metrics == cut.metrics
    wholly = score(prediction, np.full(SHAPE, 9), labels)
    assert {value.status for value in wholly.metrics["liver"].values()} == {SKIPPED}


def test_shapes_that_differ_are_never_broadcast():
    prediction, reference = label_maps()
    with pytest.raises(
        DataError, match=r"patient_007: the prediction has 12x14x1 voxels, expected"
    ):
        score(prediction[:, :, :1], reference)
    with pytest.raises(DataError, match="the reference has 11x14x16 voxels"):
        score(prediction, reference[1:])


def test_undeclared_values_of_both_maps_are_named_with_their_number():
    prediction, reference = label_maps()
    prediction[0, 0, :5], reference[0, 0, 0] = 7, 3
    with pytest.raises(DataError) as caught:
        score(prediction, reference)
    text = str(caught.value)
    assert "patient_007 (reference): value 3 in 1 voxels, expected only 0, 1, 2" in text
    assert "patient_007 (prediction): value 7 in 5 voxels" in text


def test_a_negative_value_is_undeclared_too():
    prediction, reference = label_maps(np.int16)
    prediction[0, 0, 0] = -1
    with pytest.raises(DataError, match="value -1 in 1 voxels"):
        score(prediction, reference)


def test_probabilities_are_not_labels():
    prediction, reference = label_maps()
    with pytest.raises(DataError, match="look like probabilities"):
        score((prediction > 0) * 0.7, reference)
    with pytest.raises(DataError, match=r"448 voxels are not whole numbers .*interpolated"):
        score((prediction > 0) * 1.4, reference, Labels({"all": (1,)}))
    with pytest.raises(DataError, match="not whole numbers"):
        score(np.where(prediction > 0, np.nan, 0.0), reference)


def test_a_flat_image_is_scored_in_two_dimensions():
    prediction, reference = label_maps()
    flat = Geometry((1, 14, 16), (5.0, 1.0, 0.5))
    found = score(prediction[5:6], reference[5:6], geometry=flat)
    assert found.dim == 2
    turned = Geometry((14, 16, 1), (1.0, 0.5, 5.0))
    again = score(
        prediction[5:6].transpose(1, 2, 0), reference[5:6].transpose(1, 2, 0), geometry=turned
    )
    assert values(again) == pytest.approx(values(found))


def test_the_tolerance_comes_from_the_argument_then_the_dataset_then_2_mm():
    labels = Labels(LABELS.targets, nsd_tolerance_mm={"tumour": 1.5})
    assert choose_tolerances(labels) == (
        {"liver": 2.0, "tumour": 1.5}, {"liver": "default", "tumour": "dataset"},
    )  # fmt: skip
    assert choose_tolerances(labels, {"tumour": 3})[0] == {"liver": 2.0, "tumour": 3.0}
    assert choose_tolerances(labels, 0.7) == (
        {"liver": 0.7, "tumour": 0.7}, {"liver": "argument", "tumour": "argument"},
    )  # fmt: skip
    with pytest.raises(UsageError, match="did you mean 'tumour'"):
        choose_tolerances(labels, {"tumor": 3})
    with pytest.raises(UsageError, match="expected 0 mm or more"):
        choose_tolerances(labels, -1.0)


def test_the_tolerance_is_used():
    prediction, reference = label_maps()
    wide = score(prediction, reference, tolerances={"liver": 1.0})
    tight = score(prediction, reference, tolerances={"liver": 0.1})
    assert values(wide)["nsd"] == 1
    assert values(tight)["nsd"] < 1
    declared = Labels(LABELS.targets, nsd_tolerance_mm={"liver": 0.1})
    assert values(score(prediction, reference, declared)) == values(tight)


def test_the_header_says_what_a_number_needs():
    header = make_header(LABELS, 1.5, "voxel", date="today")
    assert header["mode"] == "voxel"
    assert header["nsd_tolerance_mm"] == {"liver": 1.5, "tumour": 1.5}
    assert header["nsd_tolerance_source"]["liver"] == "argument"
    assert header["targets"] == {"liver": [1], "tumour": [2]}
    assert header["date"] == "today"
    assert header["autoseg"]


def test_an_unknown_mode_is_refused():
    with pytest.raises(UsageError, match="did you mean 'surfel'"):
        score(*label_maps(), mode="surfels")


def test_a_tolerance_below_half_the_spacing_is_warned_of(caplog):
    scores = [score(*label_maps())]
    with caplog.at_level(logging.WARNING):
        summarise(scores, LABELS, make_header(LABELS))
        assert not caplog.records
        summarise(scores, LABELS, make_header(LABELS, {"liver": 0.9}))
    assert "NSD tolerance of liver is below half of the largest spacing (2 mm)" in caplog.text
