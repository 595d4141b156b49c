"""Laws of batches that are prepared ahead, and of the time that steps wait for them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator

import pytest
import torch

from autoseg.config import TrainConfig
from autoseg.training.batch import Batch, each_tensor
from autoseg.training.feed import make_feed, prepared
from autoseg.training.state import Task
from tests.training.batches import LABELS, batch_of

CPU = torch.device("cpu")


def add_noise(batch: Batch, generator: torch.Generator) -> Batch:
    noise = torch.randn(batch.image.shape, generator=generator, device=batch.image.device)
    return dataclasses.replace(batch, image=batch.image + noise)


def make_task(device: torch.device = CPU) -> Task:
    return Task(
        TrainConfig(seed=3), LABELS, lambda scores, batch: scores[0].sum(), add_noise, (), device,
        torch.float32,
    )  # fmt: skip


def make_batch(number: int = 0) -> Batch:
    image = torch.full((2, 1, 4, 4, 4), float(number))
    return batch_of(image, torch.zeros(2, 4, 4, 4, dtype=torch.uint8))


def slowly(seconds: list[float]) -> Iterator[Batch]:
    for number, pause in enumerate(seconds):
        time.sleep(pause)
        yield make_batch(number)


def test_batches_are_augmented_with_the_numbers_of_their_own_step() -> None:
    task = make_task()
    found = list(make_feed(slowly([0, 0, 0]), task, 7))
    expected = [prepared(task, make_batch(number), 7 + number) for number in range(3)]
    assert all(torch.equal(a.image, b.image) for a, b in zip(found, expected, strict=True))
    assert not torch.equal(found[0].image, prepared(task, make_batch(), 8).image)


def test_the_time_without_a_batch_is_counted_but_for_the_first() -> None:
    feed = make_feed(slowly([0.2, 0.05, 0.0, 0.05]), make_task(), 0)
    next(feed)
    assert feed.take_waited_s() == 0
    assert len(list(feed)) == 3
    assert 0.1 <= feed.take_waited_s() < 0.19
    assert feed.take_waited_s() == 0


def test_augmenting_on_a_cpu_is_no_waiting() -> None:
    def slow(batch: Batch, generator: torch.Generator) -> Batch:
        time.sleep(0.1)
        return batch

    feed = make_feed(slowly([0, 0]), dataclasses.replace(make_task(), augment=slow), 0)
    list(feed)
    assert feed.take_waited_s() < 0.05


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_counts_the_time_in_which_it_has_no_step() -> None:
    gpu = torch.device("cuda")
    matrix = torch.randn(4096, 4096, device=gpu)

    def work(count: int) -> None:
        for _ in range(count):
            torch.mm(matrix, matrix)

    work(3)
    torch.cuda.synchronize()
    begin = time.perf_counter()
    work(20)
    torch.cuda.synchronize()
    tenth_of_a_second = int(20 * 0.1 / (time.perf_counter() - begin))
    pinned = (each_tensor(batch, torch.Tensor.pin_memory) for batch in slowly([0.0, 0.0, 0.3, 0.0]))
    feed = make_feed(pinned, make_task(gpu), 0)
    for number, batch in enumerate(feed):
        expected = prepared(make_task(gpu), make_batch(number), number).image
        torch.testing.assert_close(batch.image, expected)
        if number == 2:  # a third of the pause is hidden behind the step before
            assert 0.15 < feed.take_waited_s() < 0.25
        work(tenth_of_a_second)
    assert feed.take_waited_s() < 0.05
