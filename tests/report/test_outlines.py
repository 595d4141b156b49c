"""One palette, true proportions, outlines inside their areas."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.colours import target_colours
from autoseg.report.outlines import (
    BLACK,
    GREYS,
    WHITE,
    colour_of,
    draw_outlines,
    greys_at,
    palette,
    pixels,
)


def test_the_palette_has_greys_from_black_to_white_and_then_the_targets():
    colours = np.frombuffer(palette(), np.uint8).reshape(256, 3)
    assert colours[BLACK].tolist() == [0, 0, 0]
    assert colours[WHITE].tolist() == [255, 255, 255]
    assert (np.diff(colours[:GREYS, 0].astype(int)) > 0).all()
    assert tuple(colours[colour_of(4)].tolist()) == target_colours(5)[4]
    assert colour_of(256 - GREYS) == colour_of(0)  # there are no more


@pytest.mark.parametrize(
    ("spacing", "counts"),
    [((1.0, 1.0), (50, 100)), ((4.0, 1.0), (100, 50)), ((2.0, 1.0), (100, 100))],
)
def test_a_pixel_is_as_high_as_wide_and_the_first_and_last_lie_inside(spacing, counts):
    rows, columns = pixels((10, 20), spacing, 100)
    assert (len(rows), len(columns)) == counts
    for places, voxels in ((rows, 10), (columns, 20)):
        assert places[0] + places[-1] == pytest.approx(voxels - 1)  # symmetric
        assert -0.5 < places[0] < 0


def test_greys_are_linear_between_voxels_and_end_at_the_window():
    image = np.array([[-100.0, 0.0, 100.0]])
    places = np.array([0.0]), np.array([0.0, 0.5, 1.0, 2.0])
    assert greys_at(image, places, (-100, 0)).tolist() == [[BLACK, round(WHITE / 2), WHITE, WHITE]]


def test_outlines_are_the_outer_pixels_of_each_area_and_dashes_have_black_gaps():
    colours = np.zeros((8, 40), int)
    colours[2:6, 2:20], colours[2:6, 20:38] = 60, 70
    places = np.arange(8.0), np.arange(40.0)
    solid = np.full((8, 40), 5, np.uint8)
    draw_outlines(solid, colours, places)
    assert (solid == 60).sum() == 4 * 18 - 2 * 16  # all but its inner pixels
    assert solid[3, 19] == 60
    assert solid[3, 20] == 70
    dashed = np.full((8, 40), 5, np.uint8)
    draw_outlines(dashed, colours, places, dashed=True)
    np.testing.assert_array_equal(dashed != 5, solid != 5)
    assert {BLACK, 60, 70} <= set(np.unique(dashed).tolist())
