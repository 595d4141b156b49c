"""Outlines and masks: there and back without losing a voxel; holes, islands, corners."""

import numpy as np
import pytest
from scipy import ndimage

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
    # An island in a hole that touches the hole's edge at a corner has an outline of its own.
    mask = from_rows("#######", "##....#", "#.#...#", "#.....#", "#######")
    assert sorted(len(outline) for outline in trace(mask))[0] == 4
    np.testing.assert_array_equal(fill(trace(mask), mask.shape), mask)


@pytest.mark.parametrize("density", [0.1, 0.5, 0.9])
def test_any_mask_comes_back_as_it_was(density):
    for _ in range(20):
        mask = RNG.random((17, 23)) < density
        np.testing.assert_array_equal(fill(trace(mask), mask.shape), mask)
        assert len(trace(mask)) == ndimage.label(mask)[1]


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


def test_centres_on_an_outline_are_inside_but_not_those_on_a_cut():
    # As drawn by programs whose outlines pass through the outermost voxels.
    outer = np.array([(2, 2), (2, 12), (12, 12), (12, 2)])
    expected = np.zeros((15, 15), bool)
    expected[2:13, 2:13] = True
    np.testing.assert_array_equal(fill([outer], (15, 15)), expected)
    slanted = np.array([(2, 7), (7, 12), (12, 7), (7, 2)])
    y, x = np.mgrid[:15, :15]
    np.testing.assert_array_equal(fill([slanted], (15, 15)), abs(y - 7) + abs(x - 7) <= 5)
    hole = np.array([(5.5, 5.5), (8.5, 5.5), (8.5, 8.5), (5.5, 8.5)])
    # The cut goes from the corner (2, 2) to the corner (8.5, 8.5), through centres of the hole.
    keyhole = np.concatenate([outer[:1], hole[2:], hole[:3], outer])
    expected[6:9, 6:9] = False
    np.testing.assert_array_equal(fill([keyhole], (15, 15)), expected)


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
