"""Target spacing, axis order and the box in which the search for a patch starts."""

import numpy as np
import pytest

from autoseg.plan import Fingerprint
from autoseg.planning.spacing import (
    choose_axis_order,
    choose_spacing,
    filled_patch,
    is_flat,
    start_patch,
)


def fingerprint(spacings, shapes):
    cases = tuple(f"c{i}" for i in range(len(spacings)))
    return Fingerprint(cases, tuple(spacings), tuple(shapes), 1.0, ("MR",), (), {})


def test_the_target_is_the_median_where_slices_are_not_thick():
    data = fingerprint([(1, 1, 1), (2, 1, 1), (3, 1, 1)], [(90, 90, 90)] * 3)
    spacing, reason = choose_spacing(data)
    assert spacing == (2, 1, 1)
    assert "median" in reason


def test_thick_and_few_slices_take_the_tenth_percentile():
    depths = [5, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10]
    data = fingerprint([(d, 1.5, 1.5) for d in depths], [(9, 250, 220)] * 11)
    spacing, reason = choose_spacing(data)
    assert spacing == (10, 1.5, 1.5)
    assert "10th percentile" in reason
    thinner = fingerprint([(d, 1.5, 1.5) for d in [5, 5, *depths]], [(9, 250, 220)] * 13)
    assert choose_spacing(thinner)[0] == (5, 1.5, 1.5)


def test_thick_slices_never_become_finer_than_the_plane():
    data = fingerprint([(1, 1.5, 1.5)] * 4 + [(10, 1.5, 1.5)] * 5, [(9, 250, 220)] * 9)
    assert choose_spacing(data)[0] == pytest.approx((1.5 + 1e-5, 1.5, 1.5))


def test_the_coarsest_axis_comes_first_and_the_others_keep_their_order():
    data = fingerprint([(0.6, 0.7, 3)] * 3, [(200, 200, 20)] * 3)
    order, reason = choose_axis_order(data, (0.6, 0.7, 3))
    assert order == (2, 0, 1)
    assert reason == "Axis order XZY: X comes first, its spacing is the coarsest."


def test_a_flat_axis_comes_first_whatever_its_spacing():
    data = fingerprint([(1, 2, 1)] * 3, [(1, 200, 200)] * 3)
    assert is_flat(data)
    assert choose_axis_order(data, (1, 2, 1))[0] == (0, 1, 2)


def test_the_start_is_a_cube_in_millimetres_inside_the_median_case():
    assert start_patch((2, 1, 1), (400, 400, 400), 2_000_000) == [79, 159, 159]
    assert start_patch((1, 1, 1), (36, 50, 35), 200_000) == [36, 50, 35]


def test_what_a_short_axis_leaves_goes_to_the_others():
    rng = np.random.default_rng(1)
    assert filled_patch((1, 1), (100, 991), 65_536) == [100, 655]
    for _ in range(100):
        spacing, shape = np.exp(rng.normal(size=3)), rng.integers(4, 300, 3)
        patch = filled_patch(spacing, shape, 200_000)
        assert all(1 <= edge <= most for edge, most in zip(patch, shape, strict=True))
        full = all(edge == most for edge, most in zip(patch, shape, strict=True))
        assert full or np.prod(patch) == pytest.approx(200_000, rel=0.12)
