"""Batches: each from its own random numbers, errors from the thread, nothing left running."""

import dataclasses
import itertools
import threading

import numpy as np
import pytest
import torch

from autoseg.config import TrainConfig
from autoseg.labels import Labels
from autoseg.training.batch import Batch, micro_batches
from autoseg.training.distributed import Ranks
from autoseg.training.loader import batches, cases_of, make_batch
from autoseg.training.sampling import make_pool
from tests.training.prepared import make_case, make_design

LABELS = Labels({"a": (1,), "b": (2,)})
DESIGN = make_design((6, 8, 8), 3)
CONFIG = TrainConfig(seed=5)


def some_cases() -> list:
    rng = np.random.default_rng(0)
    cases = []
    for i in range(4):
        labels = (rng.random((9, 12, 10)) * 3).astype(np.uint8)
        image = rng.normal(size=(2, 9, 12, 10)).astype(np.float16)
        annotated = ("a",) if i == 3 else None
        cases.append(make_case(f"case_{i}", labels, image=image, annotated=annotated))
    return cases


def same(one: Batch, other: Batch) -> bool:
    names = ("image", "target", "annotated", "spacing_mm")
    warps = zip(one.warps, other.warps, strict=True)
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in names) and all(
        torch.equal(a.image, b.image) and torch.equal(a.places, b.places) for a, b in warps
    )


def test_a_batch_has_the_shapes_and_types_it_promises() -> None:
    batch = next(batches(some_cases(), DESIGN, CONFIG, LABELS))
    assert batch.image.shape == (3, 2, 6, 8, 8)
    assert batch.image.dtype == torch.float32
    assert batch.target.shape == (3, 6, 8, 8)
    assert batch.target.dtype == torch.uint8
    assert batch.annotated.shape == (3, 2)
    assert batch.spacing_mm.tolist() == [[1, 1, 1]] * 3


def test_batch_s_is_the_same_whatever_came_before() -> None:
    cases = some_cases()
    straight = list(itertools.islice(batches(cases, DESIGN, CONFIG, LABELS), 6))
    resumed = list(itertools.islice(batches(cases, DESIGN, CONFIG, LABELS, 4), 2))
    assert same(straight[4], resumed[0])
    assert same(straight[5], resumed[1])
    assert not same(straight[4], straight[5])
    alone = make_batch(cases, make_pool(cases, LABELS, TrainConfig()), DESIGN, CONFIG, LABELS, 5)
    assert same(straight[5], alone)


@pytest.mark.parametrize("size", [2, 3])
def test_the_shares_of_ranks_are_the_batch_of_one(size: int) -> None:
    cases = some_cases()
    pool = make_pool(cases, LABELS, TrainConfig())
    for step in range(5):
        whole = make_batch(cases, pool, DESIGN, CONFIG, LABELS, step)
        shares = [
            make_batch(cases, pool, DESIGN, CONFIG, LABELS, step, ranks=Ranks(rank, size))
            for rank in range(size)
        ]
        for name in ("image", "target", "annotated", "spacing_mm"):
            parts = torch.cat([getattr(share, name) for share in shares])
            assert torch.equal(parts, getattr(whole, name))
        warps = [w.sample + share.first for share in shares for w in share.warps]
        assert warps == [w.sample for w in whole.warps]
        assert [share.whole for share in shares] == [3] * size
        assert whole.whole is None


def test_another_seed_gives_other_batches() -> None:
    cases = some_cases()
    one = next(batches(cases, DESIGN, CONFIG, LABELS))
    assert not same(one, next(batches(cases, DESIGN, TrainConfig(seed=6), LABELS)))


def test_only_samples_that_will_be_transformed_are_left_to_the_augmentation() -> None:
    cases = some_cases()
    found = list(itertools.islice(batches(cases, DESIGN, CONFIG, LABELS), 40))
    waiting = [warp.sample for batch in found for warp in batch.warps]
    assert 0.25 < len(waiting) / (40 * 3) < 0.47
    plain = batches(cases, DESIGN, CONFIG, LABELS, augment=False)
    assert not any(batch.warps for batch in itertools.islice(plain, 10))
    none = dataclasses.replace(CONFIG, augmentation="none")
    assert not any(b.warps for b in itertools.islice(batches(cases, DESIGN, none, LABELS), 10))


def test_partial_annotation_is_passed_on() -> None:
    cases = some_cases()
    whole = next(batches(cases[:3], DESIGN, CONFIG, LABELS))
    assert not whole.partial
    assert whole.annotated.all()
    part = next(batches(cases[3:], DESIGN, CONFIG, LABELS))
    assert part.partial
    assert part.annotated.tolist() == [[True, False]] * 3


def test_config_goes_before_the_design() -> None:
    config = dataclasses.replace(CONFIG, batch_size=2, patch_size=(4, 4, 4))
    batch = next(batches(some_cases(), DESIGN, config, LABELS))
    assert batch.image.shape == (2, 2, 4, 4, 4)


def test_a_flat_patch_is_a_slice() -> None:
    batch = next(batches(some_cases(), make_design((1, 8, 8), 5), CONFIG, LABELS))
    assert batch.image.shape == (5, 2, 1, 8, 8)


def test_the_cases_of_a_step_are_known_without_reading_them() -> None:
    cases = some_cases()
    whole = dataclasses.replace(CONFIG, patch_size=(9, 12, 10), augmentation="none")
    batch = next(batches(cases, DESIGN, whole, LABELS, 7))
    by_name = {case.id: case.image for case in cases}
    for image, name in zip(batch.image, cases_of(cases, DESIGN, whole, LABELS, 7), strict=True):
        np.testing.assert_array_equal(image.numpy(), by_name[name].astype(np.float32))


def test_what_fails_in_the_thread_is_raised_by_the_iterator() -> None:
    cases = [dataclasses.replace(case, image=None) for case in some_cases()]
    with pytest.raises(AttributeError, match="shape"):
        next(batches(cases, DESIGN, CONFIG, LABELS))


def test_closing_the_iterator_ends_the_thread() -> None:
    before = threading.active_count()
    iterator = batches(some_cases(), DESIGN, CONFIG, LABELS)
    next(iterator)
    assert threading.active_count() == before + 1
    iterator.close()
    assert threading.active_count() == before


def test_accumulation_sees_the_samples_of_the_big_batch_in_parts() -> None:
    cases, accumulating = some_cases(), dataclasses.replace(CONFIG, accumulate=2)
    whole = next(batches(cases, make_design((6, 8, 8), 6), CONFIG, LABELS, augment=False))
    batch = next(batches(cases, DESIGN, accumulating, LABELS, augment=False))
    assert same(whole, batch)
    assert cases_of(cases, DESIGN, accumulating, LABELS, 0) == cases_of(
        cases, make_design((6, 8, 8), 6), CONFIG, LABELS, 0
    )
    even, odd = micro_batches(batch, 2)
    assert torch.equal(torch.stack((even.image, odd.image), 1).flatten(0, 1), batch.image)
    assert torch.equal(torch.stack((even.annotated, odd.annotated), 1).flatten(0, 1),
                       batch.annotated)  # fmt: skip
    assert list(micro_batches(batch, 1)) == [batch]
