"""Golden values, laws on random shapes, and the table of empty masks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from autoseg.evaluation import metrics as m
from autoseg.evaluation.elements import element_weights, neighbourhood_codes
from autoseg.evaluation.overlap import kappa, mcc
from autoseg.evaluation.surface import MODES, Surfaces, measure_surfaces
from autoseg.results import BOTH_EMPTY, OK, PRED_EMPTY, REF_EMPTY, UNDEFINED
from tests.evaluation.shapes import GOLDEN, UNIT, box, shifted_cubes

SYMMETRIC = ("dice", "iou", "vs", "mcc", "kappa", "hd", "hd95", "assd", "masd", "nsd")


def measure(reference, prediction, spacing=UNIT, tolerance=1.0, mode="surfel") -> dict[str, float]:
    values = m.measure_target(reference, prediction, spacing, tolerance, mode)
    return {name: value.value for name, value in values.items()}


@pytest.mark.parametrize(("shapes", "spacing", "mode", "expected"), GOLDEN)
def test_golden_values(shapes, spacing, mode, expected):
    found = measure(*shapes(), spacing, mode=mode)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=5.1e-5)


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
    shape = tuple(rng.integers(4, 25, 3))
    one = gaussian_filter(rng.normal(size=shape), rng.uniform(0.5, 2))
    other = one + 0.5 * one.std() * rng.normal(size=shape)
    masks = [array > np.quantile(array, rng.uniform(0.5, 0.97)) for array in (one, other)]
    return masks[0], masks[1], tuple(rng.uniform(0.4, 4, 3))


MANY = [*range(15), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(15, 200))]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", MANY)
def test_laws_on_random_shapes(seed, mode):
    reference, prediction, spacing = random_pair(seed)
    tolerance = 1.7
    found = measure(reference, prediction, spacing, tolerance, mode)
    turned = measure(prediction, reference, spacing, tolerance, mode)
    for name in SYMMETRIC:
        assert turned[name] == pytest.approx(found[name], rel=1e-12), name
    assert turned["asd_pred_to_ref"] == pytest.approx(found["asd_ref_to_pred"], rel=1e-12)
    assert turned["sensitivity"] == found["precision"]
    assert turned["vol_diff_ml"] == -found["vol_diff_ml"]
    assert found["iou"] == pytest.approx(found["dice"] / (2 - found["dice"]), rel=1e-12)
    assert found["hd95"] <= found["hd"]
    assert found["assd"] <= found["hd"]
    nsd = [measure(reference, prediction, spacing, t, mode)["nsd"] for t in (0, 1, 2, found["hd"])]
    assert nsd == sorted(nsd)
    assert nsd[-1] == 1
    same = measure(reference, reference, spacing, 0.0, mode)
    perfect = [same[name] for name in SYMMETRIC]
    assert perfect == pytest.approx([1, 1, 1, 1, 1, 0, 0, 0, 0, 1], rel=1e-12)
    assert same["added_path_length_mm"] == 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(200, 210))
def test_what_must_not_matter_does_not_matter(seed, mode):
    reference, prediction, spacing = random_pair(seed)
    expected = measure(reference, prediction, spacing, 1.7, mode)
    field_of_view = {name: expected.pop(name) for name in ("tn", "specificity", "mcc", "kappa")}
    in_slices = expected.pop("added_path_length_mm")
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
        assert found | expected == pytest.approx(found, rel=1e-11), name
        if name != "padded":
            assert found | field_of_view == pytest.approx(found, rel=1e-11), name
        if name != "axes exchanged":
            assert found["added_path_length_mm"] == pytest.approx(in_slices, rel=1e-11)
    larger = measure(reference, prediction, tuple(2.5 * s for s in spacing), 2.5 * 1.7, mode)
    for name, factor in {"hd": 2.5, "hd95": 2.5, "assd": 2.5, "nsd": 1, "dice": 1}.items():
        assert larger[name] == pytest.approx(factor * expected[name], rel=1e-11), name


@pytest.mark.parametrize("mode", MODES)
def test_a_single_voxel_and_a_full_volume_have_surfaces(mode):
    voxel, full = np.zeros((2, 5, 6, 7), dtype=bool)
    voxel[2, 3, 3], full[:] = True, True
    assert measure(voxel, voxel, mode=mode)["nsd"] == 1
    assert measure(full, full, mode=mode)["hd"] == 0
    both = measure(voxel, full, (2.0, 1.0, 0.5), mode=mode)
    # From a corner voxel's centre to the voxel's: 2 x 2 mm, 3 mm, 3 x 0.5 mm.
    assert both["hd"] == pytest.approx(np.sqrt(4**2 + 3**2 + 1.5**2))
    assert both["asd_pred_to_ref"] > 0 == both["fn"]


@pytest.mark.parametrize("mode", MODES)
def test_concentric_balls_are_as_far_as_their_radii_differ(mode):
    spacing = (2.0, 1.0, 1.0)
    squares = [
        ((np.arange(size) - size // 2) * step) ** 2
        for size, step in zip((21, 31, 31), spacing, strict=True)
    ]
    radius = np.sqrt(sum(np.ix_(*squares)))
    found = measure(radius <= 8, radius <= 13, spacing, mode=mode)
    assert abs(found["hd"] - 5) <= np.sqrt(6)


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


# Both empty, reference empty, prediction empty: value, or None for null; one voxel in 6^3.
WHEN_EMPTY = {
    "dice": (None, 0, 0),
    "iou": (None, 0, 0),
    "sensitivity": (None, None, 0),
    "precision": (None, 0, None),
    "specificity": (1, 215 / 216, 1),
    "vs": (None, 0, 0),
    "mcc": (None, None, None),
    "kappa": (None, 0, 0),
    "rve": (None, None, -1),
    "abs_rve": (None, None, 1),
    "hd": (None, None, None),
    "hd95": (None, None, None),
    "assd": (None, None, None),
    "masd": (None, None, None),
    "asd_ref_to_pred": (None, None, None),
    "asd_pred_to_ref": (None, None, None),
    "nsd": (None, 0, 0),
    "added_path_length_mm": (None, None, 2 * np.sqrt(2)),
    "hd95_mean": (None, None, None),
    "n_ref": (0, 0, 1),
    "n_pred": (0, 1, 0),
    "tp": (0, 0, 0),
    "fp": (0, 1, 0),
    "fn": (0, 0, 1),
    "tn": (216, 215, 215),
    "vol_ref_ml": (0, 0, 0.002),
    "vol_pred_ml": (0, 0.002, 0),
    "vol_diff_ml": (0, 0.002, -0.002),
    "fp_volume_ml": (0, 0.002, 0),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("key", WHEN_EMPTY)
def test_empty_masks_row_by_row(key, mode):
    nothing, something = np.zeros((2, 6, 6, 6), dtype=bool)
    something[2, 2, 2] = True
    pairs = {
        BOTH_EMPTY: (nothing, nothing),
        REF_EMPTY: (nothing, something),
        PRED_EMPTY: (something, nothing),
    }
    for (status, masks), expected in zip(pairs.items(), WHEN_EMPTY[key], strict=True):
        values = m.measure_target(*masks, (2.0, 1.0, 1.0), 3.0, mode)
        if key == "hd95_mean" and mode != "vertex":
            assert key not in values
            continue
        assert values[key].value == (expected if expected is None else pytest.approx(expected))
        if key in m.COUNTS:
            assert values[key].status == OK
        else:
            assert values[key].status == (UNDEFINED if key == "mcc" else status)


def test_the_table_of_empty_masks_has_a_row_for_every_key():
    assert set(WHEN_EMPTY) == {*m.METRICS, *m.VERTEX_ONLY}


def test_full_masks_leave_the_agreement_undefined():
    full = np.ones((4, 4, 4), dtype=bool)
    values = m.measure_target(full, full, UNIT, 1.0)
    for key in ("specificity", "mcc", "kappa"):
        assert (values[key].value, values[key].status) == (None, UNDEFINED), key
    assert (values["dice"].value, values["nsd"].value, values["hd"].value) == (1, 1, 0)


def test_agreement_of_a_large_volume_does_not_overflow():
    counts = dict(tp=3 * 10**8, fp=10**8, fn=10**8, tn=10**9, n_ref=4 * 10**8, n_pred=4 * 10**8)  # noqa: C408
    assert mcc(counts) == pytest.approx((30 - 1) / (4 * 11))
    observed, chance = 13 / 15, (4 * 4 + 11 * 11) / 15**2
    assert kappa(counts) == pytest.approx((observed - chance) / (1 - chance))


def test_overlap_of_known_counts():
    found = measure(*(np.roll(box((4, 4, 4), (0, 2), (0, 2), (0, 2)), k, 0) for k in (0, 1)))
    assert found["sensitivity"] == found["precision"] == 0.5
    assert found["specificity"] == 52 / 56
    assert found["mcc"] == pytest.approx((4 * 52 - 4 * 4) / (8 * 56))
    assert found["kappa"] == pytest.approx((56 / 64 - 50 / 64) / (1 - 50 / 64))
    smaller = measure(
        box((4, 4, 4), (0, 4), (0, 2), (0, 2)), box((4, 4, 4), (0, 3), (0, 1), (0, 2))
    )
    assert (smaller["rve"], smaller["abs_rve"], smaller["vs"]) == (-10 / 16, 10 / 16, 1 - 10 / 22)


def test_only_the_judged_voxels_are_true_negatives():
    reference, prediction = shifted_cubes()
    values = m.measure_target(reference, prediction, UNIT, 1.0, voxels=5000)
    assert values["tn"].value == 5000 - 1200
    assert values["specificity"].value == pytest.approx(3800 / 4000)


@pytest.mark.parametrize("mode", MODES)
def test_the_added_path_is_the_contour_that_has_to_be_drawn_anew(mode):
    reference, _ = shifted_cubes()
    across = measure(reference, np.roll(reference, 2, 2), (3.0, 1.0, 0.5), mode=mode)
    # In ten slices: both sides of 9 mm; beside one of them two corners and a step of 0.5 mm each.
    corner = 0.5 * np.hypot(1.0, 0.5)
    assert across["added_path_length_mm"] == pytest.approx(10 * (2 * 9 + 2 * corner + 2 * 0.5))
    along = measure(reference, np.roll(reference, 2, 0), (3.0, 1.0, 0.5), mode=mode)
    whole = 2 * 9 * 1.0 + 2 * 9 * 0.5 + 4 * corner
    assert along["added_path_length_mm"] == pytest.approx(2 * whole)  # two slices without contour


@pytest.mark.parametrize("mode", MODES)
def test_contours_lie_in_the_slices_wherever_these_are_in_the_file(mode):
    """Slices of square pixels may be stored along any axis, as in KiTS19."""
    reference, prediction, _ = random_pair(11)
    for thickness in (3.0, 0.4):
        along = {}
        for axis, order in enumerate(((0, 1, 2), (1, 0, 2), (1, 2, 0))):
            spacing = [0.8, 0.8, 0.8]
            spacing[axis] = thickness
            masks = (mask.transpose(order) for mask in (reference, prediction))
            along[axis] = measure(*masks, spacing, mode=mode)["added_path_length_mm"]
        assert along[1] == pytest.approx(along[0], rel=1e-12)
        assert along[2] == pytest.approx(along[0], rel=1e-12)
        assert along[0] == pytest.approx(slow_added_path(reference, prediction, (1, 0.8, 0.8)))


def slow_added_path(reference, prediction, spacing):
    total = 0.0
    for ours, theirs in zip(reference, prediction, strict=True):
        mine, other = neighbourhood_codes(ours), neighbourhood_codes(theirs)
        lacking = np.isin(other, (0, 15)) & ~np.isin(mine, (0, 15))
        total += element_weights(spacing[1:])[mine[lacking]].sum()
    return total


@pytest.mark.parametrize("seed", range(5))
def test_the_added_path_is_that_of_each_slice_alone(seed):
    reference, prediction, spacing = random_pair(seed)
    for mode in MODES:
        found = measure(reference, prediction, spacing, mode=mode)["added_path_length_mm"]
        assert found == pytest.approx(slow_added_path(reference, prediction, spacing), rel=1e-12)


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
