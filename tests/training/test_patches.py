"""Where patches lie, and what is read there."""

import numpy as np
import torch

from autoseg.inference.sliding import sliding_window
from autoseg.preprocessing.store import PreparedCase
from autoseg.training import patches
from autoseg.training.patches import choose_place, choose_start, read_patch
from tests.training.prepared import make_case
from tests.training.test_sampling import three_cases


def sample_patch(case, patch_size, target, rng, nnunet=False):
    """A patch of `case`, centred on a voxel of `target` (None: anywhere)."""
    return read_patch(case, patch_size, choose_place(case, patch_size, target, rng, nnunet=nnunet))


def test_a_patch_anywhere_starts_uniformly_inside_the_scan() -> None:
    rng = np.random.default_rng(0)
    starts = [choose_start((8, 10, 4), (4, 10, 6), None, rng) for _ in range(500)]
    counts = np.bincount([start[0] for start in starts], minlength=5)
    assert len(counts) == 5
    np.testing.assert_allclose(counts / 500, 0.2, atol=0.06)
    assert {start[1] for start in starts} == {0}
    assert {start[2] for start in starts} == {-1}  # centred: the scan is smaller there


def test_a_scan_smaller_than_the_patch_lies_in_it_as_in_prediction() -> None:
    # 35 voxels in 40: two in front and three behind, counted from the end three in front.
    rng, voxel = np.random.default_rng(0), np.array([3, 3, 3])
    for place in (None, voxel):
        start = choose_start((35, 35, 36), (40, 40, 40), place, rng)
        assert start.tolist() == [-2, -2, -2]
        start = choose_start((35, 35, 36), (40, 40, 40), place, rng, from_end=(1, 2))
        assert start.tolist() == [-2, -3, -2]
        patch = torch.zeros(1, 40, 40, 40)
        patch[0, 2:37, 3:38, 2:38] = 1
    seen = []

    def predict(tiles: torch.Tensor) -> torch.Tensor:
        seen.append(tiles[0])
        return tiles

    sliding_window(predict, torch.ones(1, 35, 35, 36), (40, 40, 40), from_end=(1, 2))
    assert torch.equal(seen[0], patch)


def test_nnunet_puts_the_voxel_in_the_middle_and_never_begins_before_the_scan() -> None:
    rng = np.random.default_rng(0)
    start = choose_start((20, 20, 20), (8, 8, 8), np.array([10, 2, 19]), rng, nnunet=True)
    assert start.tolist() == [6, 0, 15]  # the last one ends behind the scan


def test_balanced_keeps_the_voxel_inside_the_patch_and_the_patch_inside_the_scan() -> None:
    rng = np.random.default_rng(0)
    shape, patch = np.array((20, 30, 9)), np.array((8, 12, 9))
    moved = set()
    for _ in range(300):
        voxel = rng.integers(shape)
        start = choose_start((20, 30, 9), (8, 12, 9), voxel, rng)
        assert (start >= 0).all()
        assert (start + patch <= shape).all()
        assert (start <= voxel).all()
        assert (voxel < start + patch).all()
        moved.add(int(voxel[1] - start[1]))
    assert len(moved) > 6


def test_a_patch_is_the_scan_there_and_zero_outside() -> None:
    labels = np.arange(5 * 6 * 4, dtype=np.uint8).reshape(5, 6, 4) % 3
    case, rng = make_case("a", labels), np.random.default_rng(0)
    patch = sample_patch(case, (8, 6, 2), None, rng)
    assert patch.image.dtype == np.float32
    np.testing.assert_array_equal(patch.image[0], patch.labels)
    assert patch.labels[:1].max() == patch.labels[6:].max() == 0
    inner = patch.labels[1:6]
    assert any((inner == labels[:, :, x : x + 2]).all() for x in range(3))


def test_a_patch_centred_on_a_target_holds_it() -> None:
    case, rng = three_cases()[1], np.random.default_rng(0)
    for nnunet in (True, False):
        for _ in range(50):
            patch = sample_patch(case, (4, 4, 4), 1, rng, nnunet=nnunet)
            assert (patch.labels == 2).any()


def test_a_patch_is_a_copy_that_may_be_changed() -> None:
    case = three_cases()[0]
    before = case.image.copy()
    sample_patch(case, (8, 10, 12), None, np.random.default_rng(0)).image[:] = 7
    np.testing.assert_array_equal(case.image, before)


def test_where_most_is_ignored_patches_are_taken_around_what_is_not() -> None:
    labels = np.full((20, 20, 20), 255, dtype=np.uint8)
    labels[3, 4, 5] = 0
    case = make_case("a", labels)
    case = PreparedCase(**{**vars(case), "labelled": np.array([[3, 4, 5]], dtype=np.int32)})
    rng = np.random.default_rng(0)
    assert all((sample_patch(case, (4, 4, 4), None, rng).labels == 0).any() for _ in range(20))


def test_the_box_and_the_drawn_position_are_all_that_is_fetched(monkeypatch) -> None:
    fetched: list[np.ndarray] = []
    monkeypatch.setattr(patches, "fetch", fetched.append)
    labels = np.zeros((20, 30, 40), np.uint8)
    labels[10, 15, 20] = 1
    case = make_case("a", labels)
    sample_patch(case, (4, 6, 8), 0, np.random.default_rng(0))
    assert [part.shape for part in fetched] == [(3,), (1, 4, 6, 8), (4, 6, 8)]
    assert all(np.shares_memory(part, whole) for part, whole in zip(
        fetched, (case.foreground[0], case.image, case.labels), strict=True
    ))  # fmt: skip
