"""The part of a scan around its labels."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.image import Geometry
from autoseg.report.excerpt import MARGIN_MM, excerpt, thin

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
    cut, _, left = excerpt(image, {"reference": labels}, GRID)
    part, thinned = thin(left, voxels)
    assert cut[part].shape == thinned.shape
    assert cut[part].size <= voxels
    for index in ((0, 0, 0), tuple(n - 1 for n in thinned.shape)):
        there = np.rint(GRID.index(thinned.position(np.array(index)))).astype(int)
        assert cut[part][index] == image[tuple(there)]


def test_the_finest_axes_are_thinned_first():
    assert thin(Geometry((24, 60, 60), (2.5, 1.0, 1.0)), 24 * 30 * 30)[1].spacing == (2.5, 2.0, 2.0)
    flat = Geometry((1, 60, 60), (1.0, 1.0, 1.0))
    assert thin(flat, 2000) == (
        (slice(0, 1, 1), slice(0, 60, 2), slice(0, 60, 1)), Geometry((1, 30, 60), (1.0, 2.0, 1.0)),
    )  # fmt: skip


def test_without_labels_all_is_kept():
    image, labels = scan()
    assert excerpt(image, {"reference": labels * 0}, GRID)[2] == GRID
    assert excerpt(image, {}, GRID)[2] == GRID
