"""Normalisers with numbers: the formulas of five systems, written the slow obvious way."""

from __future__ import annotations

import re

import numpy as np
import pytest

from autoseg.errors import CorruptError, UsageError
from autoseg.plan import IntensityStats
from autoseg.preprocessing.intensity import check_normalizers, find_normalizer, split_names

STATS = IntensityStats(
    mean=50.0, std=20.0, p0_5=-100.0, p99_5=200.0, minimum=-1024.0, maximum=3000.0
)


@pytest.fixture
def scan() -> np.ndarray:
    array = np.random.default_rng(3).normal(0, 400, (5, 12, 11)).astype(np.float32)
    array[0, 0, :3] = (-1024, 31743, 0)  # air, and metal as in SegTHOR
    return array


def normalised(name: str, scan: np.ndarray) -> np.ndarray:
    return find_normalizer(name)(scan.copy(), STATS, None).astype(float)


def between(value: float, low: float, high: float) -> float:
    return min(max(float(value), low), high)


def voxelwise(scan: np.ndarray, formula) -> np.ndarray:
    return np.array([formula(float(value)) for value in scan.ravel()]).reshape(scan.shape)


def test_a_window_of_abdominal_organs(scan):
    expected = voxelwise(scan, lambda v: (between(v, -400, 400) + 400) / 800)
    assert np.abs(normalised("window:-400,400", scan) - expected).max() < 1e-5


def test_a_window_by_level_and_width_with_gamma(scan):
    expected = voxelwise(scan, lambda v: (between(v, -170, 230) + 170) / 400)
    assert np.abs(normalised("window:level=30,width=400", scan) - expected).max() < 1e-5
    bent = normalised("window:level=30,width=400,gamma=1.1", scan)
    assert np.abs(bent - expected**1.1).max() < 1e-5


def test_a_window_with_its_range_for_kidneys(scan):
    expected = voxelwise(scan, lambda v: -2.341 + (between(v, -79, 304) + 79) / 383 * 4.981)
    assert np.abs(normalised("window:-79,304,-2.341,2.64", scan) - expected).max() < 1e-5
    slices = voxelwise(scan, lambda v: -1 + 2 * (between(v, -200, 500) + 200) / 700)
    assert np.abs(normalised("window:-200,500,-1,1", scan) - slices).max() < 1e-5


def test_a_window_may_turn_dark_into_bright(scan):
    expected = voxelwise(scan, lambda v: 1 - (between(v, -79, 304) + 79) / 383)
    assert np.abs(normalised("window:-79,304,1,0", scan) - expected).max() < 1e-5


def test_clipping_with_a_mean_and_a_deviation(scan):
    expected = voxelwise(scan, lambda v: (between(v, -79, 304) - 101) / 76.9)
    assert np.abs(normalised("ct_clip:-79,304,101,76.9", scan) - expected).max() < 1e-5
    of_the_data = voxelwise(scan, lambda v: (between(v, -79, 304) - 50) / 20)
    assert np.abs(normalised("ct_clip:-79,304", scan) - of_the_data).max() < 1e-5


def test_percentiles_of_each_slice(scan):
    found = normalised("percentile_slices:1,99", scan)
    for plane, ours in zip(scan.astype(float), found, strict=True):
        ordered = np.sort(plane.ravel())
        places = [0.01 * (ordered.size - 1), 0.99 * (ordered.size - 1)]
        low, high = (np.interp(place, range(ordered.size), ordered) for place in places)
        expected = voxelwise(plane, lambda v, a=low, b=high: (between(v, a, b) - a) / (b - a))
        assert np.abs(ours - expected).max() < 1e-5


def test_grey_levels_between_the_extremes_of_a_scan(scan):
    span = 31743 - float(scan.min())
    expected = voxelwise(scan, lambda v: int(255 * (v - float(scan.min())) / span) / 255)
    found = normalised("levels:256", scan)
    # A value on the border of two levels may fall to either side in float32.
    assert np.mean(np.abs(found - expected) > 1e-5) < 0.01
    assert np.abs(found - expected).max() < 1.001 / 255
    assert len(np.unique(found)) < 30  # one voxel of metal leaves anatomy a tenth of them


@pytest.mark.parametrize("name", ["window:-5,5", "percentile_slices:1,99", "levels:256"])
def test_a_constant_scan_stays_finite(name):
    assert np.isfinite(normalised(name, np.full((2, 3, 4), 7, np.float32))).all()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("window", "normaliser 'window', expected window:LOW,HIGH or"),
        ("window:", "normaliser 'window:', expected"),
        ("window:0,255,1,1", "normaliser 'window:0,255,1,1', expected"),
        ("window:400,-400", "normaliser 'window:400,-400', expected"),
        ("window:level=30", "normaliser 'window:level=30', expected"),
        ("window:1,2,level=3,width=4", "expected"),
        ("window:1,2,3,4,5", "expected"),
        ("window:level=1,2", "expected"),
        ("window:1,low=2", "expected"),
        ("window:-400,nan", "expected"),
        ("window:-400,400,gamma=0", "expected"),
        ("window:-400,__import__('os')", "expected"),
        ("ct_clip:1,2,3", "expected ct_clip:LOW,HIGH or LOW,HIGH,MEAN,STD"),
        ("ct_clip:1,2,3,0", "expected"),
        ("percentile_slices:99,1", "expected percentile_slices:1,99"),
        ("levels:1.5", "expected levels:256, from 2 to 65536"),
        ("windw:1,2", "unknown normaliser 'windw' -> did you mean 'window'"),
        ("ct:1,2", "normaliser 'ct:1,2', expected ct, which has no numbers"),
        ("windw", "unknown normaliser 'windw' -> did you mean 'window'"),
    ],
)
def test_what_cannot_be_meant_is_answered(name, words):
    with pytest.raises(UsageError, match=re.escape(words)):
        find_normalizer(name)


def test_names_in_a_bundle_are_data():
    assert find_normalizer("window:1,2", trust=False) is not None
    with pytest.raises(CorruptError, match="asks to import normaliser 'my_lab:unit'"):
        find_normalizer("my_lab:unit", trust=False)


def test_the_commas_of_a_list_and_of_numbers():
    assert split_names("window:-400,400") == ["window:-400,400"]
    assert split_names("zscore, window:1,2,gamma=2 ,ct") == ["zscore", "window:1,2,gamma=2", "ct"]
    assert split_names("my_lab.scaling:unit,none") == ["my_lab.scaling:unit", "none"]
    check_normalizers(["my_lab.scaling:unit", "window:1,2"])
    with pytest.raises(UsageError, match="unknown normaliser 'windw'"):
        check_normalizers(["windw:1,2"])


def first_slice(array, stats, inside):
    return array[0]


def test_ones_own_that_gives_another_shape_is_refused(scan):
    name = f"{__name__}:first_slice"
    with pytest.raises(UsageError, match=rf"'{name}' returned a ndarray of shape .*, expected an"):
        normalised(name, scan)
