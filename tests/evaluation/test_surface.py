"""Elements, weights and distances of surfaces, against closed forms and slow obvious versions."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from autoseg.evaluation import surface
from autoseg.evaluation.elements import element_weights, neighbourhood_codes
from autoseg.evaluation.surface import measure_surfaces, unweighted
from tests.evaluation.shapes import box

SPACING = (1.3, 0.7, 2.1)


def area(mask: np.ndarray, spacing: tuple[float, ...]) -> float:
    return float(element_weights(spacing)[neighbourhood_codes(mask)].sum())


def box_area(size: tuple[int, int, int], spacing: tuple[float, float, float]) -> float:
    """The closed form: faces, edges cut at 45 degrees, corners."""
    (a, b, c), (x, y, z) = size, spacing
    faces = 2 * ((a - 1) * (b - 1) * x * y + (b - 1) * (c - 1) * y * z + (a - 1) * (c - 1) * x * z)
    edges = (
        4
        * 0.5
        * (
            (a - 1) * x * np.hypot(y, z)
            + (b - 1) * y * np.hypot(x, z)
            + (c - 1) * z * np.hypot(x, y)
        )
    )
    return float(faces + edges + np.sqrt((x * y) ** 2 + (y * z) ** 2 + (x * z) ** 2))


@pytest.mark.parametrize(
    ("size", "spacing"), [((10, 10, 10), (1, 1, 1)), ((4, 7, 2), SPACING), ((1, 1, 1), SPACING)]
)
def test_the_area_of_a_box_is_the_closed_form(size, spacing):
    mask = np.ones(size, dtype=bool)
    assert area(mask, spacing) == pytest.approx(box_area(size, spacing), rel=1e-12)


def test_areas_of_known_boxes():
    cube = np.ones((10, 10, 10), dtype=bool)
    assert area(cube, (1, 1, 1)) == pytest.approx(564.0996, abs=1e-4)
    assert area(cube, (3, 1, 1)) == pytest.approx(1328.5684, abs=1e-4)
    assert area(cube[:1, :1, :1], (1, 1, 1)) == pytest.approx(np.sqrt(3))


def test_every_mixed_neighbourhood_has_an_area_and_no_other_has():
    table = element_weights(SPACING)
    assert table.shape == (256,)
    assert table[0] == table[255] == 0
    assert (table[1:255] > 0).all()


def test_a_mask_and_its_complement_have_the_same_surface():
    table = element_weights(SPACING)
    assert np.allclose(table, table[::-1], rtol=1e-12)


def moved(code: int, order: tuple[int, ...], flips: tuple[int, ...]) -> int:
    """Return the code of a neighbourhood after exchanging and flipping axes."""
    cube = np.array([code >> bit & 1 for bit in range(8)]).reshape(2, 2, 2)
    turned = np.flip(cube.transpose(order), flips).ravel()
    return int(sum(int(value) << bit for bit, value in enumerate(turned)))


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_areas_do_not_depend_on_the_order_or_direction_of_axes(order):
    table = element_weights(SPACING)
    turned = element_weights(tuple(SPACING[axis] for axis in order))
    for code, flips in product(range(256), [(), (0,), (1, 2)]):
        assert turned[moved(code, order, flips)] == pytest.approx(table[code], rel=1e-12)


def test_areas_scale_with_the_square_of_the_spacing():
    doubled = element_weights(tuple(2 * step for step in SPACING))
    assert np.allclose(doubled, 4 * element_weights(SPACING), rtol=1e-12)


def test_the_length_of_a_rectangle_is_the_closed_form():
    a, b, y, x = 6, 3, 0.8, 1.7
    mask = np.ones((a, b), dtype=bool)
    expected = 2 * (a - 1) * y + 2 * (b - 1) * x + 4 * 0.5 * np.hypot(y, x)
    assert area(mask, (y, x)) == pytest.approx(expected, rel=1e-12)


def test_two_pixels_that_touch_at_a_corner_are_two_outlines():
    corner = np.eye(2, dtype=bool)
    assert area(corner, (1.0, 1.0)) == pytest.approx(2 * area(corner[:1, :1], (1.0, 1.0)))


def test_codes_follow_the_corners():
    mask = np.zeros((2, 2, 2), dtype=bool)
    mask[1, 0, 1] = True  # z, y, x
    assert neighbourhood_codes(mask)[1, 1, 1] == 1 << (4 * 1 + 2 * 0 + 1)


def slow_border(mask: np.ndarray) -> np.ndarray:
    padded = np.pad(mask, 1)
    border = []
    for place in np.argwhere(padded):
        steps = [s * e for e in np.eye(mask.ndim, dtype=int) for s in (-1, 1)]
        if not all(padded[tuple(place + step)] for step in steps):
            border.append(place)
    return np.asarray(border)


def slow_corners(mask: np.ndarray) -> np.ndarray:
    codes = neighbourhood_codes(mask)
    return np.argwhere((codes != 0) & (codes != 2 ** (2**mask.ndim) - 1))


def slow_distances(ours: np.ndarray, theirs: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    gaps = (ours[:, None] - theirs[None]) * np.asarray(spacing)
    return np.sqrt((gaps**2).sum(-1)).min(1)


@pytest.mark.parametrize("shape", [(9, 12, 10), (14, 13, 15), (15, 18)])
@pytest.mark.parametrize(
    ("mode", "elements"),
    [("voxel", slow_border), ("surfel", slow_corners), ("vertex", slow_corners)],
)
def test_distances_equal_every_element_against_every_other(shape, mode, elements):
    rng = np.random.default_rng(3)
    reference, prediction = (rng.random((2, *shape)) > 0.9).astype(bool)
    spacing = SPACING[-len(shape) :]
    found = measure_surfaces(reference, prediction, spacing, mode)
    ours, theirs = elements(reference), elements(prediction)
    assert np.allclose(found.from_reference, slow_distances(ours, theirs, spacing), rtol=1e-12)
    assert np.allclose(found.from_prediction, slow_distances(theirs, ours, spacing), rtol=1e-12)


def test_trees_and_distance_transforms_agree(monkeypatch):
    rng = np.random.default_rng(4)
    reference, prediction = rng.random((2, 11, 12, 13)) > 0.8
    monkeypatch.setattr(surface, "_TRANSFORM_VOXELS", 0)
    trees = measure_surfaces(reference, prediction, SPACING)
    monkeypatch.setattr(surface, "_TRANSFORM_VOXELS", 10**9)
    transforms = measure_surfaces(reference, prediction, SPACING)
    assert np.allclose(trees.from_reference, transforms.from_reference, rtol=1e-14)
    assert np.allclose(trees.from_prediction, transforms.from_prediction, rtol=1e-14)


def test_an_object_at_the_border_has_a_closed_surface():
    inner, edge = box((9, 9, 9), (3, 6), (3, 6), (3, 6)), box((3, 3, 3), (0, 3), (0, 3), (0, 3))
    assert area(inner, SPACING) == pytest.approx(area(edge, SPACING))
    assert len(measure_surfaces(edge, edge, SPACING, "voxel").from_reference) == 26


def test_vertices_are_the_surfels_without_their_weights():
    reference, prediction = np.random.default_rng(5).random((2, 14, 13, 12)) > 0.8
    surfels = measure_surfaces(reference, prediction, SPACING)
    vertices = measure_surfaces(reference, prediction, SPACING, "vertex")
    assert (vertices.from_reference == surfels.from_reference).all()
    assert (vertices.reference_weights == 1).all()
    assert vertices.mode == unweighted(surfels).mode == "vertex"
