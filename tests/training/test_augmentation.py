"""Augmentation: aligned, reproducible, per sample, within its ranges; and sides."""

import dataclasses
import re

import numpy as np
import pytest
import torch

from autoseg.config import TrainConfig
from autoseg.errors import UsageError
from autoseg.labels import Labels
from autoseg.training import augmentation as aug
from autoseg.training.batch import Batch
from autoseg.training.distributed import ALONE, Ranks
from autoseg.training.geometry import kinds_of
from autoseg.training.intensities import lower_resolution
from autoseg.training.loader import make_batch
from autoseg.training.sampling import make_pool
from tests.training.batches import LABELS, batch_of, blobs, draw_for, generator
from tests.training.prepared import make_case, make_design

SIDES = Labels({"kidney_left": (1,), "kidney_right": (2,)})
CUBE = make_design((12, 14, 16))


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
    torch.testing.assert_close(lower_resolution(slices.clone(), draw), slices)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("patch", [(8, 8, 8), (1, 12, 12)])
@pytest.mark.parametrize("name", ["default", "strong"])
def test_a_sample_becomes_the_same_on_whatever_rank_it_is(
    patch: tuple, size: int, name: str
) -> None:
    config = TrainConfig(augmentation=name)
    rng = np.random.default_rng(0)
    cases = [
        make_case(str(i), blobs(), image=rng.normal(size=(2, 24, 26, 28)).astype(np.float32))
        for i in range(3)
    ]
    design, pool = make_design(patch, 5), make_pool(cases, LABELS, TrainConfig())
    augment = aug.build_augmentation(design, config, SIDES, 2)
    for step in range(40):  # enough for every kind of change, with and without samples of a rank
        whole, *shares = (
            augment(
                make_batch(cases, pool, design, config, SIDES, step, ranks=ranks),
                generator(step),
            )
            for ranks in (ALONE, *(Ranks(rank, size) for rank in range(size)))
        )
        torch.testing.assert_close(torch.cat([b.image for b in shares]), whole.image)
        assert torch.equal(torch.cat([b.target for b in shares]), whole.target)


@pytest.mark.parametrize("name", ["default", "light", "strong"])
def test_strength_multiplies_the_probabilities_and_kinds_can_be_left_out(name: str) -> None:
    ones = torch.rand(200, 1, 6, 6, 6)
    batch = batch_of(ones, torch.zeros(200, 6, 6, 6, dtype=torch.uint8))

    def changed(**settings: object) -> float:
        config = TrainConfig(augmentation=name, mirror_axes=(), **settings)
        found = aug.build_augmentation(CUBE, config, LABELS, 2)(batch, generator())
        return (found.image != ones).flatten(1).any(1).float().mean().item()

    assert changed(augmentation_strength=0.0) == 0
    expected = 1 - np.prod([1 - 0.5 * change.probability for change in aug.CHANGES[name]])
    half = changed(augmentation_strength=0.5)
    assert expected - 0.25 < half < expected + 0.1  # half of the channels of some kinds
    assert half < changed() < changed(augmentation_strength=100.0)
    kinds = tuple(change.name for change in aug.CHANGES[name])
    assert changed(augmentation_without=kinds) == 0


def test_a_strength_of_one_is_the_default_bit_by_bit() -> None:
    batch = batch_of(torch.rand(9, 1, 6, 6, 6), torch.zeros(9, 6, 6, 6, dtype=torch.uint8))
    plain, one = (
        aug.build_augmentation(CUBE, config, LABELS, 2)(batch, generator())
        for config in (TrainConfig(), TrainConfig(augmentation_strength=1.0))
    )
    assert torch.equal(plain.image, one.image)


def test_without_axes_nothing_is_mirrored() -> None:
    ramp = torch.arange(64.0).view(1, 1, 4, 4, 4).repeat(20, 1, 1, 1, 1)
    batch = batch_of(ramp, ramp[:, 0].to(torch.uint8))
    config = TrainConfig(mirror_axes=())
    found = aug.build_augmentation(CUBE, config, LABELS, 2)(batch, generator())
    assert torch.equal(found.target, batch.target)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (TrainConfig(augmentation="stronger"), "did you mean 'strong'"),
        (TrainConfig(augmentation_without=("rotations",)), "default has no such kind.*'rotation'"),
        (TrainConfig(augmentation="light", augmentation_without=("rotation",)), "light has no"),
        (TrainConfig(augmentation="none", augmentation_without=("noise",)), "none has no such"),
    ],
)
def test_what_an_augmentation_cannot_do_is_said(config: TrainConfig, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        aug.check_augmentation(config)


def test_every_kind_can_be_named() -> None:
    for name in ("default", "light", "strong"):
        kinds = tuple(change.name for change in aug.CHANGES[name]) + kinds_of(name)
        aug.check_augmentation(TrainConfig(augmentation=name, augmentation_without=kinds))
    aug.check_augmentation(TrainConfig(augmentation=f"{__name__}:make_negative"))


def give_an_image(design, config, labels, left_right_axis):
    return lambda batch, generator: batch.image


def test_ones_own_that_gives_no_batch_is_refused() -> None:
    own = TrainConfig(augmentation=f"{__name__}:give_an_image")
    augment = aug.build_augmentation(CUBE, own, LABELS, 2)
    batch = batch_of(torch.rand(1, 1, 4, 4, 4), torch.zeros(1, 4, 4, 4, dtype=torch.uint8))
    with pytest.raises(UsageError, match="give_an_image' returned a Tensor, expected a Batch"):
        augment(batch, generator())


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


def make_noisy_with_batchgenerators(*_: object) -> aug.Augmentation:
    """How a transform of batchgenerators is plugged in: NumPy arrays by name, on the processor."""
    transforms = pytest.importorskip("batchgenerators.transforms.noise_transforms")
    noise = transforms.GaussianNoiseTransform(noise_variance=(0.1, 0.1), p_per_sample=1.0)

    def augment(batch: Batch, random: torch.Generator) -> Batch:
        np.random.seed(int(torch.randint(2**31, (1,), generator=random)))  # noqa: NPY002
        arrays = {"data": batch.image.cpu().numpy().copy(), "seg": batch.target[:, None].numpy()}
        changed = torch.from_numpy(noise(**arrays)["data"]).to(batch.image)
        return dataclasses.replace(batch, image=changed)

    return augment


def test_a_transform_of_batchgenerators_is_plugged_in_by_name() -> None:
    pytest.importorskip("batchgenerators")
    config = TrainConfig(augmentation=f"{__name__}:make_noisy_with_batchgenerators")
    augment = aug.build_augmentation(CUBE, config, LABELS, 2)
    batch = batch_of(torch.zeros(3, 1, 6, 6, 6), torch.zeros(3, 6, 6, 6, dtype=torch.uint8))
    found, again, other = (augment(batch, generator(seed)) for seed in (1, 1, 2))
    assert found.image.std() == pytest.approx(0.1, rel=0.2)
    assert torch.equal(found.image, again.image)
    assert not torch.equal(found.image, other.image)
    assert torch.equal(found.target, batch.target)


def test_kinds_are_added_to_a_set_with_their_probability_or_ones_own() -> None:
    config = TrainConfig(
        augmentation="light",
        augmentation_with=("salt_and_pepper", "blur=0.7", "noise=0.5"),
        augmentation_without=("contrast",),
    )
    found = {change.name: change.probability for change in aug.changes_of(config)}
    assert found == {"brightness": 0.15, "salt_and_pepper": 0.1, "blur": 0.7, "noise": 0.5}
    nothing = TrainConfig(augmentation="none", augmentation_with=("sharpening=1",))
    assert [change.name for change in aug.changes_of(nothing)] == ["sharpening"]
    batch = batch_of(torch.rand(4, 1, 8, 8, 8), torch.ones(4, 8, 8, 8, dtype=torch.uint8))
    augment = aug.build_augmentation(CUBE, nothing, LABELS, 2)
    assert not torch.equal(augment(batch, generator(1)).image, batch.image)


def test_quarter_turns_by_themselves_turn_image_and_labels_together() -> None:
    cases = [make_case("a", blobs())]
    flat = make_design((1, 8, 8), batch_size=8)
    config = TrainConfig(augmentation="none", augmentation_with=("quarter_turns=1",))
    batch = make_batch(cases, make_pool(cases, LABELS, config), flat, config, LABELS, 0)
    found = aug.build_augmentation(flat, config, LABELS, 2)(batch, generator(0))
    assert len(batch.warps) == 8
    assert torch.equal(found.image[:, 0].round().to(found.target.dtype), found.target)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("salt", "augmentation_with=salt: there is no such kind"),
        ("quarter_turn", "-> did you mean 'quarter_turns'"),
        ("blur=2", "augmentation_with=blur=2, expected a probability from 0 to 1"),
        ("blur=often", "augmentation_with=blur=often, expected a probability"),
    ],
)
def test_kinds_that_are_not_there_cannot_be_added(kind: str, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        aug.check_augmentation(TrainConfig(augmentation_with=(kind,)))
