"""Ranges over cases, counted by hand."""

import pytest

from autoseg.usual import Sections, Traits, usual

CASES = [
    Traits({"voxel z": float(n)}, ({"p1": 10.0 * n}, {"p1": -n}), {"0 1": n / 10})
    for n in range(1, 6)
]


def test_a_range_goes_from_the_first_percentile_to_the_99th():
    found = usual(CASES, [])
    assert found.cases == 5
    assert found.grid == {"voxel z": pytest.approx((1.04, 3.0, 4.96))}
    assert [channel["p1"][1] for channel in found.channels] == [30.0, -3.0]
    assert found.pairs["0 1"] == pytest.approx((0.104, 0.3, 0.496))


def test_a_trait_that_some_cases_lack_has_the_range_of_the_others():
    constant = Traits({"voxel z": 3.0}, ({}, {"p1": -3.0}), {})
    found = usual([*CASES, constant], [])
    assert found.channels[0]["p1"] == usual(CASES, []).channels[0]["p1"]


def test_of_sections_the_cut_ones_are_kept_and_absent_targets_do_not_count():
    none, some, more = (0.0,) * 6, (0.0,) * 5 + (20.0,), (0.0,) * 5 + (40.0,)
    cases = [Sections((10.0, 20.0, 30.0), some, more), Sections((30.0,) * 3, none, none)]
    found = usual(CASES[:3], [{"organ": cases[0]}, {"organ": cases[1]}, {}]).sections
    typical = Sections((20.0, 25.0, 30.0), (0.0,) * 5 + (19.8,), (0.0,) * 5 + (39.6,))
    assert found == {"organ": typical}
