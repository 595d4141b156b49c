"""Surfaces in mm: volumes, places, sides."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from autoseg.errors import ResourceError
from autoseg.image import Geometry
from autoseg.report.surface import surface_of

pytest.importorskip("skimage", reason="scikit-image finds surfaces")

# Turned by 90 degrees: array axes are world x, y, -z.
TURNED = Geometry(
    (40, 50, 60), (2.0, 1.0, 1.25), (100.0, -20.0, 30.0), (0, 0, -1, 0, 1, 0, 1, 0, 0)
)
LEFT_HANDED = replace(TURNED, direction=(0, 0, 1, 0, 1, 0, 1, 0, 0))


def ball(geometry: Geometry, centre_mm, radius: float) -> np.ndarray:
    places = geometry.position(np.moveaxis(np.indices(geometry.shape), 0, -1))
    return np.linalg.norm(places - np.asarray(centre_mm), axis=-1) <= radius


CENTRE = TURNED.position(np.array([20, 25, 30]))


def edges_of(triangles: np.ndarray) -> np.ndarray:
    return np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])


@pytest.mark.parametrize("geometry", [TURNED, LEFT_HANDED])
@pytest.mark.parametrize("most", [40_000, 1_500])
def test_a_ball_has_its_volume_its_place_and_its_normals(geometry, most):
    centre = geometry.position(np.array([20, 25, 30]))
    surface = surface_of(ball(geometry, centre, 18.0), geometry, most)
    assert len(surface.triangles) <= most
    assert surface.volume_mm3 == pytest.approx(4 / 3 * np.pi * 18**3, rel=0.02)
    outwards = surface.vertices - centre
    distance = np.linalg.norm(outwards, axis=1)
    assert np.abs(distance - 18).max() < 1.0  # half the largest voxel
    cosines = (surface.normals * outwards).sum(axis=1) / distance
    assert cosines.min() > 0.9
    np.testing.assert_allclose(np.linalg.norm(surface.normals, axis=1), 1, atol=1e-6)


def test_a_whole_surface_is_closed():
    edges = edges_of(surface_of(ball(TURNED, CENTRE, 12.0), TURNED).triangles)
    there = {tuple(edge) for edge in edges.tolist()}
    assert len(there) == len(edges)
    assert all((second, first) in there for first, second in there)


def test_thin_targets_stay_and_a_target_at_the_border_is_closed():
    mask = np.zeros((20, 30, 40), bool)
    mask[10, 5:25, 5:35] = True  # one voxel thick
    geometry = Geometry(mask.shape, (3.0, 1.0, 1.0))
    assert surface_of(mask, geometry).volume_mm3 == pytest.approx(20 * 30 * 3, rel=0.1)
    assert surface_of(np.ones((4, 5, 6), bool), Geometry((4, 5, 6))).volume_mm3 == pytest.approx(
        120, rel=0.1
    )
    dot = np.zeros((3, 3, 3), bool)
    dot[1, 1, 1] = True
    assert 0.2 < surface_of(dot, Geometry((3, 3, 3))).volume_mm3 < 1.5


def test_a_large_target_is_drawn_from_blocks_and_keeps_volume_and_place(monkeypatch):
    monkeypatch.setattr("autoseg.report.surface.VOXELS", 4_000)
    surface = surface_of(ball(TURNED, CENTRE, 18.0), TURNED)
    assert len(surface.triangles) < 4_000
    assert surface.volume_mm3 == pytest.approx(4 / 3 * np.pi * 18**3, rel=0.03)
    np.testing.assert_allclose(surface.vertices.mean(axis=0), CENTRE, atol=0.3)


def test_without_scikit_image_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.measure", None)
    with pytest.raises(ResourceError, match=r"surfaces need scikit-image.*autoseg\[report\]"):
        surface_of(np.ones((3, 3, 3), bool), Geometry((3, 3, 3)))
