"""Misfits at the places of a range that a hand can tell, and what undoes a fault."""

from math import inf, log

import numpy as np
import pytest

from autoseg.image import Geometry, Image
from autoseg.preprocessing.misfit import (
    LEVELS,
    RAW,
    SHAPE,
    divided,
    inverted,
    lowered,
    misfit,
    misfits,
    order_misfits,
    orders,
)
from autoseg.preprocessing.traits import FACE_TRAITS, traits_of
from autoseg.usual import Traits, usual

ARRAY = np.random.default_rng(1).gamma(3, 50, (1, 6, 20, 20)).astype(np.float32) + 7


def channel_of(array):
    return traits_of(Image(array, Geometry(array.shape[1:]))).channels[0]


def test_the_middle_fits_and_the_end_of_a_range_of_many_cases_is_one():
    assert misfit(5, (1, 5, 6), 0.5, 10) == 0
    assert misfit(6, (1, 5, 6), 0.0, inf) == 1
    assert misfit(-3, (1, 5, 6), 0.0, inf) == 2


def test_few_cases_and_the_floor_widen_the_range():
    assert misfit(9, (1, 5, 6), 1.0, inf) == 2  # 4 / (1 + 1)
    assert misfit(9, (1, 5, 6), 0.0, 9) == 2  # 4 / (1 * (1 + 3 / 3))


def test_sizes_are_compared_as_ratios():
    found = misfits({"voxel z": 40.0}, {"voxel z": (10.0, 10.0, 10.0)}, ["voxel z"], 5)
    assert found == {"voxel z": pytest.approx(log(4) / log(2))}


def test_what_only_one_side_knows_is_not_compared():
    assert misfits({"p1": 1.0}, {"p99": (1.0, 2.0, 3.0), "p1": (0.0, 1.0, 2.0)}, ["s5"], 5) == {}


@pytest.mark.parametrize(
    ("undo", "change"),
    [
        (lambda traits: lowered(traits, 1024.0), lambda a: a + 1024),
        (lambda traits: divided(traits, 10.0), lambda a: a * 10),
    ],
)
def test_undoing_gives_the_traits_of_the_scan_as_it_was(undo, change):
    found, expected = undo(channel_of(change(ARRAY))), channel_of(ARRAY)
    for name in (*RAW, *SHAPE):
        assert found[name] == pytest.approx(expected[name], rel=1e-3, abs=1e-3), name


def test_values_turned_upside_down_are_turned_back():
    found, expected = inverted(channel_of(2000 - ARRAY)), channel_of(ARRAY)
    assert {*found} == {*SHAPE, *FACE_TRAITS} - {"zero"}
    for name in found:
        assert found[name] == pytest.approx(expected[name], abs=1e-3), name


def test_all_orders_of_few_channels_and_exchanges_of_many():
    assert orders(1) == []
    assert orders(2) == [(1, 0)]
    assert len(orders(4)) == 23
    assert len(orders(6)) == 15
    assert (1, 0, 2, 3, 4, 5) in orders(6)


def test_the_right_order_fits():
    levels = dict.fromkeys(LEVELS, 0.1), dict.fromkeys(LEVELS, 0.6), {"s5": 0.3}
    right = Traits({}, levels, {"0 1": 0.2, "0 2": 0.5, "1 2": -0.4})
    known = usual([right], [])
    assert order_misfits(right, known, (0, 1, 2)) == [0.0] * (2 * len(LEVELS) + 1 + 3)
    wrong = Traits({}, (levels[2], levels[0], levels[1]), {"0 1": 0.5, "0 2": -0.4, "1 2": 0.2})
    assert max(order_misfits(wrong, known, (1, 2, 0))) == pytest.approx(0)
    assert max(order_misfits(wrong, known, (0, 1, 2))) > 10


def test_few_units_on_a_large_offset_are_usual_although_ranges_keep_four_digits():
    rng = np.random.default_rng(0)
    arrays = [(100_000 + rng.integers(0, 10, (1, 6, 20, 20))).astype(np.float32) for _ in range(3)]
    scans = [traits_of(Image(array, Geometry(array.shape[1:]))) for array in arrays]
    ranges = usual(scans[:2], [{}, {}]).channels[0]
    assert ranges["p1"] == ranges["p99"]  # so neither the ranges nor their span tolerate anything
    assert max(misfits(scans[2].channels[0], ranges, RAW, 2).values()) < 1
