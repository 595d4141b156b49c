"""Golden values, laws on random shapes, and the table of empty masks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from autoseg.evaluation import metrics as m
from autoseg.evaluation.surface import MODES, Surfaces, measure_surfaces
from autoseg.results import BOTH_EMPTY, OK, PRED_EMPTY, REF_EMPTY
from tests.evaluation.shapes import GOLDEN, UNIT, ball, box, shifted_cubes

SYMMETRIC = ("dice", "iou", "hd95", "assd", "nsd")


def measure(reference, prediction, spacing=UNIT, tolerance=1.0, mode="surfel") -> dict[str, float]:
    values = m.measure_target(reference, prediction, spacing, tolerance, mode)
    found = {name: value.value for name, value in values.items()}
    if values["dice"].status == OK:
        found["hd"] = m.hausdorff(measure_surfaces(reference, prediction, spacing, mode))
    return found


@pytest.mark.parametrize(("shapes", "spacing", "mode", "expected"), GOLDEN)
def test_golden_values(shapes, spacing, mode, expected):
    found = measure(*shapes(), spacing, mode=mode)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=5.1e-5)


def test_directed_averages_of_the_balls():
    surfaces = measure_surfaces(ball(10), ball(12), UNIT)
    there = np.average(surfaces.from_reference, weights=surfaces.reference_weights)
    back = np.average(surfaces.from_prediction, weights=surfaces.prediction_weights)
    assert (there, back) == pytest.approx((1.5669, 1.5858), abs=5.1e-5)


@pytest.mark.parametrize(("axis", "shift"), [(0, 1), (1, 3), (2, 4)])
def test_a_shifted_box_is_as_far_as_it_was_shifted(axis, shift):
    spacing = (2.5, 0.8, 1.1)
    reference = box((16, 16, 16), (3, 9), (3, 9), (3, 9))
    found = measure(reference, np.roll(reference, shift, axis), spacing)
    assert found["hd"] == pytest.approx(shift * spacing[axis])
    assert found["hd95"] == pytest.approx(shift * spacing[axis])
    assert found["dice"] == pytest.approx((6 - shift) / 6)


def random_pair(seed: int) -> tuple[np.ndarray, np.ndarray, tuple[float, float, float]]:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(4, 21, 3))
    one = gaussian_filter(rng.normal(size=shape), rng.uniform(0.5, 2))
    other = one + 0.5 * one.std() * rng.normal(size=shape)
    masks = [array > np.quantile(array, rng.uniform(0.5, 0.97)) for array in (one, other)]
    return masks[0], masks[1], tuple(rng.uniform(0.4, 4, 3))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(25))
def test_laws_on_random_shapes(seed, mode):
    reference, prediction, spacing = random_pair(seed)
    tolerance = 1.7
    found = measure(reference, prediction, spacing, tolerance, mode)
    turned = measure(prediction, reference, spacing, tolerance, mode)
    for name in (*SYMMETRIC, "hd"):
        assert turned[name] == pytest.approx(found[name], rel=1e-12), name
    assert found["iou"] == pytest.approx(found["dice"] / (2 - found["dice"]), rel=1e-12)
    assert found["hd95"] <= found["hd"]
    assert found["assd"] <= found["hd"]
    nsd = [measure(reference, prediction, spacing, t, mode)["nsd"] for t in (0, 1, 2, found["hd"])]
    assert nsd == sorted(nsd)
    assert nsd[-1] == 1
    same = measure(reference, reference, spacing, 0.0, mode)
    assert [same[name] for name in (*SYMMETRIC, "hd")] == [1, 1, 0, 0, 1, 0]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(25, 35))
def test_what_must_not_matter_does_not_matter(seed, mode):
    reference, prediction, spacing = random_pair(seed)
    expected = measure(reference, prediction, spacing, 1.7, mode)
    order = tuple(np.random.default_rng(seed).permutation(3))
    variants = {
        "axes exchanged": (
            reference.transpose(order), prediction.transpose(order), [spacing[i] for i in order]
        ),
        "flipped": (reference[::-1, :, ::-1], prediction[::-1, :, ::-1], spacing),
        "padded": (np.pad(reference, (3, 0)), np.pad(prediction, (3, 0)), spacing),
        "Fortran order": (np.asfortranarray(reference), np.asfortranarray(prediction), spacing),
    }  # fmt: skip
    for name, (ours, theirs, steps) in variants.items():
        found = measure(ours, theirs, tuple(steps), 1.7, mode)
        assert found == pytest.approx(expected, rel=1e-11), name
    larger = measure(reference, prediction, tuple(2.5 * s for s in spacing), 2.5 * 1.7, mode)
    for name, factor in {"hd": 2.5, "hd95": 2.5, "assd": 2.5, "nsd": 1, "dice": 1}.items():
        assert larger[name] == pytest.approx(factor * expected[name], rel=1e-11), name


def test_a_distance_that_equals_the_tolerance_is_within_it():
    reference, prediction = shifted_cubes()
    spacing = (0.1, 1.0, 1.0)  # two voxels of 0.1 mm; 3 - 1 steps of 0.1 are not exactly 0.2
    assert measure(reference, prediction, spacing, 0.2)["nsd"] == 1
    assert measure(reference, prediction, spacing, 0.199)["nsd"] < 1


def test_hd95_is_the_first_distance_that_covers_95_percent_of_the_surface():
    near = np.array([0.0, 1.0, 2.0, 3.0])
    weights = np.array([10.0, 80.0, 5.0, 5.0])
    surfaces = Surfaces(near, np.zeros(4), weights, np.ones(4))
    assert m.hd95(surfaces) == 2.0
    heavier = Surfaces(near, np.zeros(4), np.array([10.0, 80.0, 4.9, 5.1]), np.ones(4))
    assert m.hd95(heavier) == 3.0
    plain = Surfaces(near, np.zeros(4), np.ones(4), np.ones(4), "voxel")
    assert m.hd95(plain) == pytest.approx(np.percentile(near, 95))


@pytest.mark.parametrize(
    ("reference", "prediction", "status", "fraction"),
    [(0, 0, BOTH_EMPTY, None), (0, 1, REF_EMPTY, 0.0), (1, 0, PRED_EMPTY, 0.0)],
)
def test_empty_masks_row_by_row(reference, prediction, status, fraction):
    ours, theirs = np.zeros((2, 6, 6, 6), dtype=bool)
    ours[0, 0, 0], theirs[2, 2, 2] = bool(reference), bool(prediction)
    values = m.measure_target(ours, theirs, (2.0, 1.0, 1.0), 3.0)
    for name in ("dice", "iou", "nsd"):
        assert (values[name].value, values[name].status) == (fraction, status)
    for name in ("hd95", "assd"):
        assert (values[name].value, values[name].status) == (None, status)
    assert (values["n_ref"].value, values["n_pred"].value) == (reference, prediction)
    assert values["fp_volume_ml"].value == pytest.approx(0.002 * prediction)


def test_counts_and_volumes():
    reference, prediction = shifted_cubes()
    found = measure(reference, prediction, (3.0, 1.0, 0.5))
    assert [found[key] for key in ("n_ref", "n_pred", "tp", "fp", "fn")] == [
        1000, 1000, 800, 200, 200
    ]  # fmt: skip
    assert found["vol_ref_ml"] == pytest.approx(1.5)
    assert found["fp_volume_ml"] == pytest.approx(0.3)


def test_a_flat_image_has_lines_for_surfaces():
    reference = box((1, 12, 12), (0, 1), (3, 9), (3, 9))
    prediction = np.roll(reference, 2, 1)
    flat = m.measure_target(reference, prediction, (5.0, 1.0, 1.0), 0.5, flat_axis=0)
    plane = measure_surfaces(reference[0], prediction[0], (1.0, 1.0))
    assert flat["nsd"].value == pytest.approx(m.surface_dice(plane, 0.5))
    solid = m.measure_target(reference, prediction, (5.0, 1.0, 1.0), 0.5)
    assert solid["nsd"].value > flat["nsd"].value  # top and bottom agree wherever there is overlap


def test_a_flat_image_is_the_same_along_any_axis():
    reference, prediction, _ = random_pair(50)
    ours, theirs = reference[:1], prediction[:1]
    values = m.measure_target(ours, theirs, (9.0, 1.2, 0.7), 1.0, flat_axis=0)
    turned = m.measure_target(
        ours.transpose(1, 2, 0), theirs.transpose(1, 2, 0), (1.2, 0.7, 9.0), 1.0, flat_axis=2
    )
    found, expected = ({k: v.value for k, v in both.items()} for both in (turned, values))
    assert found == pytest.approx(expected, rel=1e-12)
