"""Changes of intensities: shapes, ranges, laws."""

import pytest
import torch

from autoseg.training import intensities as steps
from autoseg.training.augmentation import CHANGES, FURTHER
from autoseg.training.intensities import Step
from tests.training.batches import draw_for

SETS = {**CHANGES, "further": FURTHER}
KINDS = [(f"{name}-{c.name}", c.step) for name, changes in SETS.items() for c in changes]


@pytest.mark.parametrize("step", [step for _, step in KINDS], ids=[name for name, _ in KINDS])
def test_every_step_keeps_shape_and_finiteness_even_of_constant_images(step: Step) -> None:
    draw = draw_for(3)
    for image in (torch.randn(3, 2, 5, 8, 9), torch.full((3, 2, 1, 8, 9), 2.0)):
        found = step(image.clone(), draw)
        assert found.shape == image.shape
        assert torch.isfinite(found).all()


def test_gamma_keeps_mean_and_deviation_and_contrast_keeps_the_range() -> None:
    image = torch.randn(4, 2, 8, 8, 8)
    draw = draw_for(4)
    space = (2, 3, 4)
    for step in (steps.change_gamma, steps.change_gamma_inverted):
        found = step(image.clone(), draw)
        assert not torch.allclose(found, image, atol=0.05)
        torch.testing.assert_close(found.mean(space), image.mean(space), atol=1e-4, rtol=0)
        torch.testing.assert_close(found.std(space), image.std(space), atol=1e-3, rtol=0)
    found = steps.change_contrast(image.clone(), draw)
    assert (found.amax(space) <= image.amax(space)).all()
    assert (found.amin(space) >= image.amin(space)).all()


def test_brightness_multiplies_by_a_factor_between_0_75_and_1_25_half_of_them_below_one() -> None:
    draw = draw_for(300)
    factors = steps.change_brightness(torch.ones(300, 2, 1, 1, 1), draw).flatten()
    assert factors.min() >= 0.75
    assert factors.max() <= 1.25
    assert (factors < 1).float().mean() == pytest.approx(0.5, abs=0.06)


def test_blur_of_a_point_is_a_gaussian_that_sums_to_one() -> None:
    point = torch.zeros(40, 1, 9, 9, 9)
    point[:, :, 4, 4, 4] = 1
    draw = draw_for(40)
    found = steps.blur(point.clone(), draw)
    torch.testing.assert_close(found.sum((1, 2, 3, 4)), torch.ones(40))
    blurred = found[:, 0, 4, 4, 4] < 1
    assert blurred.float().mean() == pytest.approx(0.5, abs=0.25)
    line = found[blurred][0, 0, 4, 4, 3:6] / found[blurred][0, 0, 4, 4, 4]
    sigma = (-0.5 / line[0].log()).sqrt()
    assert 0.5 <= sigma <= 1.0


def test_noise_has_at_most_a_tenth_of_a_standard_deviation() -> None:
    draw = draw_for(50)
    found = steps.add_noise(torch.zeros(50, 1, 8, 8, 8), draw)
    strengths = found.std((1, 2, 3, 4))
    assert strengths.max() < 0.11
    assert strengths.max() > 0.08


@pytest.mark.parametrize("step", [step for _, step in KINDS], ids=[name for name, _ in KINDS])
def test_a_rank_without_a_chosen_sample_draws_as_the_others_do(step: Step) -> None:
    whole, none = draw_for(3), draw_for(3, here=())
    step(torch.randn(3, 2, 4, 8, 9), whole)
    assert step(torch.randn(0, 2, 4, 8, 9), none).shape == (0, 2, 4, 8, 9)
    assert whole.rng.random() == none.rng.random()


def test_salt_and_pepper_are_the_extremes_of_a_channel_in_few_voxels() -> None:
    image = torch.rand(20, 2, 4, 16, 16)
    image[:, 1] += 5
    found = steps.add_salt_and_pepper(image.clone(), draw_for(20))
    changed = found != image
    low, high = image.amin((2, 3, 4), keepdim=True), image.amax((2, 3, 4), keepdim=True)
    salt, pepper = changed & (found == high), changed & (found == low)
    assert torch.equal(changed, salt | pepper)
    shares = changed.float().mean((1, 2, 3, 4))
    assert 0.015 < shares.max() < 0.025  # up to two of a hundred
    assert shares.min() < 0.005
    assert 0.8 < salt.sum() / pepper.sum() < 1.25
