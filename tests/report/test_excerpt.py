"""The part of a scan around its labels."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.image import Geometry
from autoseg.report.excerpt import MARGIN_MM, excerpt

GRID = Geometry((40, 90, 80), (2.5, 1.0, 1.0), (-3.0, 5.0, 7.0))


def scan():
    image = np.arange(np.prod(GRID.shape)).reshape(GRID.shape)
    labels = np.zeros(GRID.shape, np.uint8)
    labels[18:22, 40:50, 30:40] = 1
    return image, labels


def test_what_is_labelled_is_kept_with_its_margin():
    image, labels = scan()
    cut, maps, left = excerpt(image, {"reference": labels}, GRID)
    assert left.shape == cut.shape == (4 + 20, 10 + 50, 10 + 50)
    assert maps["reference"].sum() == labels.sum()
    assert MARGIN_MM == 25


@pytest.mark.parametrize("voxels", [10**9, 20_000, 500])
def test_every_voxel_that_is_left_lies_where_it_lay(voxels):
    image, labels = scan()
    cut, _, left = excerpt(image, {"reference": labels}, GRID, voxels)
    assert cut.size <= voxels
    for index in ((0, 0, 0), tuple(n - 1 for n in cut.shape)):
        there = np.rint(GRID.index(left.position(np.array(index)))).astype(int)
        assert cut[index] == image[tuple(there)]


def test_the_finest_axes_are_thinned_first():
    image, labels = scan()
    _, _, left = excerpt(image, {"reference": labels}, GRID, 24 * 30 * 30)
    assert left.spacing == (2.5, 2.0, 2.0)


def test_without_labels_all_is_kept():
    image, labels = scan()
    assert excerpt(image, {"reference": labels * 0}, GRID)[2] == GRID
    assert excerpt(image, {}, GRID)[2] == GRID
