"""Augmentation: aligned, reproducible, per sample, within its ranges; and sides."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from autoseg.config import TrainConfig
from autoseg.errors import UsageError
from autoseg.labels import Labels
from autoseg.training import augmentation as aug
from autoseg.training.distributed import ALONE, Ranks
from autoseg.training.geometry import covered_box, rotation
from autoseg.training.loader import Batch, Warp, make_batch
from autoseg.training.sampling import make_pool
from tests.training.prepared import make_case, make_design

LABELS = Labels({"organ": (1,), "lesion": (2,)})
SIDES = Labels({"kidney_left": (1,), "kidney_right": (2,)})
CUBE = make_design((12, 14, 16))
STEPS = [step for _, step in aug.STEPS]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw_for(samples: int, flat: bool = False) -> aug.Draw:
    """Random numbers for so many samples, all of them here."""
    rng = np.random.default_rng(0)
    return aug.Draw(rng, generator(), flat, samples, np.arange(samples))


def blobs(shape: tuple[int, int, int] = (24, 26, 28)) -> np.ndarray:
    """Two smooth-edged objects, so that interpolation errs at their surfaces only."""
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    labels = np.zeros(shape, dtype=np.uint8)
    labels[(z - 12) ** 2 + (y - 12) ** 2 + (x - 10) ** 2 < 60] = 1
    labels[(z - 12) ** 2 + (y - 14) ** 2 + (x - 20) ** 2 < 30] = 2
    return labels


def batch_of(image: Tensor, target: Tensor, warps: tuple[Warp, ...] = ()) -> Batch:
    size, k = len(image), len(LABELS.names)
    annotated = torch.ones(size, k, dtype=torch.bool)
    return Batch(image, target, annotated, torch.ones(size, 3), False, warps)


def warp_of(
    labels: np.ndarray, matrix: np.ndarray, centre: tuple, size: tuple = (12, 14, 16)
) -> Batch:
    """A batch of one sample whose image is its label map, read as the loader reads it."""
    middle = np.asarray(centre, dtype=float)
    start, stop = covered_box(matrix, middle, size, labels.shape)
    part = torch.from_numpy(labels[tuple(map(slice, start, stop))].copy())
    warp = Warp(
        0, part[None].float(), part, torch.from_numpy(matrix).float(),
        torch.from_numpy(middle - start).float(),
    )  # fmt: skip
    return batch_of(torch.zeros(1, 1, *size), torch.zeros(1, *size, dtype=torch.uint8), (warp,))


def test_the_identity_warp_gives_back_what_was_read() -> None:
    labels = blobs()
    found = aug.apply_warps(warp_of(labels, np.eye(3), (11.5, 12.5, 13.5)))
    expected = torch.from_numpy(labels[6:18, 6:20, 6:22].copy())
    assert torch.equal(found.target[0], expected)
    torch.testing.assert_close(found.image[0, 0], expected.float(), atol=1e-4, rtol=0)
    assert found.warps == ()


def test_a_quarter_turn_moves_every_voxel_to_its_place() -> None:
    labels = blobs((20, 20, 20))
    quarter = rotation(np.array([np.pi / 2, 0, 0]))
    found = aug.apply_warps(warp_of(labels, quarter, (9.5, 9.5, 9.5), (20, 20, 20)))
    # The patch's offset (y, x) comes from the scan's offset (-x, y).
    assert torch.equal(found.target[0], torch.from_numpy(np.rot90(labels, -1, (1, 2)).copy()))


@pytest.mark.parametrize("seed", range(6))
def test_image_and_labels_stay_aligned_up_to_interpolation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = rotation(rng.uniform(-0.5, 0.5, 3)) * rng.uniform(0.7, 1.4)
    found = aug.apply_warps(warp_of(blobs() // 2 * 2, matrix, tuple(rng.uniform(8, 16, 3))))
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
    found = aug.apply_warps(warp_of(scan, matrix, (20, 20, 20)))
    torch.testing.assert_close(found.image, torch.ones_like(found.image))
    assert (found.target == 1).all()


def test_samples_without_a_warp_are_left_alone() -> None:
    image, target = torch.rand(3, 1, 4, 4, 4), torch.zeros(3, 4, 4, 4, dtype=torch.uint8)
    warp = Warp(
        1,
        torch.ones(1, 6, 6, 6),
        torch.ones(6, 6, 6, dtype=torch.uint8),
        torch.eye(3),
        torch.full((3,), 2.5),
    )
    found = aug.apply_warps(batch_of(image, target, (warp,)))
    assert torch.equal(found.image[[0, 2]], image[[0, 2]])
    torch.testing.assert_close(found.image[1], torch.ones(1, 4, 4, 4))
    assert found.target.sum(dim=(1, 2, 3)).tolist() == [0, 64, 0]


def test_the_same_generator_state_gives_the_same_batch_and_moves_on() -> None:
    cases = [make_case("a", blobs())]
    config = TrainConfig()
    batch = make_batch(cases, make_pool(cases, LABELS, TrainConfig()), CUBE, config, LABELS, 0)
    augment = aug.build_augmentation(CUBE, config, LABELS, 2)
    one, other = generator(3), generator(3)
    first, again = augment(batch, one), augment(batch, other)
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.target, again.target)
    assert not torch.equal(augment(batch, one).image, first.image)


def test_a_batch_is_not_changed_in_place() -> None:
    batch = batch_of(torch.rand(4, 1, 8, 8, 8), torch.ones(4, 8, 8, 8, dtype=torch.uint8))
    before = batch.image.clone()
    augment = aug.build_augmentation(CUBE, TrainConfig(), LABELS, 2)
    for seed in range(5):
        augment(batch, generator(seed))
    assert torch.equal(batch.image, before)


def test_the_whole_chain_keeps_labels_where_the_image_has_its_objects() -> None:
    """Mirroring and rotating move both; what remains of the object is still brighter."""
    cases = [make_case("a", blobs() // 2)]
    config = TrainConfig(batch_size=4)
    augment = aug.build_augmentation(CUBE, config, LABELS, 2)
    for step in range(20):
        batch = make_batch(
            cases, make_pool(cases, LABELS, TrainConfig()), CUBE, config, LABELS, step
        )
        found = augment(batch, generator(step))
        for image, target in zip(found.image[:, 0], found.target, strict=True):
            if 20 < (target == 1).sum() < target.numel() - 20:
                assert image[target == 1].mean() > image[target == 0].mean() + 0.2


def test_about_half_of_the_samples_are_mirrored_along_each_axis_with_their_labels() -> None:
    ramp = torch.arange(4 * 5 * 6, dtype=torch.float32).view(1, 1, 4, 5, 6).repeat(400, 1, 1, 1, 1)
    batch = batch_of(ramp, ramp[:, 0].to(torch.uint8))
    augment = aug.build_augmentation(CUBE, TrainConfig(), LABELS, 2)
    found = augment(batch, generator())
    corner = found.target[:, 0, 0, 0].long()
    flips = torch.stack((corner >= 90, corner % 30 >= 24, corner % 6 == 5), 1)
    np.testing.assert_allclose(flips.float().mean(0), 0.5, atol=0.08)
    assert len(flips.unique(dim=0)) == 8


def test_mirroring_along_the_left_right_axis_exchanges_sides_and_along_others_does_not() -> None:
    target = torch.zeros(64, 4, 4, 6, dtype=torch.uint8)
    target[..., :2], target[..., 4:] = 1, 2  # left at the beginning of the axis
    batch = batch_of(target[:, None].float(), target)
    for axes, left_right in (((2,), 2), ((0, 1), 2)):
        config = TrainConfig(mirror_axes=axes)
        found = aug.build_augmentation(CUBE, config, SIDES, left_right)(batch, generator())
        assert torch.equal(found.target, target)  # moved and renamed: left is left again
    config = TrainConfig(mirror_axes=(2,))
    unpaired = aug.build_augmentation(CUBE, config, LABELS, 2)(batch, generator())
    assert not torch.equal(unpaired.target, target)


def test_ignored_voxels_stay_ignored_when_mirrored() -> None:
    target = torch.full((8, 4, 4, 4), 255, dtype=torch.uint8)
    augment = aug.build_augmentation(CUBE, TrainConfig(), SIDES, 2)
    assert (augment(batch_of(target[:, None].float(), target), generator()).target == 255).all()


def test_flat_patches_are_not_mirrored_across_slices_and_dummy_2d_keeps_slices_apart() -> None:
    image = torch.rand(8, 1, 1, 16, 16)
    batch = batch_of(image, torch.zeros(8, 1, 16, 16, dtype=torch.uint8))
    found = aug.build_augmentation(make_design((1, 16, 16)), TrainConfig(), LABELS, 2)(
        batch, generator()
    )
    assert found.image.shape == image.shape
    slices = torch.arange(4.0).view(1, 1, 4, 1, 1).expand(50, 1, 4, 16, 16).clone()
    draw = draw_for(50, flat=True)
    torch.testing.assert_close(aug.lower_resolution(slices.clone(), draw), slices)


@pytest.mark.parametrize("step", STEPS, ids=[step.__name__ for step in STEPS])
def test_every_step_keeps_shape_and_finiteness_even_of_constant_images(step: aug.Step) -> None:
    draw = draw_for(3)
    for image in (torch.randn(3, 2, 5, 8, 9), torch.full((3, 2, 1, 8, 9), 2.0)):
        found = step(image.clone(), draw)
        assert found.shape == image.shape
        assert torch.isfinite(found).all()


def test_gamma_keeps_mean_and_deviation_and_contrast_keeps_the_range() -> None:
    image = torch.randn(4, 2, 8, 8, 8)
    draw = draw_for(4)
    space = (2, 3, 4)
    for step in (aug.change_gamma, aug.change_gamma_inverted):
        found = step(image.clone(), draw)
        assert not torch.allclose(found, image, atol=0.05)
        torch.testing.assert_close(found.mean(space), image.mean(space), atol=1e-4, rtol=0)
        torch.testing.assert_close(found.std(space), image.std(space), atol=1e-3, rtol=0)
    found = aug.change_contrast(image.clone(), draw)
    assert (found.amax(space) <= image.amax(space)).all()
    assert (found.amin(space) >= image.amin(space)).all()


def test_brightness_multiplies_by_a_factor_between_0_75_and_1_25_half_of_them_below_one() -> None:
    draw = draw_for(300)
    factors = aug.change_brightness(torch.ones(300, 2, 1, 1, 1), draw).flatten()
    assert factors.min() >= 0.75
    assert factors.max() <= 1.25
    assert (factors < 1).float().mean() == pytest.approx(0.5, abs=0.06)


def test_blur_of_a_point_is_a_gaussian_that_sums_to_one() -> None:
    point = torch.zeros(40, 1, 9, 9, 9)
    point[:, :, 4, 4, 4] = 1
    draw = draw_for(40)
    found = aug.blur(point.clone(), draw)
    torch.testing.assert_close(found.sum((1, 2, 3, 4)), torch.ones(40))
    blurred = found[:, 0, 4, 4, 4] < 1
    assert blurred.float().mean() == pytest.approx(0.5, abs=0.25)
    line = found[blurred][0, 0, 4, 4, 3:6] / found[blurred][0, 0, 4, 4, 4]
    sigma = (-0.5 / line[0].log()).sqrt()
    assert 0.5 <= sigma <= 1.0


def test_noise_has_at_most_a_tenth_of_a_standard_deviation() -> None:
    draw = draw_for(50)
    found = aug.add_noise(torch.zeros(50, 1, 8, 8, 8), draw)
    strengths = found.std((1, 2, 3, 4))
    assert strengths.max() < 0.11
    assert strengths.max() > 0.08


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("patch", [(8, 8, 8), (1, 12, 12)])
def test_a_sample_becomes_the_same_on_whatever_rank_it_is(patch: tuple, size: int) -> None:
    rng = np.random.default_rng(0)
    cases = [
        make_case(str(i), blobs(), image=rng.normal(size=(2, 24, 26, 28)).astype(np.float32))
        for i in range(3)
    ]
    design, pool = make_design(patch, 5), make_pool(cases, LABELS, TrainConfig())
    augment = aug.build_augmentation(design, TrainConfig(), SIDES, 2)
    for step in range(40):  # enough for every kind of change, with and without samples of a rank
        whole, *shares = (
            augment(
                make_batch(cases, pool, design, TrainConfig(), SIDES, step, ranks=ranks),
                generator(step),
            )
            for ranks in (ALONE, *(Ranks(rank, size) for rank in range(size)))
        )
        torch.testing.assert_close(torch.cat([b.image for b in shares]), whole.image)
        assert torch.equal(torch.cat([b.target for b in shares]), whole.target)


def test_none_changes_nothing_and_ones_own_is_found_by_name() -> None:
    batch = batch_of(torch.rand(1, 1, 4, 4, 4), torch.zeros(1, 4, 4, 4, dtype=torch.uint8))
    none = aug.build_augmentation(CUBE, TrainConfig(augmentation="none"), LABELS, 2)
    assert none(batch, generator()) is batch
    own = TrainConfig(augmentation=f"{__name__}:make_negative")
    negative = aug.build_augmentation(CUBE, own, LABELS, 2)(batch, generator())
    assert torch.equal(negative.image, -batch.image)
    with pytest.raises(UsageError, match="did you mean 'default'"):
        aug.build_augmentation(CUBE, TrainConfig(augmentation="defualt"), LABELS, 2)


def make_negative(*_: object) -> aug.Augmentation:
    return lambda batch, generator: dataclasses.replace(batch, image=-batch.image)
