"""Outlines and masks: there and back without losing a voxel; holes, islands, corners."""

import numpy as np
import pytest

from autoseg.contours import fill, trace

RNG = np.random.default_rng(0)


def from_rows(*rows):
    return np.array([[letter == "#" for letter in row] for row in rows])


RING = from_rows(
    ".........",
    ".#######.",
    ".#.....#.",
    ".#.###.#.",
    ".#.#.#.#.",
    ".#.###.#.",
    ".#.....#.",
    ".#######.",
    ".........",
)


def winding(points, y, x):
    """Winding number of a closed outline around (y, x), from the angles it turns through."""
    angles = np.arctan2(points[:, 0] - y, points[:, 1] - x)
    turns = np.diff(np.append(angles, angles[0]))
    return round(((turns + np.pi) % (2 * np.pi) - np.pi).sum() / (2 * np.pi))


def test_a_voxel_is_a_diamond_around_its_centre():
    (outline,) = trace(from_rows("...", ".#.", "..."))
    assert {tuple(point) for point in outline} == {(0.5, 1), (1, 1.5), (1.5, 1), (1, 0.5)}


def test_a_square_has_eight_corners_not_a_point_a_voxel():
    (outline,) = trace(np.pad(np.ones((10, 10), bool), 2))
    assert len(outline) == 8


def test_a_hole_is_cut_out_by_a_keyhole_and_its_island_is_an_outline_of_its_own():
    outlines = trace(RING)
    assert len(outlines) == 2  # the ring with its hole, and the small ring inside with its own
    np.testing.assert_array_equal(fill(outlines, RING.shape), RING)
    # Readers that go by winding number see the same.
    inside = [[any(winding(o, y, x) for o in outlines) for x in range(9)] for y in range(9)]
    np.testing.assert_array_equal(inside, RING)


def test_islands_that_touch_at_a_corner_are_two():
    mask = from_rows("....", ".#..", "..#.", "....")
    assert len(trace(mask)) == 2
    np.testing.assert_array_equal(fill(trace(mask), mask.shape), mask)


@pytest.mark.parametrize("density", [0.1, 0.5, 0.9])
def test_any_mask_comes_back_as_it_was(density):
    for _ in range(20):
        mask = RNG.random((17, 23)) < density
        np.testing.assert_array_equal(fill(trace(mask), mask.shape), mask)


def test_masks_at_the_border_and_empty_ones():
    np.testing.assert_array_equal(fill(trace(np.ones((4, 5), bool)), (4, 5)), np.ones((4, 5)))
    assert trace(np.zeros((4, 5), bool)) == []
    assert not fill([], (4, 5)).any()


def test_separate_outlines_inside_one_another_are_holes_by_turns():
    def square(low, high):
        return np.array([(low, low), (low, high), (high, high), (high, low)])

    mask = fill([square(0.5, 8.5), square(2.5, 6.5), square(3.5, 5.5)], (10, 10))
    expected = np.zeros((10, 10), bool)
    expected[1:9, 1:9] = True
    expected[3:7, 3:7] = False
    expected[4:6, 4:6] = True
    np.testing.assert_array_equal(mask, expected)


def test_an_outline_that_leaves_the_image_is_clipped():
    mask = fill([np.array([(-5.0, -5.0), (-5.0, 2.5), (20.0, 2.5), (20.0, -5.0)])], (4, 6))
    expected = np.zeros((4, 6), bool)
    expected[:, :3] = True
    np.testing.assert_array_equal(mask, expected)


def test_a_circle_is_filled_as_geometry_says():
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    outline = np.column_stack([20.2 + 9.7 * np.sin(angle), 18.4 + 9.7 * np.cos(angle)])
    y, x = np.mgrid[:40, :40]
    assert (fill([outline], (40, 40)) != (np.hypot(y - 20.2, x - 18.4) < 9.7)).sum() <= 1
