"""Losses against their slow obvious versions, value and gradient; masks; counts."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from autoseg.errors import UsageError
from autoseg.labels import Labels
from autoseg.training.loader import Batch
from autoseg.training.losses import (
    build_loss,
    deep_supervised,
    deep_supervision_weights,
    downsampled,
    hard_counts,
)
from autoseg.training.softmax_dice import SMOOTH

ORGANS = Labels({"liver": (1,), "left": (2, 3), "right": (4,)})
REGIONS = Labels({"kidney": (1, 2), "tumour": (2,)})
MANY = Labels({f"part_{i}": (1000 + 7 * i,) for i in range(300)}, ignore=9)
SHAPE = (4, 5, 6)
IGNORED = ORGANS.ignored_index


def make_batch(labels: Labels, seed: int = 0, ignored: bool = False, **changes: object) -> Batch:
    rng = np.random.default_rng(seed)
    target = rng.integers(0, len(labels.values) + 1, (2, *SHAPE)).astype(labels.index_dtype)
    if ignored:
        target[rng.random(target.shape) < 0.3] = labels.ignored_index
    batch = Batch(
        image=torch.zeros(2, 1, *SHAPE),
        target=torch.from_numpy(target),
        annotated=torch.ones(2, len(labels.names), dtype=torch.bool),
        spacing_mm=torch.ones(2, 3),
        partial=False,
    )
    return dataclasses.replace(batch, **changes)


def make_scores(labels: Labels, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    scores = 2 * torch.randn(2, labels.channels, *SHAPE, generator=generator)
    return scores.requires_grad_()


def naive_dice(p: Tensor, truth: Tensor, counted: Tensor, batch_dice: bool) -> Tensor:
    """1 - mean over targets of the soft Dice of probabilities and one-hot truth (B, K, V)."""
    overlap, total = (p * truth).sum(2), (p + truth).sum(2)
    if batch_dice:
        overlap, total = (overlap * counted).sum(0), (total * counted).sum(0)
        counted = counted.any(0)
    dice = (2 * overlap + SMOOTH) / (total + SMOOTH)
    return 1 - dice[counted].mean()


def naive_exclusive(scores: Tensor, batch: Batch, labels: Labels, batch_dice: bool) -> Tensor:
    p = torch.softmax(scores, 1).flatten(2)
    valid = (batch.target != labels.ignored_index).flatten(1)
    index = torch.where(batch.target == labels.ignored_index, 0, batch.target).long()
    onehot = torch.zeros_like(p)
    for sample in range(2):
        for voxel, value in enumerate(index[sample].flatten().tolist()):
            onehot[sample, int(labels.channel_of_value[value]), voxel] = 1
    for sample, k in np.argwhere(~batch.annotated.numpy()):
        merged = p.clone()
        merged[sample, 0] = merged[sample, 0] + p[sample, k + 1]
        merged[sample, k + 1] = 0
        p = merged
        onehot[sample, 0] += onehot[sample, k + 1]
        onehot[sample, k + 1] = 0
    ce = -(torch.log((p * onehot).sum(1)) * valid).sum() / valid.sum()
    p, onehot = p * valid[:, None], onehot * valid[:, None]
    return ce + naive_dice(p[:, 1:], onehot[:, 1:], batch.annotated, batch_dice)


def naive_overlapping(scores: Tensor, batch: Batch, labels: Labels, batch_dice: bool) -> Tensor:
    p = torch.sigmoid(scores).flatten(2)
    valid = (batch.target != labels.ignored_index).flatten(1)[:, None]
    members = torch.from_numpy(labels.membership)
    truth = torch.where(batch.target == labels.ignored_index, 0, batch.target).long().flatten(1)
    truth = members[:, truth].transpose(0, 1).float() * valid
    counted = valid * batch.annotated[:, :, None]
    ce = torch.nn.functional.binary_cross_entropy(p, truth, reduction="none")
    ce = (ce * counted).sum() / counted.sum()
    return ce + naive_dice(p * valid, truth, batch.annotated, batch_dice)


@pytest.mark.parametrize("batch_dice", [True, False])
@pytest.mark.parametrize("ignored", [True, False])
@pytest.mark.parametrize("partial", [True, False])
@pytest.mark.parametrize(
    "labels", [ORGANS, REGIONS, MANY], ids=["exclusive", "overlapping", "three hundred"]
)
def test_value_and_gradient_are_those_of_the_naive_loss(
    labels: Labels, partial: bool, ignored: bool, batch_dice: bool
) -> None:
    labels = dataclasses.replace(labels, ignore=9 if ignored else None)
    batch = make_batch(labels, ignored=ignored)
    if partial:
        annotated = batch.annotated.clone()
        annotated[0, 1] = False
        batch = dataclasses.replace(batch, annotated=annotated, partial=True)
    scores = make_scores(labels)
    naive = naive_exclusive if labels.exclusive else naive_overlapping
    found = build_loss("dice_ce")(scores, batch, labels, batch_dice)
    expected = naive(scores, batch, labels, batch_dice)
    torch.testing.assert_close(found, expected)
    (ours,) = torch.autograd.grad(3 * found, scores)
    (theirs,) = torch.autograd.grad(3 * expected, scores)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("labels", [ORGANS, REGIONS], ids=["exclusive", "overlapping"])
def test_dice_and_cross_entropy_add_up(labels: Labels) -> None:
    batch, scores = make_batch(labels), make_scores(labels)
    both, dice, ce = (build_loss(n)(scores, batch, labels, True) for n in ("dice_ce", "dice", "ce"))
    torch.testing.assert_close(both, dice + ce)


@pytest.mark.parametrize(
    "labels", [ORGANS, REGIONS, MANY], ids=["exclusive", "overlapping", "three hundred"]
)
def test_ignored_voxels_have_no_gradient(labels: Labels) -> None:
    labels = dataclasses.replace(labels, ignore=9)
    batch, scores = make_batch(labels, ignored=True), make_scores(labels)
    (gradient,) = torch.autograd.grad(build_loss("dice_ce")(scores, batch, labels, False), scores)
    ignored = (batch.target == labels.ignored_index)[:, None].expand_as(scores)
    assert (gradient[ignored] == 0).all()
    assert (gradient[~ignored] != 0).any()


def test_a_batch_that_is_ignored_altogether_teaches_nothing() -> None:
    labels = dataclasses.replace(ORGANS, ignore=9)
    target = torch.full((2, *SHAPE), IGNORED, dtype=torch.uint8)
    batch, scores = make_batch(labels, target=target), make_scores(labels)
    loss = build_loss("dice_ce")(scores, batch, labels, True)
    (gradient,) = torch.autograd.grad(loss, scores)
    assert torch.isfinite(loss)
    assert (gradient == 0).all()


def test_a_target_that_was_not_annotated_may_be_predicted_without_penalty() -> None:
    # Sample 1 is all background, and "right" was not looked for there.
    target = torch.zeros(2, *SHAPE, dtype=torch.uint8)
    target[0, :2], target[0, 2:] = 1, 4
    annotated = torch.tensor([[True, True, True], [True, True, False]])
    batch = make_batch(ORGANS, target=target, annotated=annotated, partial=True)
    scores = torch.zeros(2, 4, *SHAPE)
    scores[0, 1, :2] = scores[0, 3, 2:] = scores[1, 3] = 30.0
    assert build_loss("ce")(scores, batch, ORGANS, True) < 1e-6
    told = dataclasses.replace(batch, annotated=torch.ones_like(annotated))
    assert build_loss("ce")(scores, told, ORGANS, True) > 1


def test_a_perfect_prediction_costs_nothing_and_a_hopeless_one_stays_finite() -> None:
    batch = make_batch(ORGANS)
    channel = torch.from_numpy(ORGANS.channel_of_value)[batch.target.long()]
    right = 100 * torch.nn.functional.one_hot(channel, 4).movedim(-1, 1).float()
    assert build_loss("dice_ce")(right, batch, ORGANS, False) < 1e-5
    wrong = (-10 * right).requires_grad_()
    loss = build_loss("dice_ce")(wrong, batch, ORGANS, False)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(wrong.grad).all()


def test_low_precision_scores_are_summed_in_float32() -> None:
    batch, scores = make_batch(ORGANS), make_scores(ORGANS).detach().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = build_loss("dice_ce")(scores, batch, ORGANS, True)
    torch.testing.assert_close(found, build_loss("dice_ce")(scores.float(), batch, ORGANS, True))


def test_deep_supervision_halves_the_weights_and_leaves_out_the_coarsest() -> None:
    assert deep_supervision_weights(1) == (1.0,)
    weights = deep_supervision_weights(5)
    assert weights == pytest.approx((8 / 15, 4 / 15, 2 / 15, 1 / 15, 0))


def test_deep_supervision_is_the_weighted_sum_over_resolutions() -> None:
    loss, batch = build_loss("dice_ce"), make_batch(ORGANS)
    fine, coarse = make_scores(ORGANS), torch.randn(2, 4, 2, 5, 3)
    found = deep_supervised(loss, (0.75, 0.25))([fine, coarse], batch, ORGANS, True)
    small = downsampled(batch, (2, 5, 3))
    expected = 0.75 * loss(fine, batch, ORGANS, True) + 0.25 * loss(coarse, small, ORGANS, True)
    torch.testing.assert_close(found, expected)


def test_a_target_is_downsampled_to_the_nearest_voxel() -> None:
    target = torch.arange(8, dtype=torch.uint8).view(1, 1, 1, 8).repeat(2, 2, 1, 1)
    batch = make_batch(ORGANS, target=target)
    assert downsampled(batch, (2, 1, 4)).target[0, 0, 0].tolist() == [1, 3, 5, 7]
    assert downsampled(batch, (1, 1, 2)).target[0, 0, 0].tolist() == [2, 6]
    assert downsampled(batch, (2, 1, 8)) is batch


def test_counts_of_exclusive_targets_are_those_counted_by_hand() -> None:
    target = torch.tensor([0, 1, 2, 3, 4, IGNORED], dtype=torch.uint8).view(1, 1, 1, 6)
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


def test_a_misspelled_loss_is_suggested() -> None:
    with pytest.raises(UsageError, match="did you mean 'dice_ce'"):
        build_loss("dice-ce")
