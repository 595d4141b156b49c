"""Random transforms: their distribution, and that the box read is the box needed."""

import numpy as np
import pytest

from autoseg.config import TrainConfig
from autoseg.training.geometry import (
    TRANSFORMS,
    covered_box,
    draw_transform,
    places_along_axes,
    rotation,
    transforms_of,
)
from tests.training.prepared import make_design

CUBE = make_design((16, 16, 16))


def draws(size: tuple[int, int, int], spacing: tuple = (1.0, 1.0, 1.0), n: int = 2000) -> list:
    rng, transforms = np.random.default_rng(0), transforms_of(TrainConfig(), make_design(size))
    return [draw_transform(transforms, spacing, rng) for _ in range(n)]


def test_two_thirds_of_the_samples_stay_as_they_are() -> None:
    untouched = np.mean([matrix is None for matrix in draws((16, 16, 16))])
    assert untouched == pytest.approx(0.8 * 0.8, abs=0.03)


def test_a_rotation_keeps_lengths_and_handedness() -> None:
    turn = rotation(np.array([0.3, -0.5, 0.2]))
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)


def test_scaling_stays_between_0_7_and_1_4() -> None:
    scales = [np.cbrt(np.linalg.det(m)) for m in draws((16, 16, 16)) if m is not None]
    assert min(scales) == pytest.approx(0.7, abs=0.02)
    assert max(scales) == pytest.approx(1.4, abs=0.02)


@pytest.mark.parametrize("size", [(1, 32, 32), (4, 32, 32)], ids=["2d", "dummy-2d"])
def test_flat_patches_never_mix_slices(size: tuple[int, int, int]) -> None:
    turned = [matrix for matrix in draws(size) if matrix is not None]
    for matrix in turned:
        assert matrix[0].tolist() == [1, 0, 0]
        assert matrix[:, 0].tolist() == [1, 0, 0]
    angles = [np.arctan2(m[2, 1], m[1, 1]) for m in turned]
    assert max(angles) > 2.5  # up to 180 degrees


def test_rotations_keep_millimetres_on_anisotropic_voxels() -> None:
    spacing = np.array((2.0, 1.0, 1.0))
    for matrix in draws((16, 16, 16), tuple(spacing), 200):
        if matrix is not None:
            in_mm = spacing[:, None] * matrix / spacing
            size = np.cbrt(np.linalg.det(in_mm))
            np.testing.assert_allclose(in_mm @ in_mm.T, size**2 * np.eye(3), atol=1e-9)


def test_the_box_holds_every_voxel_that_interpolation_looks_at() -> None:
    rng = np.random.default_rng(1)
    patch = (5, 6, 7)
    offsets = np.stack(np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in patch], indexing="ij"), -1)
    for _ in range(50):
        matrix, centre = (
            rotation(rng.uniform(-1, 1, 3)) * rng.uniform(0.7, 1.4),
            rng.uniform(8, 20, 3),
        )
        start, stop = covered_box(matrix, centre, patch, (28, 28, 28))
        places = offsets.reshape(-1, 3) @ matrix.T + centre
        assert (np.floor(places.min(0)) >= start).all()
        assert (np.ceil(places.max(0)) < stop).all()
        assert (stop - start <= np.ceil(np.ptp(places, axis=0)) + 8).all()


def test_the_box_stays_inside_the_scan() -> None:
    start, stop = covered_box(
        np.eye(3) * 1.4, np.array([2.0, 2.0, 40.0]), (16, 16, 16), (5, 30, 30)
    )
    assert start.tolist() == [0, 0, 29]
    assert stop.tolist() == [5, 14, 30]


def test_places_along_axes_add_up_to_where_voxels_come_from() -> None:
    rng = np.random.default_rng(2)
    matrix, centre = rng.normal(size=(3, 3)), np.array([3.0, 1.5, 6.0])
    patch, shape = np.array([5, 6, 7]), np.array([9, 4, 12])
    z, y, x = np.split(places_along_axes(matrix, centre, tuple(patch), tuple(shape)), [5, 11])
    for voxel in ((0, 0, 0), (4, 0, 3), (2, 5, 6)):
        found = (z[voxel[0]] + y[voxel[1]] + x[voxel[2]])[::-1]
        place = centre + matrix @ (voxel - (patch - 1) / 2)
        np.testing.assert_allclose(((found + 1) * shape - 1) / 2, place, atol=1e-5)


def strong_draws(size: tuple[int, int, int], spacing: tuple = (1.0, 1.0, 1.0), **changes) -> list:
    transforms = transforms_of(TrainConfig(augmentation="strong", **changes), make_design(size))
    rng = np.random.default_rng(0)
    return [draw_transform(transforms, spacing, rng) for _ in range(2000)]


def test_strong_turns_by_quarters_about_any_axis_of_like_voxels() -> None:
    drawn = strong_draws((16, 16, 16), augmentation_without=("rotation", "scaling"))
    assert np.mean([matrix is None for matrix in drawn]) == pytest.approx(0.5, abs=0.04)
    turns = {tuple(np.asarray(m, dtype=int).flatten()) for m in drawn if m is not None}
    assert len(turns) == 9  # three axes, three angles
    thick = strong_draws((16, 16, 16), (3.0, 1, 1), augmentation_without=("rotation", "scaling"))
    assert len({tuple(m.flatten()) for m in thick if m is not None}) == 3
    for matrix in thick:
        assert matrix is None or matrix[0].tolist() == [1, 0, 0]
    none = strong_draws((1, 16, 16), (1.0, 2, 1), augmentation_without=("rotation", "scaling"))
    assert all(matrix is None for matrix in none)


def test_strong_scales_each_axis_by_itself() -> None:
    drawn = strong_draws((16, 16, 16), augmentation_without=("rotation", "quarter_turns"))
    scales = np.asarray([np.diag(matrix) for matrix in drawn if matrix is not None])
    assert scales.min() == pytest.approx(0.7, abs=0.02)
    assert scales.max() == pytest.approx(1.43, abs=0.02)
    assert (np.ptp(scales, axis=1) > 0.01).mean() > 0.9


def test_strength_and_left_out_kinds_reach_the_transforms() -> None:
    config = TrainConfig(augmentation_strength=2.0, augmentation_without=("scaling",))
    found = transforms_of(config, CUBE)
    assert (found.rotation, found.scaling, found.quarter_turns) == (0.4, 0, 0)
    assert transforms_of(TrainConfig(), CUBE) == TRANSFORMS["default"]
    for name in ("none", "light", "my.own:augmentation"):
        assert transforms_of(TrainConfig(augmentation=name), CUBE) is None


def test_slices_are_kept_apart_where_the_patch_is_flat_or_as_it_is_set() -> None:
    thin, flat = make_design((4, 32, 32)), make_design((1, 32, 32))
    for design, asked, expected in (
        (CUBE, None, (False, (30, 30, 30))), (CUBE, True, (True, (180, 0, 0))),
        (thin, None, (True, (180, 0, 0))), (thin, False, (False, (30, 30, 30))),
        (flat, None, (True, (180, 0, 0))), (flat, False, (True, (180, 0, 0))),
        (flat, True, (True, (180, 0, 0))),
    ):  # fmt: skip
        found = transforms_of(TrainConfig(dummy_2d=asked), design)
        assert (found.flat, found.rotation_degrees) == expected
