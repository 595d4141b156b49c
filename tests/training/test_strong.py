"""What only the augmentation "strong" does to intensities."""

import pytest
import torch

from autoseg.training import strong
from tests.training.batches import draw_for


def changed_channels(found: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    return (found != image).flatten(2).any(2)


@pytest.mark.parametrize(
    "step",
    [
        strong.median_filter, strong.shift_brightness, strong.blank_boxes, strong.add_gradient,
        strong.change_gamma_locally, strong.sharpen,
    ],
)  # fmt: skip
def test_half_of_the_channels_are_changed_and_not_the_rest(step) -> None:
    image = torch.randn(60, 2, 6, 8, 9)
    changed = changed_channels(step(image.clone(), draw_for(60)), image)
    assert changed.float().mean() == pytest.approx(0.5, abs=0.12)


def test_a_median_removes_a_lonely_voxel_and_keeps_an_edge() -> None:
    image = torch.zeros(20, 1, 9, 9, 9)
    image[..., 5:] = 1
    found = strong.median_filter(image.clone(), draw_for(20))
    assert torch.equal(found, image)
    image[:, :, 4, 4, 2] = 9
    found = strong.median_filter(image.clone(), draw_for(20))
    lonely = found[:, 0, 4, 4, 2]
    assert set(lonely.tolist()) == {0.0, 9.0}  # half of the channels


def test_slices_of_flat_patches_are_not_mixed() -> None:
    image = torch.arange(5.0).view(1, 1, 5, 1, 1).expand(40, 1, 5, 8, 8).clone()
    image[:, :, 2] = 50
    for step in (strong.median_filter, strong.sharpen):
        assert torch.equal(step(image.clone(), draw_for(40, flat=True)), image)


def test_boxes_hold_the_mean_and_are_a_tenth_to_a_third_of_the_patch_wide() -> None:
    image = torch.rand(50, 1, 30, 30, 30)
    found = strong.blank_boxes(image.clone(), draw_for(50))
    for before, after in zip(image[:, 0], found[:, 0], strict=True):
        filled = after != before
        if filled.any():
            torch.testing.assert_close(after[filled].unique(), before.mean()[None])
            assert 3**3 <= filled.sum() <= 5 * 10**3


def test_a_gradient_is_one_to_five_high_up_or_down() -> None:
    found = strong.add_gradient(torch.zeros(80, 1, 12, 12, 12), draw_for(80))[:, 0]
    heights = found.abs().amax((1, 2, 3))
    heights = heights[heights > 0]
    assert 1 <= heights.min() < heights.max() <= 5
    assert (found.amin((1, 2, 3)) < 0).any()


def test_a_local_gamma_keeps_the_range() -> None:
    image = torch.randn(40, 1, 8, 8, 8)
    found = strong.change_gamma_locally(image.clone(), draw_for(40))
    space = (1, 2, 3, 4)
    torch.testing.assert_close(found.amax(space), image.amax(space), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.amin(space), image.amin(space), atol=1e-4, rtol=0)


def test_sharpening_undoes_some_of_a_blur_within_the_range() -> None:
    image = torch.zeros(20, 1, 1, 1, 9)
    image[..., 3:6] = torch.tensor([0.5, 1.0, 0.5])
    image[..., 0] = -1
    found = strong.sharpen(image.clone(), draw_for(20))
    changed = changed_channels(found, image)[:, 0]
    assert (found[changed][..., 2] < 0).all()
    assert found.max() <= 1
    assert found.min() >= -1
