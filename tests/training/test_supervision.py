"""Deep supervision: weights, sums, coarser targets."""

import pytest
import torch

from autoseg.training.supervision import deep_supervised, deep_supervision_weights, downsampled
from tests.training.test_losses import ORGANS, SPACING, loss_of, make_batch, make_scores


def test_deep_supervision_halves_the_weights_and_leaves_out_the_coarsest() -> None:
    assert deep_supervision_weights(1) == (1.0,)
    weights = deep_supervision_weights(5)
    assert weights == pytest.approx((8 / 15, 4 / 15, 2 / 15, 1 / 15, 0))


def test_deep_supervision_is_the_weighted_sum_over_resolutions() -> None:
    loss, batch = loss_of("dice_ce", ORGANS), make_batch(ORGANS)
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


def test_a_coarser_grid_has_wider_voxels() -> None:
    coarse = downsampled(make_batch(ORGANS), (2, 5, 3)).spacing_mm
    assert coarse.tolist() == [[2 * SPACING[0], SPACING[1], 2 * SPACING[2]]] * 2
