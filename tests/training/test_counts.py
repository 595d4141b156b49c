"""Counts of true and false voxels, by hand."""

import torch

from autoseg.labels import Labels
from autoseg.training.counts import MANY, hard_counts, thinned_counts
from tests.training.test_losses import ORGANS, REGIONS


def test_counts_of_exclusive_targets_are_those_counted_by_hand() -> None:
    target = torch.tensor([0, 1, 2, 3, 4, ORGANS.ignored_index], dtype=torch.uint8).view(1, 1, 1, 6)
    best = torch.tensor([1, 1, 2, 1, 0, 3]).view(1, 1, 1, 6)
    scores = torch.nn.functional.one_hot(best, 4).movedim(-1, 1).float()
    found = hard_counts(scores, target, ORGANS)
    assert found.tolist() == [[1, 2, 0], [1, 0, 1], [0, 0, 1]]
    unknown = hard_counts(scores, target, ORGANS, torch.tensor([[False, True, True]]))
    assert unknown.tolist() == [[0, 0, 0], [1, 0, 1], [0, 0, 1]]


def test_counts_of_overlapping_targets_see_a_voxel_more_than_once() -> None:
    target = torch.tensor([0, 1, 2, 2], dtype=torch.uint8).view(1, 1, 1, 4)
    scores = torch.tensor([[1.0, 1, 1, -1], [-1, 1, 1, -1]]).view(1, 2, 1, 1, 4)
    assert hard_counts(scores, target, REGIONS).tolist() == [[2, 1, 1], [1, 1, 1]]


def test_of_many_targets_every_fourth_voxel_is_counted() -> None:
    labels = Labels({f"t{k}": (k,) for k in range(1, MANY + 1)})
    scores = torch.randn(1, MANY + 1, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    target, known = scores.argmax(1).to(torch.uint8), torch.ones(1, MANY, dtype=torch.bool)
    found = thinned_counts(scores, target, labels, known)
    fourth = target[:, [0, 4]][:, :, [0, 4]][..., [0, 4]]
    assert found[:, 0].tolist() == [(fourth == k).sum() for k in range(1, MANY + 1)]
    assert not found[:, 1:].any()


def test_thinned_counts_are_those_of_every_second_voxel() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 4, 5, 6, 7, generator=generator)
    target = torch.randint(0, 5, (2, 5, 6, 7), generator=generator).to(torch.uint8)
    known = torch.tensor([[True, True, False], [True, False, True]])
    seen = torch.zeros(5, 6, 7, dtype=torch.bool)
    for z, y, x in torch.cartesian_prod(*(torch.arange(0, n, 2) for n in seen.shape)):
        seen[z, y, x] = True
    left = torch.where(seen, target, ORGANS.ignored_index)
    assert torch.equal(
        thinned_counts(scores, target, ORGANS, known), hard_counts(scores, left, ORGANS, known)
    )
    assert torch.equal(
        thinned_counts(scores[:, :, :1], target[:, :1], ORGANS, known),  # a flat patch
        hard_counts(scores[:, :, :1], left[:, :1], ORGANS, known),
    )
