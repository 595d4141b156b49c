"""Resampling: equal to the reference, and true to where things are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from autoseg.preprocessing.operators import operator, operators, separate_axis
from autoseg.preprocessing.resample import resample, resampled_shape
from autoseg.preprocessing.resample_labels import resample_labels
from tests.preprocessing.conftest import golden_cases

ONE = (1.0, 1.0, 1.0)


@pytest.mark.parametrize("case", golden_cases())
def test_images_equal_nnunets_resampling(golden, case):
    image, (spacing, target) = golden[f"{case}.image"], golden[f"{case}.spacings"]
    for order, name in ((3, "cubic"), (1, "linear")):
        expected = golden[f"{case}.{name}"]
        found = resample(image, expected.shape[1:], spacing, target, order)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", golden_cases())
def test_shapes_follow_nnunets_rule(golden, case):
    spacing, target = golden[f"{case}.spacings"]
    shape = golden[f"{case}.labels"].shape
    assert resampled_shape(shape, spacing, target) == golden[f"{case}.resampled_labels"].shape


@pytest.mark.parametrize("order", [0, 1, 3])
def test_operator_is_what_scikit_image_does_to_unit_impulses(order):
    transform = pytest.importorskip("skimage.transform")
    sizes = [(1, 1), (1, 4), (2, 5), (7, 11), (11, 7), (36, 35), (40, 97), (97, 31), (5, 1)]
    for n_in, n_out in sizes:
        expected = transform.resize(
            np.eye(n_in), (n_out, n_in), order, mode="edge", anti_aliasing=False, clip=False
        )
        np.testing.assert_allclose(operator(n_in, n_out, order), expected, rtol=0, atol=2e-9)


def test_volume_equals_scikit_image(rng):
    transform = pytest.importorskip("skimage.transform")
    volume = rng.normal(size=(15, 90, 70)).astype(np.float32)
    expected = transform.resize(
        volume.astype(float), (21, 75, 83), 3, mode="edge", anti_aliasing=False
    )
    found = resample(volume[None], (21, 75, 83), (1.4, 1, 1), (1, 1.2, 0.84))[0]
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize("order", [0, 1, 3])
def test_rows_of_an_operator_sum_to_one_and_hold_no_tiny_weight(order):
    for n_in, n_out in ((1, 3), (50, 120), (120, 50), (301, 300)):
        matrix = operator(n_in, n_out, order)
        np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-7)
        assert np.abs(matrix[matrix != 0]).min() >= 1e-9


def test_linear_operator_by_hand():
    np.testing.assert_allclose(operator(2, 4, 1), [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    np.testing.assert_allclose(operator(4, 2, 1), [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]])


def test_operator_refuses_other_orders():
    with pytest.raises(ValueError, match="order 2 is not 0, 1 or 3"):
        operator(3, 4, 2)


@pytest.mark.parametrize(
    ("spacing", "target", "axis"),
    [
        ((1, 1, 1), (1, 1, 1), None),
        ((3, 1, 1), (3, 1, 1), None),  # exactly three times is not more than three times
        ((3.1, 1, 1), (1, 1, 1), 0),
        ((1, 1, 5), (5, 1, 1), 2),  # where we come from decides
        ((1, 1, 1), (1, 5, 1), 1),
        ((0.24, 1.25, 1.25), (1, 1, 1), None),  # two coarse axes
        ((0.24, 1.25, 1.2500001), (1, 1, 1), None),  # noise in a header changes nothing
        ((0.24, 1.25, 1.25), (5, 1, 1), None),
    ],
)
def test_separate_axis_is_the_single_coarse_one(spacing, target, axis):
    assert separate_axis(spacing, target) == axis


def test_operators_leave_out_axes_that_keep_their_size():
    z, y, x = operators((5, 8, 9), (5, 6, 9), (5, 1, 1), (5, 1.3, 1), order=3)
    assert z is None
    assert x is None
    np.testing.assert_array_equal(y, operator(8, 6, 3))


def test_the_separate_axis_takes_the_nearest_slice(rng):
    image = rng.normal(size=(1, 4, 6, 6)).astype(np.float32)
    out = resample(image, (8, 6, 6), (6, 1, 1), (3, 1, 1))
    np.testing.assert_array_equal(out[0], image[0].repeat(2, axis=0))


def test_equal_shape_returns_the_very_same_array(rng):
    image = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    assert resample(image, (3, 4, 5), ONE, (1.1, 1.1, 1.1)) is image
    labels = np.zeros((3, 4, 5), np.uint8)
    assert resample_labels(labels, (3, 4, 5), ONE, ONE) is labels


def test_a_constant_stays_constant_and_a_spline_never_leaves_the_range(rng):
    constant = np.full((1, 7, 9, 5), 3.7, np.float32)
    np.testing.assert_allclose(resample(constant, (9, 5, 8), ONE, ONE), 3.7, rtol=1e-6)
    steps = (rng.random((1, 9, 9, 9)) > 0.5).astype(np.float32)
    out = resample(steps, (20, 20, 20), ONE, (0.45, 0.45, 0.45))
    assert out.min() >= 0
    assert out.max() <= 1


def test_linear_resampling_keeps_a_ramp():
    ramp = np.arange(10, dtype=np.float32)[None, None, None]
    out = resample(ramp, (1, 1, 20), ONE, (1, 1, 0.5), order=1)[0, 0, 0]
    np.testing.assert_allclose(out[1:-1], 0.25 + 0.5 * np.arange(18), rtol=1e-6)


def test_results_do_not_depend_on_how_the_array_lies_in_memory(rng):
    image = rng.normal(size=(2, 11, 12, 13)).astype(np.float32)
    shuffled = np.asfortranarray(image)
    for spacing in (ONE, (4.0, 1.0, 1.0), (1.0, 1.0, 4.0)):
        target = (1.3, 0.8, 1.1)
        one = resample(image, (8, 15, 12), spacing, target)
        np.testing.assert_array_equal(one, resample(shuffled, (8, 15, 12), spacing, target))


# --- there and back ------------------------------------------------------------------------------


def centre_of_mass(volume):
    return np.asarray(ndimage.center_of_mass(volume))


def ellipsoid(shape, centre, radius):
    """Squared distance from `centre` in units of `radius`, on a grid of `shape`."""
    lines = np.ogrid[tuple(slice(0, n) for n in shape)]
    return sum(((x - c) / r) ** 2 for x, c, r in zip(lines, centre, radius, strict=True))


def test_a_centre_of_mass_stays_within_a_twentieth_of_a_voxel_there_and_back(rng):
    for _ in range(40):
        shape = tuple(int(n) for n in rng.integers(25, 48, 3))
        spacing, target = rng.uniform(0.6, 1.7, (2, 3))
        centre = shape * rng.uniform(0.44, 0.56, 3)
        blob = np.exp(-ellipsoid(shape, centre, 2 * np.maximum(1, target / spacing)))
        there = resampled_shape(shape, spacing, target)
        moved = resample(blob[None].astype(np.float32), there, spacing, target)
        back = resample(moved, shape, target, spacing, order=1)
        assert np.abs(centre_of_mass(back[0]) - centre_of_mass(blob)).max() < 0.05


@pytest.mark.parametrize("factor", [1.37, 4 / 3, 1.5, 2, 0.5, 0.8])
def test_labels_neither_move_nor_grow_on_average(rng, factor):
    shape, target = (41, 40, 42), (factor,) * 3
    there = resampled_shape(shape, ONE, target)
    moves, volumes = [], []
    for _ in range(30):
        centre = np.asarray(shape) / 2 + rng.uniform(-2, 2, 3)
        ball = (ellipsoid(shape, centre, rng.uniform(9, 14, 3)) < 1).astype(np.uint8)
        found = resample_labels(ball, there, ONE, target)
        scale = np.divide(shape, there)
        moves.append((centre_of_mass(found) + 0.5) * scale - 0.5 - centre_of_mass(ball))
        volumes.append(found.sum() * scale.prod() / ball.sum())
    assert np.abs(np.mean(moves, axis=0)).max() < 0.02
    assert np.sqrt(np.mean(np.square(moves))) < 0.05
    assert abs(np.mean(volumes) - 1) < 0.03


def test_thick_slices_that_keep_their_spacing_do_not_move_either(rng):
    blob = ndimage.gaussian_filter(rng.random((12, 41, 37)) ** 8, (1, 4, 4)).astype(np.float32)
    spacing, target = (5.0, 0.8, 0.7), (5.0, 1.1, 1.1)
    new = resampled_shape(blob.shape, spacing, target)
    assert new[0] == 12
    back = resample(resample(blob[None], new, spacing, target), blob.shape, target, spacing, 1)
    assert np.abs(centre_of_mass(back[0]) - centre_of_mass(blob)).max() < 0.05
