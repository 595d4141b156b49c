"""Losses against their slow obvious versions, value and gradient; masks; laws."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from autoseg.config import TrainConfig
from autoseg.errors import UsageError
from autoseg.labels import Labels
from autoseg.training.batch import Batch
from autoseg.training.losses import Loss, build_loss
from autoseg.training.target_weights import channel_weights
from autoseg.training.terms import parse_loss
from tests.training.naive_losses import naive_loss

ORGANS = Labels({"liver": (1,), "left": (2, 3), "right": (4,)})
REGIONS = Labels({"kidney": (1, 2), "tumour": (2,)})
MANY = Labels({f"part_{i}": (1000 + 7 * i,) for i in range(300)}, ignore=9)
KINDS = {"exclusive": ORGANS, "overlapping": REGIONS, "three hundred": MANY}
SHAPE = (4, 5, 6)
LOSSES = (
    "dice_ce", "dice", "ce", "focal", "0.65*dice+0.35*focal", "tversky", "tversky+ce",
    "focal_tversky", "topk", "dice+topk", "ce+10*boundary",
)  # fmt: skip
SPACING = (2.0, 1.0, 0.5)


def make_batch(labels: Labels, seed: int = 0, ignored: float = 0, **changes: object) -> Batch:
    rng = np.random.default_rng(seed)
    target = rng.integers(0, len(labels.values) + 1, (2, *SHAPE)).astype(labels.index_dtype)
    target[rng.random(target.shape) < ignored] = labels.ignored_index
    batch = Batch(
        image=torch.zeros(2, 1, *SHAPE),
        target=torch.from_numpy(target),
        annotated=torch.ones(2, len(labels.names), dtype=torch.bool),
        spacing_mm=torch.tensor([SPACING, SPACING]),
        partial=False,
    )
    return dataclasses.replace(batch, **changes)


def without_one_target(batch: Batch) -> Batch:
    annotated = batch.annotated.clone()
    annotated[0, 1] = False
    return dataclasses.replace(batch, annotated=annotated, partial=True)


def make_scores(labels: Labels, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    scores = 2 * torch.randn(2, labels.channels, *SHAPE, generator=generator)
    return scores.requires_grad_()


def loss_of(name: str, labels: Labels, **changes: object) -> Loss:
    return build_loss(TrainConfig(loss=name, **changes), labels, SPACING)


def gradient_of(loss: Loss, scores: Tensor, batch: Batch, labels: Labels) -> Tensor:
    return torch.autograd.grad(loss(scores, batch, labels, False), scores)[0]


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("batch_dice", [True, False], ids=["batch", "samples"])
@pytest.mark.parametrize("ignored", [0, 0.3], ids=["", "ignoring"])
@pytest.mark.parametrize("partial", [True, False], ids=["partial", ""])
@pytest.mark.parametrize("kind", ["exclusive", "overlapping"])
@pytest.mark.parametrize("name", LOSSES)
def test_value_and_gradient_are_those_of_the_naive_loss(
    name: str, kind: str, partial: bool, ignored: float, batch_dice: bool, weighted: bool
) -> None:
    check_against_naive(name, KINDS[kind], partial, ignored, batch_dice, weighted)


@pytest.mark.parametrize("name", ["dice_ce", "tversky", "topk"])
def test_three_hundred_targets_in_two_bytes(name: str) -> None:
    check_against_naive(name, MANY, partial=True, ignored=0.3, batch_dice=True, weighted=False)


@pytest.mark.parametrize("partial", [True, False], ids=["partial", ""])
@pytest.mark.parametrize("kind", ["exclusive", "overlapping"])
@pytest.mark.parametrize("name", ["ce", "topk", "dice_ce", "focal"])
def test_smoothed_labels(name: str, kind: str, partial: bool) -> None:
    check_against_naive(name, KINDS[kind], partial, 0.3, True, True, label_smoothing=0.1)


def test_smoothing_is_that_of_torchs_cross_entropy() -> None:
    batch, scores = make_batch(ORGANS), make_scores(ORGANS)
    channel = torch.from_numpy(ORGANS.channel_of_value)[batch.target.long()]
    expected = torch.nn.functional.cross_entropy(scores, channel, label_smoothing=0.2)
    found = loss_of("ce", ORGANS, label_smoothing=0.2)(scores, batch, ORGANS, True)
    torch.testing.assert_close(found, expected)


def check_against_naive(
    name: str, labels: Labels, partial: bool, ignored: float, batch_dice: bool, weighted: bool,
    **changes: float,
) -> None:  # fmt: skip
    labels = dataclasses.replace(labels, ignore=9 if ignored else None)
    text = f"{labels.names[0]}=0.5,{labels.names[1]}=3" if weighted else None
    config = TrainConfig(loss=name, target_weights=text, boundary_sigma_mm=0.8, **changes)
    batch, scores = make_batch(labels, ignored=ignored), make_scores(labels)
    batch = without_one_target(batch) if partial else batch
    found = build_loss(config, labels, SPACING)(scores, batch, labels, batch_dice)
    weights = channel_weights(text, labels)
    expected = naive_loss(parse_loss(name), config, weights, scores, batch, labels, batch_dice)
    torch.testing.assert_close(found, expected)
    (ours,) = torch.autograd.grad(3 * found, scores)
    (theirs,) = torch.autograd.grad(3 * expected, scores)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("kind", ["exclusive", "overlapping"])
@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_is_that_of_finite_differences(name: str, kind: str) -> None:
    labels = dataclasses.replace(KINDS[kind], ignore=9)
    batch = without_one_target(make_batch(labels, ignored=0.3))
    cut = {"target": batch.target[:, :2, :2, :3], "image": batch.image[:, :, :2, :2, :3]}
    batch = dataclasses.replace(batch, **cut)
    scores = make_scores(labels)[..., :2, :2, :3].detach().double().requires_grad_()
    loss = loss_of(name, labels, topk_percent=40.0)
    assert torch.autograd.gradcheck(lambda x: loss(x, batch, labels, False), scores)


@pytest.mark.parametrize("kind", ["exclusive", "overlapping"])
@pytest.mark.parametrize("name", [*LOSSES, "bce"])
def test_where_nine_tenths_are_ignored_they_have_no_gradient(name: str, kind: str) -> None:
    labels = dataclasses.replace(KINDS[kind], ignore=9)
    batch, scores = make_batch(labels, ignored=0.9), make_scores(labels)
    gradient = gradient_of(loss_of(name, labels), scores, batch, labels)
    ignored = (batch.target == labels.ignored_index)[:, None].expand_as(scores)
    assert ignored.float().mean() > 0.8
    assert (gradient[ignored] == 0).all()
    assert (gradient[~ignored] != 0).any()


@pytest.mark.parametrize("name", [*LOSSES, "bce"])
def test_ignored_voxels_do_not_change_what_the_others_learn(name: str) -> None:
    labels = dataclasses.replace(ORGANS, ignore=9)
    batch, scores = make_batch(labels, ignored=0.5), make_scores(labels)
    ignored = (batch.target == labels.ignored_index)[:, None]
    other = torch.where(ignored, scores.detach() + 5, scores.detach()).requires_grad_()
    loss = loss_of(name, labels)
    ours, theirs = (gradient_of(loss, x, batch, labels) for x in (scores, other))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("kind", ["exclusive", "overlapping"])
@pytest.mark.parametrize("name", [name for name in LOSSES if "boundary" not in name])
def test_the_order_of_voxels_and_samples_does_not_matter(name: str, kind: str) -> None:
    labels, loss = KINDS[kind], loss_of(name, KINDS[kind])
    batch, scores = make_batch(labels), make_scores(labels).detach()
    order = torch.randperm(SHAPE[2], generator=torch.Generator().manual_seed(0))
    moved = dataclasses.replace(batch, target=batch.target[..., order].flip(0))
    expected = loss(scores, batch, labels, False)
    found = loss(scores[..., order].flip(0), moved, labels, False)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", [*LOSSES, "bce"])
def test_the_order_of_targets_does_not_matter(name: str) -> None:
    batch, scores = make_batch(ORGANS), make_scores(ORGANS).detach()
    turned = Labels({"right": (4,), "liver": (1,), "left": (2, 3)})
    expected = loss_of(name, ORGANS)(scores, batch, ORGANS, True)
    found = loss_of(name, turned)(scores[:, [0, 3, 1, 2]], batch, turned, True)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kind", ["exclusive", "overlapping"])
def test_terms_add_up_with_their_factors(kind: str) -> None:
    labels = KINDS[kind]
    batch, scores = make_batch(labels), make_scores(labels)
    dice, ce, focal = (
        loss_of(n, labels)(scores, batch, labels, True) for n in ("dice", "ce", "focal")
    )
    both = loss_of("dice_ce", labels)(scores, batch, labels, True)
    torch.testing.assert_close(both, dice + ce)
    mixed = loss_of("0.65*dice + 0.35*focal", labels)(scores, batch, labels, True)
    torch.testing.assert_close(mixed, 0.65 * dice + 0.35 * focal)


@pytest.mark.parametrize("kind", ["exclusive", "overlapping"])
@pytest.mark.parametrize(
    ("name", "changes", "same"),
    [
        ("focal", {"focal_gamma": 0.0}, "ce"),
        ("topk", {"topk_percent": 100.0}, "ce"),
        ("tversky", {"tversky_alpha": 0.5, "tversky_beta": 0.5, "dice_smooth": 0.0}, "dice"),
        ("focal_tversky", {"focal_tversky_gamma": 1.0}, "tversky"),
    ],
)
def test_some_losses_are_special_cases_of_others(
    name: str, changes: dict[str, float], same: str, kind: str
) -> None:
    labels = KINDS[kind]
    batch, scores = make_batch(labels), make_scores(labels)
    found = loss_of(name, labels, **changes)(scores, batch, labels, False)
    torch.testing.assert_close(found, loss_of(same, labels)(scores, batch, labels, False))


def test_weights_are_those_of_torchs_cross_entropy() -> None:
    batch, scores = make_batch(ORGANS), make_scores(ORGANS)
    loss = loss_of("ce", ORGANS, target_weights="background=0.3,liver=2,right=1.5")
    channel = torch.from_numpy(ORGANS.channel_of_value)[batch.target.long()]
    weights = torch.tensor([0.3, 2.0, 1.0, 1.5])
    expected = torch.nn.functional.cross_entropy(scores, channel, weights)
    torch.testing.assert_close(loss(scores, batch, ORGANS, True), expected)


def test_voxels_of_weight_zero_have_no_gradient_at_all() -> None:
    """SegTHOR's "partial" mode: cross-entropy, as a mean over the voxels of the other classes."""
    batch, scores = make_batch(ORGANS), make_scores(ORGANS)
    loss_of("ce", ORGANS, target_weights="left=0")(scores, batch, ORGANS, True).backward()
    channel = torch.from_numpy(ORGANS.channel_of_value)[batch.target.long()]
    left_out = channel == 1 + ORGANS.names.index("left")
    gradient = scores.grad.movedim(1, -1)
    assert left_out.any()
    assert (gradient[left_out] == 0).all()
    assert (gradient[~left_out].abs().sum(-1) > 0).all()
    alone = scores.detach().movedim(1, -1)[~left_out].requires_grad_()
    torch.nn.functional.cross_entropy(alone, channel[~left_out]).backward()
    torch.testing.assert_close(gradient[~left_out], alone.grad, atol=1e-7, rtol=1e-5)


def test_a_target_of_weight_zero_is_not_learnt() -> None:
    batch, scores = make_batch(REGIONS), make_scores(REGIONS)
    loss = loss_of("dice_ce", REGIONS, target_weights="tumour=0")
    gradient = gradient_of(loss, scores, batch, REGIONS)
    assert (gradient[:, 1] == 0).all()
    assert (gradient[:, 0] != 0).any()


# --- a sigmoid for each channel ------------------------------------------------------------------


def test_bce_of_exclusive_targets_is_one_sigmoid_for_each_channel() -> None:
    batch, scores = make_batch(ORGANS), make_scores(ORGANS)
    channel = torch.from_numpy(ORGANS.channel_of_value)[batch.target.long()]
    onehot = torch.nn.functional.one_hot(channel, 4).movedim(-1, 1).float()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(scores, onehot)
    torch.testing.assert_close(loss_of("bce", ORGANS)(scores, batch, ORGANS, True), expected)


def test_bce_of_overlapping_targets_is_their_cross_entropy() -> None:
    batch, scores = make_batch(REGIONS), make_scores(REGIONS)
    found, expected = (loss_of(n, REGIONS)(scores, batch, REGIONS, True) for n in ("bce", "ce"))
    torch.testing.assert_close(found, expected)


def test_bce_says_nothing_of_background_where_a_target_may_hide() -> None:
    target = torch.zeros(2, *SHAPE, dtype=torch.uint8)
    target[:, :2] = 1
    batch = without_one_target(make_batch(ORGANS, target=target))
    gradient = gradient_of(loss_of("bce", ORGANS), make_scores(ORGANS), batch, ORGANS)
    assert (gradient[0, 2] == 0).all()  # not annotated there
    assert (gradient[0, 0, 2:] == 0).all()
    assert (gradient[0, 0, :2] != 0).all()  # a voxel of the liver is no background
    assert (gradient[1] != 0).all()


def test_bce_with_terms_of_a_softmax_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no target overlaps another.*expected bce alone, or ce"):
        loss_of("dice+bce", ORGANS)
    loss_of("dice+bce", REGIONS)


# --- edges ---------------------------------------------------------------------------------------


def test_a_batch_that_is_ignored_altogether_teaches_nothing() -> None:
    labels = dataclasses.replace(ORGANS, ignore=9)
    target = torch.full((2, *SHAPE), ORGANS.ignored_index, dtype=torch.uint8)
    batch, scores = make_batch(labels, target=target), make_scores(labels)
    loss = loss_of("dice_ce", labels)(scores, batch, labels, True)
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
    assert loss_of("ce", ORGANS)(scores, batch, ORGANS, True) < 1e-6
    told = dataclasses.replace(batch, annotated=torch.ones_like(annotated))
    assert loss_of("ce", ORGANS)(scores, told, ORGANS, True) > 1


def test_a_perfect_prediction_costs_nothing_and_a_hopeless_one_stays_finite() -> None:
    batch = make_batch(ORGANS)
    channel = torch.from_numpy(ORGANS.channel_of_value)[batch.target.long()]
    right = 100 * torch.nn.functional.one_hot(channel, 4).movedim(-1, 1).float()
    assert loss_of("dice_ce", ORGANS)(right, batch, ORGANS, False) < 1e-5
    wrong = (-10 * right).requires_grad_()
    loss = loss_of("dice_ce", ORGANS)(wrong, batch, ORGANS, False)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(wrong.grad).all()


def test_low_precision_scores_are_summed_in_float32() -> None:
    batch, scores = make_batch(ORGANS), make_scores(ORGANS).detach().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = loss_of("dice_ce", ORGANS)(scores, batch, ORGANS, True)
    torch.testing.assert_close(
        found, loss_of("dice_ce", ORGANS)(scores.float(), batch, ORGANS, True)
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dice-ce", r"did you mean 'dice_ce'\? \(or your own as package.module:function\)"),
        ("dice+focl", "unknown loss 'focl'.*did you mean 'focal'"),
        ("dice+", "unknown loss ''"),
        ("dice_ce+ce", "'ce' stands there twice"),
        ("two*dice+ce", "'two' is no factor, expected a number above 0"),
        ("0*dice+ce", "'0' is no factor"),
    ],
)
def test_what_is_no_loss_is_said(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        loss_of(name, ORGANS)


def one_a_sample(scores: Tensor, batch: Batch, labels: Labels, batch_dice: bool) -> Tensor:
    return scores.flatten(1).mean(1)


def test_ones_own_loss_that_is_no_number_is_refused() -> None:
    own = loss_of("tests.training.test_losses:one_a_sample", ORGANS)
    expected = r"one_a_sample' returned a Tensor of shape \(2,\), expected a tensor with one number"
    with pytest.raises(UsageError, match=expected):
        own(make_scores(ORGANS), make_batch(ORGANS), ORGANS, True)


def test_ones_own_loss_is_found_by_name() -> None:
    own = loss_of("tests.training.test_losses:half", ORGANS)
    assert own(make_scores(ORGANS), make_batch(ORGANS), ORGANS, True) == 0.5


def half(scores: Tensor, batch: Batch, labels: Labels, batch_dice: bool) -> Tensor:
    return torch.tensor(0.5)
