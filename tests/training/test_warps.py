"""Rotated and scaled samples: every voxel at its place, image and labels aligned."""

import dataclasses

import numpy as np
import pytest
import torch

from autoseg.training.batch import Warp
from autoseg.training.geometry import first_slice_of, places_along_axes, rotation
from autoseg.training.loader import _stack
from autoseg.training.patches import Patch
from autoseg.training.warps import apply_warps
from tests.training.batches import batch_of, blobs, warp_of


def test_the_identity_warp_gives_back_what_was_read() -> None:
    labels = blobs()
    found = apply_warps(warp_of(labels, np.eye(3), (11.5, 12.5, 13.5)))
    expected = torch.from_numpy(labels[6:18, 6:20, 6:22].copy())
    assert torch.equal(found.target[0], expected)
    torch.testing.assert_close(found.image[0, 0], expected.float(), atol=1e-4, rtol=0)
    assert found.warps == ()


def test_a_quarter_turn_moves_every_voxel_to_its_place() -> None:
    labels = blobs((20, 20, 20))
    quarter = rotation(np.array([np.pi / 2, 0, 0]))
    found = apply_warps(warp_of(labels, quarter, (9.5, 9.5, 9.5), (20, 20, 20)))
    # The patch's offset (y, x) comes from the scan's offset (-x, y).
    assert torch.equal(found.target[0], torch.from_numpy(np.rot90(labels, -1, (1, 2)).copy()))


@pytest.mark.parametrize("seed", range(6))
def test_image_and_labels_stay_aligned_up_to_interpolation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = rotation(rng.uniform(-0.5, 0.5, 3)) * rng.uniform(0.7, 1.4)
    found = apply_warps(warp_of(blobs() // 2 * 2, matrix, tuple(rng.uniform(8, 16, 3))))
    image, labels = found.image[0, 0], found.target[0].float()
    assert (labels > 0).any()
    # Linear interpolation of a 0/2 map is above 1 where the nearest voxel mostly is 2.
    disagreeing = ((image > 1) != (labels == 2)).float().mean()
    assert disagreeing < 0.03
    assert image[labels == 2].mean() > 1.6
    assert image[labels == 0].mean() < 0.1


def test_a_warped_patch_shows_the_scan_wherever_the_scan_has_data() -> None:
    """No corner of a rotated patch is padding while the scan goes on there."""
    scan = np.ones((40, 40, 40), dtype=np.uint8)
    matrix = rotation(np.array([0.5, -0.4, 0.3])) * 1.1
    found = apply_warps(warp_of(scan, matrix, (20, 20, 20)))
    torch.testing.assert_close(found.image, torch.ones_like(found.image))
    assert (found.target == 1).all()


def test_samples_without_a_warp_are_left_alone() -> None:
    image, target = torch.rand(3, 1, 4, 4, 4), torch.zeros(3, 4, 4, 4, dtype=torch.uint8)
    places = torch.from_numpy(
        places_along_axes(np.eye(3), np.full(3, 2.5), (4, 4, 4), (6, 6, 6))
    ).float()
    warp = Warp(1, torch.ones(1, 6, 6, 6), torch.ones(6, 6, 6, dtype=torch.uint8), places)
    found = apply_warps(batch_of(image, target, (warp,)))
    assert torch.equal(found.image[[0, 2]], image[[0, 2]])
    torch.testing.assert_close(found.image[1], torch.ones(1, 4, 4, 4))
    assert found.target.sum(dim=(1, 2, 3)).tolist() == [0, 64, 0]


@pytest.mark.parametrize("centre_z", [11.5, 2.5, 21.5, -20.5])  # within, and over either end
def test_whole_slices_move_as_they_do_in_space(centre_z: float) -> None:
    matrix = rotation(np.array([0.7, 0.0, 0.0]))
    matrix[1:] *= 1.2
    found = warp_of(blobs(), matrix, (centre_z, 12.3, 13.1))
    (warp,) = found.warps
    read = max(0, int(centre_z - 5.5))
    first = first_slice_of(matrix, np.array([centre_z - read, 0, 0]), (12, 14, 16))
    assert first == centre_z - 5.5 - read
    assert first_slice_of(rotation(np.array([0.7, 0.1, 0])), np.zeros(3), (3, 4, 4)) is None
    assert first_slice_of(np.eye(3) * 1.1, np.zeros(3), (3, 4, 4)) is None
    assert first_slice_of(np.eye(3), np.full(3, 2.25), (3, 4, 4)) is None
    twice = torch.cat([warp.image, 3 * warp.image])  # two channels
    warp = dataclasses.replace(warp, image=twice, previous=warp.target)
    batch = dataclasses.replace(
        found, image=found.image.repeat(1, 2, 1, 1, 1), previous=found.target.clone()
    )
    space = apply_warps(dataclasses.replace(batch, warps=(warp,)))
    flat = dataclasses.replace(warp, first_slice=first)
    slices = apply_warps(dataclasses.replace(batch, warps=(flat,)))
    torch.testing.assert_close(slices.image, space.image, atol=1e-4, rtol=0)
    assert slices.previous is not None
    for label_map in (slices.target, slices.previous):
        assert (label_map != space.target).float().mean() < 1e-3
    assert space.target.any() == (centre_z > 0)


def test_the_loader_says_where_slices_stay_whole() -> None:
    patches = [
        Patch(np.zeros((1, 6, 9, 9), np.float32), np.zeros((6, 9, 9), np.uint8), matrix, centre)
        for matrix, centre in (
            (rotation(np.array([0.3, 0, 0])), np.array([2.5, 4, 4])),
            (rotation(np.array([0.3, 0.2, 0])), np.array([2.5, 4, 4])),
        )
    ]
    *_, warps = _stack(patches, (6, 8, 8), pinned=False)
    assert [warp.first_slice for warp in warps] == [0, None]
