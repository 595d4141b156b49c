"""Normalisers, by hand-computed values."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.plan import IntensityStats
from autoseg.preprocessing.normalize import NORMALIZERS

STATS = IntensityStats(
    mean=50.0, std=20.0, p0_5=-100.0, p99_5=200.0, minimum=-1024.0, maximum=3000.0
)


def volume(*values):
    return np.asarray(values, dtype=np.float32).reshape(1, 1, -1)


def test_ct_clips_then_uses_the_mean_and_std_of_the_data_set():
    found = NORMALIZERS["ct"](volume(-1024, 50, 90, 3000), STATS, None)
    np.testing.assert_allclose(found.ravel(), [-7.5, 0, 2, 7.5])


def test_zscore_gives_mean_zero_and_deviation_one(rng):
    found = NORMALIZERS["zscore"](rng.normal(900, 70, (9, 20, 20)).astype(np.float32), STATS, None)
    assert abs(found.mean(dtype=float)) < 1e-6
    assert abs(found.std(dtype=float) - 1) < 1e-6


def test_zscore_inside_a_mask_leaves_zero_outside(rng):
    array = rng.normal(100, 10, (8, 9, 10)).astype(np.float32)
    inside = rng.random(array.shape) > 0.4
    values = array[inside].astype(float)
    found = NORMALIZERS["zscore"](array.copy(), STATS, inside)
    assert (found[~inside] == 0).all()
    np.testing.assert_allclose(found[inside], (values - values.mean()) / values.std(), atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 1000.1, -7.0])
def test_a_constant_image_becomes_zero(value):
    array = np.full((5, 6, 7), value, np.float32)
    for inside in (None, np.ones(array.shape, bool), np.zeros(array.shape, bool)):
        assert (NORMALIZERS["zscore"](array.copy(), STATS, inside) == 0).all()
    assert (NORMALIZERS["rescale"](array.copy(), STATS, None) == 0).all()


def test_zscore_is_exact_for_large_offsets(rng):
    # 30,000 plus noise: sums in float32 would lose the noise.
    array = (30000 + rng.normal(0, 3, (40, 60, 60))).astype(np.float32)
    exact = (array.astype(float) - array.mean(dtype=float)) / array.std(dtype=float)
    found = NORMALIZERS["zscore"](array.copy(), STATS, None)
    assert np.abs(found - exact).max() < 2e-3
    assert abs(found.std(dtype=float) - 1) < 1e-5


def test_the_others_by_hand():
    np.testing.assert_allclose(
        NORMALIZERS["rescale"](volume(2, 4, 6), STATS, None).ravel(), [0, 0.5, 1]
    )
    np.testing.assert_allclose(NORMALIZERS["rgb"](volume(0, 51), STATS, None).ravel(), [0, 0.2])
    np.testing.assert_array_equal(NORMALIZERS["none"](volume(3, -2), STATS, None).ravel(), [3, -2])
