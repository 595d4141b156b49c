"""One label moved by a matrix: as SciPy would, and back again from the record."""

import numpy as np
import pytest
from scipy.ndimage import affine_transform

from autoseg.errors import UsageError
from autoseg.importing.move_label import find_runs, move_back, move_label, read_matrix, undo_runs

SHAPE = (14, 30, 40)  # Z, Y, X


def segthor_matrix(centre, shift, degrees=-27.0):
    """Return C @ R @ C^-1 @ T as the course's tamper builds it, in (x, y, z)."""
    angle = np.deg2rad(degrees)
    to, back, turn, move = (np.eye(4) for _ in range(4))
    to[:3, 3], back[:3, 3], move[:3, 3] = centre, np.negative(centre), shift
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return to @ turn @ back @ move


def some_labels(seed=0):
    label_map = np.random.default_rng(seed).integers(0, 4, SHAPE).astype(np.uint8)
    label_map[5:9, 8:20, 10:26] = 2
    return label_map


def the_slow_way(label_map, value, matrix):
    """What the course's script does, on the array as nibabel shows it."""
    shown = label_map.transpose(2, 1, 0)
    moved = affine_transform((shown == value).astype(np.uint8), matrix, order=0) > 0
    after = np.where(shown == value, 0, shown)
    after[moved] = value
    return after.transpose(2, 1, 0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "matrix",
    [
        segthor_matrix((20, 15, 0), (4, 3, 2)),
        np.linalg.inv(segthor_matrix((20, 15, 0), (4, 3, 2))),
        segthor_matrix((20, 15, 0), (0.5, -0.5, 0), degrees=0),
        np.diag([0.5, 2, -1, 1]) + np.pad([[0, 0, 0, 9]] * 3, ((0, 1), (0, 0))),
    ],
    ids=["forward", "inverse", "half a voxel", "scaled and mirrored"],
)
def test_a_label_is_moved_as_scipy_would(seed, matrix):
    label_map = some_labels(seed)
    before = label_map.copy()
    assert np.array_equal(move_label(label_map, 2, matrix), the_slow_way(label_map, 2, matrix))
    assert np.array_equal(label_map, before)


def ball(shape=(24, 60, 70)):
    grid = np.indices(shape).T - (12, 28, 30)
    return 2 * (np.linalg.norm(grid / (5, 11, 13), axis=-1).T < 1).astype(np.uint8)


def dice(one, other):
    both = ((one == 2) & (other == 2)).sum()
    return 2 * both / ((one == 2).sum() + (other == 2).sum())


def test_a_label_comes_back_better_than_by_the_inverse_matrix():
    before, matrix = ball(), segthor_matrix((36, 24, 0), (6, 5, 2))
    moved = move_label(before, 2, matrix)
    assert dice(moved, before) < 0.5
    by_inverse = dice(move_label(moved, 2, np.linalg.inv(matrix)), before)
    back = dice(move_back(moved, 2, matrix), before)
    assert by_inverse < 0.99
    assert 1 - back < 0.75 * (1 - by_inverse)


def test_a_shift_is_undone_exactly_and_neighbours_stay():
    before, matrix = ball(), np.eye(4)
    matrix[:3, 3] = 7, -4, 3
    before[2:4, 5:9, 5:9] = 1
    moved = move_label(before, 2, matrix)
    assert np.array_equal(move_back(moved, 2, matrix), before)
    assert np.array_equal(move_back(before % 2, 2, matrix), before % 2)


def test_the_former_map_can_be_made_again_from_the_record():
    for seed in range(5):
        before = some_labels(seed)
        after = move_label(before, 2, segthor_matrix((20, 15, 0), (4, 3, 2)))
        runs = find_runs(before, after)
        assert not np.array_equal(before, after)
        assert np.array_equal(undo_runs(after, runs), before)
    assert find_runs(before, before) == ()


def test_runs_are_those_of_the_file_order():
    before = np.array([[[0, 1, 1, 2, 0, 3, 3, 3]]])
    after = np.array([[[0, 0, 0, 0, 0, 3, 1, 1]]])
    assert find_runs(before, after) == ((1, 2, 1), (3, 1, 2), (6, 2, 3))


def test_a_label_that_leaves_the_image_or_is_not_there_leaves_background():
    label_map = some_labels()
    away = np.eye(4)
    away[0, 3] = 1000
    gone = np.where(label_map == 2, 0, label_map)
    assert np.array_equal(move_label(label_map, 2, away), gone)
    assert np.array_equal(move_label(label_map, 9, away), label_map)


def test_a_matrix_is_read_with_spaces_or_commas(tmp_path):
    path = tmp_path / "m.txt"
    path.write_text("1, 0, 0, 5.5\n0 1 0 -3\n0 0 1 2e0\n0 0 0 1\n")
    expected = np.eye(4)
    expected[:3, 3] = 5.5, -3, 2
    assert np.array_equal(read_matrix(path), expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "file not found"),
        ("one two", "is no text of numbers, expected 16 numbers"),
        ("1 0 0", "holds 3 numbers, expected four rows of four finite numbers"),
        (" ".join(["nan"] * 16), "expected four rows of four finite numbers"),
        ("1 0 0 0 0 1 0 0 0 0 1 0 1 2 3 1", "its last row is 1 2 3 1, expected 0 0 0 1"),
        ("1 0 0 0 0 1 0 0 0 0 0 0 0 0 0 1", "cannot be inverted, expected a turn, shift or scale"),
    ],
)
def test_what_is_no_matrix_is_refused(tmp_path, text, message):
    path = tmp_path / "m.txt"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_matrix(path)
