"""Several ranks are one: the same sums, losses, gradients and decisions."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from torch import Tensor

from autoseg.config import TrainConfig
from autoseg.errors import DataError, ResourceError, UsageError
from autoseg.labels import Labels
from autoseg.training.batch import Batch
from autoseg.training.distributed import ALONE, Ranks
from autoseg.training.launch import Launch, read_launch
from autoseg.training.losses import build_loss
from autoseg.training.supervision import deep_supervised
from tests.ranks import Pool

LOSSES = (
    "dice_ce", "dice", "ce", "bce", "focal+topk", "tversky+focal_tversky", "ce+10*boundary",
)  # fmt: skip
EXCLUSIVE = Labels({"liver": (1,), "spleen": (2,)})
REGIONS = Labels({"kidney": (1, 2), "tumour": (2,)})
IGNORING = Labels({"liver": (1,), "spleen": (2,)}, ignore=3)


def test_alone_nothing_is_changed():
    x = torch.ones(3, requires_grad=True)
    assert ALONE.all_sum(x) is x
    assert ALONE.all_max([3, 0]) == [3, 0]
    assert ALONE.gather("a") == ["a"]
    assert ALONE.decide(lambda: 5) == ALONE.together(lambda: 5) == 5
    assert ALONE.share(4) == slice(0, 4)


@pytest.mark.parametrize(("count", "size"), [(2, 2), (5, 2), (7, 3), (2, 1)])
def test_shares_are_neighbours_that_cover_all(count: int, size: int):
    parts = [list(range(count))[Ranks(rank, size).share(count)] for rank in range(size)]
    assert [number for part in parts for number in part] == list(range(count))
    assert {len(part) for part in parts} <= {count // size, count // size + 1}
    assert len(parts[0]) == max(map(len, parts))  # rank 0 probes memory and speed: the most work


# --- what torchrun says --------------------------------------------------------------------------

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "a"}


def test_a_launch_is_read_from_torchruns_names():
    assert read_launch(TORCHRUN | {"MASTER_PORT": "1"}) == Launch(3, 4, 1)
    watched = TORCHRUN | {"MASTER_PORT": "1", "TORCHELASTIC_RUN_ID": "none"}
    assert read_launch(watched) == Launch(3, 4, 1, parent=os.getppid())
    assert read_launch(TORCHRUN) is None  # some clusters set a part of them everywhere
    assert read_launch({}) is None
    alone = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_PORT": "1"}
    assert read_launch(TORCHRUN | alone) is None


def test_numbers_that_make_no_sense_are_named():
    with pytest.raises(UsageError, match="RANK=5 and WORLD_SIZE=4"):
        read_launch(TORCHRUN | {"RANK": "5", "MASTER_PORT": "1"})
    with pytest.raises(UsageError, match="WORLD_SIZE=many, expected a number"):
        read_launch(TORCHRUN | {"WORLD_SIZE": "many", "MASTER_PORT": "1"})


# --- losses --------------------------------------------------------------------------------------


def make_batch(labels: Labels, *, samples: int = 5, partial: bool = False) -> Batch:
    generator = torch.Generator().manual_seed(3)
    target = torch.randint(0, 3, (samples, 6, 5, 4), generator=generator).to(torch.uint8)
    if labels.ignore is not None:
        target[0] = labels.ignored_index  # a whole sample; half of the next; nothing of the rest
        target[1, :3] = labels.ignored_index
    annotated = torch.ones(samples, 2, dtype=torch.bool)
    if partial:
        annotated[:2, 0] = annotated[3:, 1] = False
    image, spacing = torch.zeros(samples, 1, 6, 5, 4), torch.ones(samples, 3)
    return Batch(image, target, annotated, spacing, partial=partial)


def make_scores(labels: Labels, samples: int = 5) -> list[Tensor]:
    generator = torch.Generator().manual_seed(4)
    shapes = (6, 5, 4), (3, 3, 2), (2, 2, 1)
    return [torch.randn(samples, labels.channels, *s, generator=generator) for s in shapes]


def value_and_gradients(
    ranks: Ranks, name: str, labels: Labels, batch_dice: bool, partial: bool
) -> tuple[float, list[Tensor]]:
    batch, ours = make_batch(labels, partial=partial), ranks.share(5)
    part = Batch(
        batch.image[ours], batch.target[ours], batch.annotated[ours], batch.spacing_mm[ours],
        partial=partial and not bool(batch.annotated[ours].all()), ranks=ranks,
    )  # fmt: skip
    scores = [score[ours].clone().requires_grad_() for score in make_scores(labels)]
    loss = deep_supervised(build_loss(TrainConfig(loss=name), labels))(
        scores, part, labels, batch_dice
    )
    loss.backward()
    return loss.item(), [torch.zeros(0) if s.grad is None else s.grad for s in scores]


@pytest.mark.parametrize("size", [2, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("batch_dice", [True, False])
@pytest.mark.parametrize("labels", [EXCLUSIVE, REGIONS, IGNORING], ids=["ce", "bce", "ignore"])
def test_a_shared_batch_has_the_loss_and_the_gradient_of_the_whole(
    pool: Pool, labels: Labels, batch_dice: bool, size: int
):
    for name in LOSSES:
        for partial in (False, True):
            arguments = name, labels, batch_dice, partial
            whole, gradients = value_and_gradients(ALONE, *arguments)
            answers = pool.run(size, value_and_gradients, *arguments)
            assert [value for value, _ in answers] == pytest.approx([whole] * size, rel=1e-6)
            for level, gradient in enumerate(gradients):
                parts = torch.cat([parts[level] for _, parts in answers])
                torch.testing.assert_close(parts, gradient, rtol=1e-5, atol=1e-8)


# --- decisions and failures ----------------------------------------------------------------------


def decide(ranks: Ranks) -> Any:
    return ranks.decide(lambda: ("rank", ranks.rank))


def fail(error: Exception) -> Any:
    raise error


def decide_badly(ranks: Ranks) -> Any:
    return ranks.decide(lambda: fail(DataError("a file is gone")))


def fail_on_rank_1(ranks: Ranks, error: Exception) -> Any:
    return ranks.together(lambda: fail(error) if ranks.rank == 1 else ranks.rank)


def test_rank_0_decides_for_all(pool: Pool):
    assert pool.run(3, decide) == [("rank", 0)] * 3


def test_a_failure_of_rank_0_is_told_once_and_ends_all(pool: Pool):
    told, *silent = pool.run(3, decide_badly)
    assert isinstance(told, DataError)
    assert [(type(end), end.code) for end in silent] == [(SystemExit, 3)] * 2


def test_a_failure_of_one_rank_is_told_by_it_and_ends_all(pool: Pool):
    first, told, last = pool.run(3, fail_on_rank_1, DataError("damaged"))
    assert isinstance(told, DataError)
    assert [end.code for end in (first, last)] == [3, 3]
    first, told, last = pool.run(3, fail_on_rank_1, ZeroDivisionError())
    assert isinstance(told, ZeroDivisionError)
    assert [end.code for end in (first, last)] == [1, 1]


def collect(ranks: Ranks) -> Any:
    return ranks.gather({"rank": ranks.rank}), ranks.all_max([ranks.rank, 5 - ranks.rank])


def test_values_are_gathered_on_rank_0_and_the_largest_is_known_to_all(pool: Pool):
    assert pool.run(3, collect) == [
        ([{"rank": 0}, {"rank": 1}, {"rank": 2}], [2, 5]), ([], [2, 5]), ([], [2, 5]),
    ]  # fmt: skip


def leave(ranks: Ranks) -> Any:
    if ranks.rank == 1:
        raise DataError("gone")
    return ranks.all_max([1])


def test_a_rank_that_ends_does_not_leave_the_others_waiting(pool: Pool):
    other, told = pool.run(2, leave)
    assert isinstance(told, DataError)
    assert isinstance(other, ResourceError)
    assert "the connection to the other processes of this training is lost" in str(other)


def alike(ranks: Ranks) -> Any:
    torch.manual_seed(ranks.rank)
    network = torch.nn.Linear(2, 3)
    ranks.same_weights(network)
    network(torch.full((1, 2), ranks.rank + 1.0)).sum().backward()
    ranks.sum_gradients(network)
    return {k: v.detach().clone() for k, v in network.named_parameters()}, network.weight.grad


def test_weights_begin_alike_and_gradients_are_summed(pool: Pool):
    (first, gradient), (second, other) = pool.run(2, alike)
    torch.manual_seed(0)
    assert torch.equal(first["weight"], torch.nn.Linear(2, 3).weight)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(gradient, torch.full((3, 2), 3.0))
    assert torch.equal(gradient, other)
