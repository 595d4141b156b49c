"""The previous stage's map goes through sampling, warping and mirroring with the labels."""

import dataclasses

import numpy as np
import torch

from autoseg.config import TrainConfig
from autoseg.labels import Labels
from autoseg.training.augmentation import build_augmentation
from autoseg.training.distributed import Ranks
from autoseg.training.loader import make_batch
from autoseg.training.sampling import make_pool
from autoseg.training.state import generator_of, network_input
from tests.training.prepared import make_case, make_design

SIDES = Labels({"left": (1,), "right": (2,)})
DESIGN = make_design((8, 10, 12), 4)
PLAIN = TrainConfig(cascade_augmentation=False)


def cases_with(same: bool = True) -> list:
    """Cases whose previous stage was right everywhere, or nowhere."""
    found = []
    for seed in range(3):
        labels = np.random.default_rng(seed).integers(0, 3, (14, 15, 16)).astype(np.uint8)
        previous = labels.copy() if same else (labels + 1) % 3
        found.append(dataclasses.replace(make_case(f"{seed}", labels), previous=previous))
    return found


def augmented(config: TrainConfig, step: int, cases: list | None = None):
    cases = cases_with() if cases is None else cases
    batch = make_batch(cases, make_pool(cases, SIDES, TrainConfig()), DESIGN, config, SIDES, step)
    augment = build_augmentation(DESIGN, config, SIDES, left_right_axis=2)
    return augment(batch, generator_of(0, step, torch.device("cpu")))


def test_a_map_that_equals_the_labels_equals_them_after_every_warp_and_mirror() -> None:
    for step in range(12):
        batch = augmented(PLAIN, step)
        assert torch.equal(batch.previous, batch.target)
        assert batch.previous.any()


def test_a_wrong_map_is_not_exchanged_for_the_labels() -> None:
    batch = make_batch(
        cases_with(False), make_pool(cases_with(), SIDES, TrainConfig()), DESIGN, PLAIN, SIDES, 0
    )
    untouched = [i for i in range(4) if i not in [warp.sample for warp in batch.warps]]
    assert untouched
    for sample in untouched:
        assert torch.equal(batch.previous[sample], (batch.target[sample] + 1) % 3)


def test_the_patches_are_those_of_a_training_without_a_previous_stage() -> None:
    alone = [dataclasses.replace(case, previous=None) for case in cases_with()]
    for step in range(6):
        ours, theirs = augmented(TrainConfig(), step), augmented(TrainConfig(), step, alone)
        assert torch.equal(ours.image, theirs.image)
        assert torch.equal(ours.target, theirs.target)
        assert theirs.previous is None


def test_the_map_is_made_worse_in_some_patches_and_in_none_when_asked_so() -> None:
    def changed(config: TrainConfig) -> int:
        batches = [augmented(config, step) for step in range(10)]
        return sum(not torch.equal(b.previous[i], b.target[i]) for b in batches for i in range(4))

    assert 8 <= changed(TrainConfig()) <= 32  # of 40, half of them are chosen
    assert changed(PLAIN) == 0
    assert changed(TrainConfig(augmentation="none")) == 0


def test_validation_patches_are_left_as_they_are() -> None:
    cases = cases_with()
    for step in range(5):
        batch = make_batch(
            cases,
            make_pool(cases, SIDES, TrainConfig()),
            DESIGN,
            TrainConfig(),
            SIDES,
            step,
            augment=False,
        )
        assert torch.equal(batch.previous, batch.target)


def test_every_rank_makes_its_part_of_the_same_batch() -> None:
    cases = cases_with()
    for step in range(4):
        arguments = (
            cases,
            make_pool(cases, SIDES, TrainConfig()),
            DESIGN,
            TrainConfig(),
            SIDES,
            step,
        )
        whole = make_batch(*arguments)
        parts = [make_batch(*arguments, ranks=Ranks(rank, 2)) for rank in range(2)]
        assert torch.equal(torch.cat([part.previous for part in parts]), whole.previous)
        warps = [warp.previous for part in parts for warp in part.warps]
        assert all(map(torch.equal, warps, [warp.previous for warp in whole.warps]))


def test_a_network_sees_the_image_and_the_masks() -> None:
    batch = augmented(PLAIN, 0)
    found = network_input(batch, SIDES)
    assert found.shape == (4, 3, 8, 10, 12)
    assert torch.equal(found[:, :1], batch.image)
    assert torch.equal(
        found[:, 1:].argmax(1) + 1, torch.where(batch.previous > 0, batch.previous, 1)
    )
    without = dataclasses.replace(batch, previous=None)
    assert network_input(without, SIDES) is without.image
