"""clDice of tubes."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from autoseg.errors import ResourceError
from autoseg.evaluation.topology import cldice, measure_topology, refine, skeleton
from autoseg.results import BOTH_EMPTY, OK, PRED_EMPTY, REF_EMPTY, SKIPPED
from tests.evaluation.shapes import UNIT, box

SHAPE = (15, 15, 40)
TUBE = box(SHAPE, (5, 10), (5, 10), (2, 38))


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.morphology", None)
    with pytest.raises(ResourceError, match="pip install scikit-image"):
        measure_topology(TUBE, TUBE, UNIT)


def test_empty_masks_need_no_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.morphology", None)
    nothing = np.zeros(SHAPE, dtype=bool)
    for ours, theirs, status, expected in (
        (nothing, nothing, BOTH_EMPTY, None), (nothing, TUBE, REF_EMPTY, 0.0),
        (TUBE, nothing, PRED_EMPTY, 0.0), (nothing[:0], nothing[:0], BOTH_EMPTY, None),
    ):  # fmt: skip
        value = measure_topology(ours, theirs, UNIT)["cldice"]
        assert (value.value, value.status) == (expected, status)


def test_a_thinner_tube_has_the_same_topology_and_a_worse_dice():
    pytest.importorskip("skimage")
    thin = box(SHAPE, (6, 9), (6, 9), (4, 36))
    assert cldice(TUBE, TUBE) == 1
    assert cldice(TUBE, thin) > 0.95 > 2 * thin.sum() / (TUBE.sum() + thin.sum())


def test_a_tube_cut_short_loses_the_rest_of_its_line():
    pytest.importorskip("skimage")
    half = TUBE.copy()
    half[..., 20:] = False
    line, short = skeleton(TUBE), skeleton(half)
    sensitivity = line[..., :20].sum() / line.sum()
    assert (short & TUBE).sum() == short.sum()
    assert cldice(TUBE, half) == pytest.approx(2 * sensitivity / (1 + sensitivity))
    assert cldice(half, TUBE) == pytest.approx(cldice(TUBE, half))


def test_tubes_apart_have_nothing_in_common():
    pytest.importorskip("skimage")
    assert cldice(TUBE, np.roll(TUBE, 7, 0)) == 0


def test_no_component_vanishes():
    pytest.importorskip("skimage")
    mask = np.zeros((20, 12, 9), dtype=bool)
    mask[1:13, 1:7, 1:4] = mask[15:17, 1:3, 1:3] = True  # both vanish in thinning
    assert skeleton(mask)[:14].any()
    assert skeleton(mask)[14:].any()
    assert cldice(mask, mask) == 1


def test_flat_images_have_lines_too():
    pytest.importorskip("skimage")
    value = measure_topology(TUBE[7], TUBE[7], (1.0, 1.0))["cldice"]
    assert (value.value, value.status) == (1, OK)


def test_thick_slices_are_refined_first_and_it_is_recorded():
    pytest.importorskip("skimage")
    thick = TUBE[1::3]
    values = measure_topology(thick, thick, (3.0, 1.0, 1.0))
    assert (values["cldice"].value, values["cldice_grid_mm"].value) == (1, 1.0)
    as_it_is = measure_topology(TUBE, TUBE, (1.4, 1.0, 1.0))["cldice_grid_mm"]
    assert (as_it_is.value, as_it_is.status) == (None, SKIPPED)


def test_refining_repeats_voxels():
    mask = np.array([[True, False], [False, True]])
    assert (refine(mask, (3.0, 1.0), 1.0) == np.repeat(mask, 3, axis=0)).all()
    half = refine(np.array([True, False, True]), (1.5,), 1.0)  # 4.5 mm in four voxels
    assert half.tolist() == [True, False, False, True]
