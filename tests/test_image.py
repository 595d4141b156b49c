"""Orientation is lossless: every voxel keeps its value and its place in the room."""

import itertools

import numpy as np
import pytest

from autoseg.image import (
    CANONICAL,
    RAS,
    STORED,
    Geometry,
    Orientation,
    canonical_orientation,
    grid_differences,
    orientation_of,
    reorient,
    same_grid,
)

ORIENTATIONS = [
    (permutation, signs)
    for permutation in itertools.permutations(range(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
]


def turned_grid(permutation, signs, shape=(3, 4, 5), spacing=(3.0, 1.0, 0.5)):
    """A grid whose array axis a points along world axis permutation[a], with that sign."""
    direction = np.zeros((3, 3))
    for axis, (world, sign) in enumerate(zip(permutation, signs, strict=True)):
        direction[world, axis] = sign
    return Geometry(shape, spacing, (10.0, -20.0, 5.0), tuple(direction.ravel().tolist()))


def all_indices(shape):
    return np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 3)


@pytest.mark.parametrize(("permutation", "signs"), ORIENTATIONS)
def test_reorienting_keeps_values_at_their_positions(permutation, signs):
    source = turned_grid(permutation, signs)
    array = np.arange(60).reshape(source.shape)
    orientation = canonical_orientation(source.direction_matrix)
    canonical, turned = reorient(source, orientation), orientation.apply(array)
    assert turned.shape == canonical.shape
    places = {
        int(array[tuple(index)]): tuple(source.position(index))
        for index in all_indices(array.shape)
    }
    for index in all_indices(turned.shape):
        np.testing.assert_allclose(canonical.position(index), places[int(turned[tuple(index)])])


@pytest.mark.parametrize(("permutation", "signs"), ORIENTATIONS)
def test_canonical_axes_point_to_head_back_and_left(permutation, signs):
    source = turned_grid(permutation, signs)
    canonical = reorient(source, canonical_orientation(source.direction_matrix))
    np.testing.assert_allclose(canonical.direction_matrix, np.eye(3))


@pytest.mark.parametrize(("permutation", "signs"), ORIENTATIONS)
def test_undo_is_the_inverse_of_apply(permutation, signs):
    source = turned_grid(permutation, signs)
    orientation = canonical_orientation(source.direction_matrix)
    array = np.arange(120).reshape(2, *source.shape)
    np.testing.assert_array_equal(orientation.undo(orientation.apply(array)), array)


def test_an_oblique_scan_is_turned_by_its_nearest_axes():
    angle = np.deg2rad(40)
    cosine, sine = np.cos(angle), np.sin(angle)
    direction = np.array([[1, 0, 0], [0, -cosine, sine], [0, sine, cosine]])
    orientation = canonical_orientation(direction)
    assert orientation.permutation == (0, 1, 2)
    assert orientation.flips == (1,)


def test_exactly_forty_five_degrees_is_decided_the_same_way_under_noise():
    root = np.sqrt(0.5)
    direction = np.array([[1, 0, 0], [0, root, -root], [0, root, root]])
    expected = canonical_orientation(direction)
    rng = np.random.default_rng(0)
    for _ in range(20):
        noisy = direction + rng.normal(0, 1e-12, (3, 3))
        assert canonical_orientation(noisy) == expected


def test_position_of_a_voxel_computed_by_hand():
    grid = Geometry((2, 2, 2), (3.0, 2.0, 1.0), (10.0, 20.0, 30.0))
    np.testing.assert_allclose(grid.position(np.array([1, 1, 1])), [13.0, 22.0, 31.0])


def test_diagonal_of_a_grid_in_millimetres():
    assert Geometry((3, 4, 1), (1.0, 1.0, 1e-9)).diagonal_mm == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"shape": (3, 4, 6)}, "shape"),
        ({"spacing": (3.0, 1.0, 0.502)}, "spacing"),
        ({"origin": (0.0, 0.0, 0.02)}, "origin"),
        ({"direction": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.002, 1.0)}, "direction"),
    ],
)
def test_grids_beyond_a_tolerance_differ_by_name(change, name):
    grid = {"shape": (3, 4, 5), "spacing": (3.0, 1.0, 0.5)}
    differences = grid_differences(Geometry(**{**grid, **change}), Geometry(**grid))
    assert [difference[0] for difference in differences] == [name]


def test_rounding_in_headers_is_no_difference():
    grid = Geometry((3, 4, 5), (3.0, 1.0, 0.5))
    other = Geometry((3, 4, 5), (3.0, 1.0, 0.50004), (0.0, 0.0, 3e-4))
    assert same_grid(other, grid)


@pytest.mark.parametrize("signs", list(itertools.product((1, -1), repeat=3)))
def test_ras_is_canonical_with_front_and_right_first_and_stored_is_untouched(signs):
    direction = np.diag(signs).astype(float)
    turned = reorient(
        Geometry((2, 3, 4), direction=tuple(direction.ravel())), orientation_of(direction, RAS)
    )
    assert np.array_equal(turned.direction_matrix, np.diag([1.0, -1.0, -1.0]))
    assert orientation_of(direction, CANONICAL) == canonical_orientation(direction)
    assert orientation_of(direction, STORED) == Orientation()
    with pytest.raises(ValueError, match="orientation 'LAS' is not canonical, stored or RAS"):
        orientation_of(direction, "LAS")
