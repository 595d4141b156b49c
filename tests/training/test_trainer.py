"""Laws of the training loop, on a network of a few hundred weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from autoseg.config import TrainConfig
from autoseg.errors import DataError, Stopped, UsageError
from autoseg.labels import Labels
from autoseg.stopping import StopRequest
from autoseg.training import trainer
from autoseg.training.batch import Batch
from autoseg.training.budget import Length, Pace
from autoseg.training.checkpoint import Keeper, load_checkpoint
from autoseg.training.optim import OPTIMIZERS
from autoseg.training.recipe import choose_recipe
from autoseg.training.state import Task, Training, begin_training, unpack
from autoseg.training.trainer import train

LABELS = Labels({"ball": (1,)})
CPU = torch.device("cpu")


def make_batch(seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(2, 1, 4, 4, 4, generator=generator)
    target = (image[:, 0] > 0.5).to(torch.uint8)
    return Batch(image, target, torch.ones(2, 1, dtype=torch.bool), torch.ones(2, 3), partial=False)


def batches(start: int = 0, change: Callable[[int, Batch], Batch] | None = None) -> Iterator[Batch]:
    while True:
        batch = make_batch(start)
        yield change(start, batch) if change else batch
        start += 1


def cross_entropy(scores: Sequence[Tensor], batch: Batch) -> Tensor:
    return nn.functional.cross_entropy(scores[0].float(), batch.target.long())


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv3d(1, 4, 3, padding=1), nn.Conv3d(4, 2, 1)

    def forward(self, image: Tensor) -> list[Tensor]:
        return [self.second(torch.relu(self.first(image)))]


def noise(batch: Batch, generator: torch.Generator) -> Batch:
    image = batch.image + 0.1 * torch.randn(batch.image.shape, generator=generator)
    return dataclasses.replace(batch, image=image)


def begin(steps: int, **changes: object) -> tuple[Training, Task]:
    config = choose_recipe(TrainConfig(steps_per_epoch=5, **changes), steps)[0]
    task = Task(
        config, LABELS, cross_entropy, noise, (make_batch(1000),), CPU, torch.float32,
        cases_of=lambda step: (f"case_{step}",),
    )  # fmt: skip
    torch.manual_seed(0)
    return begin_training(Small(), task, Length(steps)), task


def run(
    training: Training,
    task: Task,
    folder: Path,
    source: Iterator[Batch] | None = None,
    **more: object,
) -> dict[str, Tensor]:
    arguments = {
        "pace": Pace(None, None), "keeper": Keeper(folder), "stop": StopRequest(),
        "report": lambda history: None, "facts": {},
    } | more  # fmt: skip
    return train(training, task, source or batches(training.step), **arguments)


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_it_learns_and_tells_each_epoch(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "autoseg")
    training, task = begin(60, learning_rate=0.05)
    told: list[int] = []
    run(training, task, tmp_path, report=lambda history: told.append(len(history)))
    history = training.history
    assert told == list(range(1, 13))
    assert [epoch.step for epoch in history] == list(range(5, 61, 5))
    assert history[-1].train_loss < 0.6 * history[0].train_loss
    assert (history[-1].pseudo_dice["ball"] or 0) > 0.5
    assert (history[-1].train_dice["ball"] or 0) > 0.5
    assert caplog.text.count("loss") == 12


def test_the_dice_of_an_epoch_is_that_of_the_scores_its_steps_learnt_from(tmp_path: Path):
    training, task = begin(60, learning_rate=0.05)
    hits = size = 0

    def seeing(scores: Sequence[Tensor], batch: Batch) -> Tensor:
        nonlocal hits, size
        # In the last epoch, but neither the validation nor the step that is spoilt.
        if torch.is_grad_enabled() and training.step >= 55 and training.step != 57:
            thin = (..., *(slice(None, None, 2),) * 3)
            found, true = scores[0].argmax(1)[thin] == 1, batch.target[thin] == 1
            hits, size = hits + int((found & true).sum()), size + int(found.sum() + true.sum())
        return cross_entropy(scores, batch)

    task = dataclasses.replace(task, loss=seeing)
    given = batches(0, lambda step, batch: spoil(batch) if step == 57 else batch)
    run(training, task, tmp_path, given)
    assert training.history[-1].skipped == 1
    assert hits > 0
    assert training.history[-1].train_dice == {"ball": pytest.approx(2 * hits / size)}


def test_two_runs_of_one_seed_are_bit_equal_and_another_seed_differs(tmp_path: Path):
    first, second = (run(*begin(20), tmp_path / name) for name in "ab")
    other = run(*begin(20, seed=1), tmp_path / "c")
    assert same(first, second)
    assert not same(first, other)


def test_a_slow_epoch_is_told_on_the_way_and_the_result_is_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    caplog.set_level("INFO", "autoseg")

    def said() -> list[str]:
        """What was said of epochs; a busy machine makes a training wait for data, which is told."""
        return [line for line in caplog.messages if line.startswith("epoch")]

    quiet = run(*begin(7), tmp_path / "quiet")
    assert [line.split(":")[0] for line in said()] == ["epoch 1, step 5/7", "epoch 2, step 7/7"]
    caplog.clear()
    monkeypatch.setattr(trainer, "SAID_EVERY_S", 0.0)
    told = run(*begin(7), tmp_path / "told")
    assert [line.split(":")[0] for line in said()] == [
        *(f"epoch 1, step {step}/7" for step in range(1, 6)),
        "epoch 2, step 6/7",
        "epoch 2, step 7/7",
    ]
    assert said()[0].endswith("left")
    assert same(quiet, told)


def stop_and_resume(steps: int, changes: dict, stopped_after: int, folder: Path):
    """Train until a signal comes, then go on from the files; return the training and weights."""
    training, task = begin(steps, **changes)
    stop = StopRequest()

    def source() -> Iterator[Batch]:
        for number, batch in enumerate(batches()):
            if number == stopped_after - 1:
                stop.signal_name = "SIGTERM"
            yield batch

    with pytest.raises(Stopped, match=f"SIGTERM after step {stopped_after};"):
        run(training, task, folder, source(), stop=stop)
    checkpoint = load_checkpoint(folder)
    assert checkpoint is not None
    again, task = begin(steps, **changes)
    unpack(again, checkpoint)
    assert again.step == stopped_after
    return again, run(again, task, folder)


@pytest.mark.parametrize(
    "changes",
    [{}, {"optimizer": "sgd"}, {"ema": 0.9}, {"gradient_norm": 0.0}]
    + [{"optimizer": name} for name in ("adan", "amsgrad", "nadam", "radam")],
)
@pytest.mark.parametrize("stopped_after", [1, 7, 10])
def test_a_training_that_was_stopped_ends_with_the_same_bytes(
    tmp_path: Path, changes: dict, stopped_after: int
):
    straight = run(*begin(20, **changes), tmp_path / "straight")
    again, resumed = stop_and_resume(20, changes, stopped_after, tmp_path / "resume")
    assert same(straight, resumed)
    assert [epoch.step for epoch in again.history] == [5, 10, 15, 20]


def test_counts_go_on_where_a_checkpoint_has_them_and_begin_where_it_has_none(tmp_path: Path):
    straight, task = begin(10)
    run(straight, task, tmp_path / "straight")
    again, _ = stop_and_resume(10, {}, 7, tmp_path / "resume")
    assert again.history[1].train_dice == straight.history[1].train_dice
    checkpoint = load_checkpoint(tmp_path / "resume")
    assert checkpoint is not None
    del checkpoint.tensors["count/counts"]  # an older version's
    older, _ = begin(10)
    unpack(older, checkpoint)
    assert older.counts.tolist() == [[0, 0, 0]]


def test_a_finished_training_gives_its_weights_without_another_step(tmp_path: Path):
    weights = run(*begin(10), tmp_path)
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint is not None
    training, task = begin(10)
    unpack(training, checkpoint)
    assert same(run(training, task, tmp_path, iter(())), weights)


def spoil(batch: Batch) -> Batch:
    return dataclasses.replace(batch, image=torch.full_like(batch.image, float("nan")))


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_a_step_without_a_finite_gradient_changes_nothing(tmp_path: Path, optimizer: str):
    def first_spoilt(step: int, batch: Batch) -> Batch:
        return spoil(batch) if step in (0, 3) else batch

    training, task = begin(5, optimizer=optimizer)
    weights = run(training, task, tmp_path, batches(0, first_spoilt))
    assert training.history[0].skipped == 2
    assert all(bool(torch.isfinite(weight).all()) for weight in weights.values())
    nothing, task = begin(4, optimizer=optimizer)
    before = {name: value.clone() for name, value in nothing.network.state_dict().items()}
    after = run(nothing, task, tmp_path / "n", batches(0, lambda _, batch: spoil(batch)))
    assert same(before, after)
    assert nothing.history[0].train_loss is None


def test_without_a_limit_of_the_norm_gradients_are_taken_as_they_are(tmp_path: Path):
    weights = {
        norm: run(*begin(3, optimizer="sgd", gradient_norm=norm), tmp_path / f"{norm}")
        for norm in (0.0, 1e6, 0.01)
    }
    assert same(weights[0.0], weights[1e6])
    assert not same(weights[0.0], weights[0.01])


def test_many_such_steps_in_a_row_end_the_training_and_name_the_cases(tmp_path: Path):
    training, task = begin(100)
    source = batches(0, lambda step, batch: spoil(batch) if step >= 10 else batch)
    with pytest.raises(UsageError, match=r"not finite in 25 steps.*case_34.*learning_rate="):
        run(training, task, tmp_path, source)
    assert training.step == 35
    assert all(bool(torch.isfinite(p).all()) for p in training.network.parameters())


def test_when_a_batch_cannot_be_made_what_was_learnt_is_saved(tmp_path: Path):
    def source() -> Iterator[Batch]:
        yield from (make_batch(step) for step in range(3))
        raise DataError("file not found", place="case.npz")

    with pytest.raises(DataError, match="file not found"):
        run(*begin(20), tmp_path, source())
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint.facts["training"]["step"] == 3


def test_the_averaged_weights_are_the_ones_returned(tmp_path: Path):
    training, task = begin(10, ema=0.9)
    weights = run(training, task, tmp_path)
    assert training.average is not None
    assert same(weights, training.average.weights)
    assert not same(weights, dict(training.network.state_dict()))


def test_a_time_budget_replans_and_the_rate_still_ends_at_zero(tmp_path: Path):
    now = [0.0]

    def clock() -> float:
        return now[0]

    def source() -> Iterator[Batch]:
        for batch in batches():
            now[0] += 2.0
            yield batch

    training, task = begin(100)
    pace = Pace(100.0, 100.0, step_seconds=1.0, clock=clock)
    run(training, task, tmp_path, source(), pace=pace)
    assert training.step == pytest.approx(50, abs=2)
    assert training.length.progress(training.step) == 1
    assert training.history[-1].learning_rate < 1e-4


def test_accumulated_gradients_are_those_of_the_big_batch(tmp_path: Path):
    big, task = begin(10, optimizer="sgd")
    whole = run(big, task, tmp_path / "whole")
    training, task = begin(10, optimizer="sgd", accumulate=2)
    parts = run(training, task, tmp_path / "parts")
    for name, weight in whole.items():
        torch.testing.assert_close(parts[name], weight, rtol=1e-4, atol=1e-6)
    assert training.history[0].train_loss == pytest.approx(big.history[0].train_loss, rel=1e-4)
    assert training.history[0].train_dice == pytest.approx(big.history[0].train_dice, abs=1e-3)


def test_a_micro_batch_without_a_finite_gradient_spoils_its_step_only(tmp_path: Path):
    def half_spoilt(step: int, batch: Batch) -> Batch:
        image = batch.image.clone()
        image[1] = float("nan")
        return dataclasses.replace(batch, image=image) if step == 2 else batch

    training, task = begin(5, accumulate=2)
    weights = run(training, task, tmp_path, batches(0, half_spoilt))
    assert training.history[0].skipped == 1
    assert all(bool(torch.isfinite(weight).all()) for weight in weights.values())


def test_patience_ends_a_training_that_makes_no_progress_with_its_rate_at_zero(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", "autoseg")
    training, task = begin(1000, patience=4, learning_rate=1e-9)
    run(training, task, tmp_path)
    assert training.step == 25 + 5  # five epochs to see it, one to end
    assert training.length.ending
    assert training.history[-2].learning_rate > training.history[-1].learning_rate
    assert training.length.progress(training.step) == 1
    assert "no progress for 4 epochs: the rate comes to its end over the next 5 steps, so 30" in (
        caplog.text
    )


def test_a_time_budget_does_not_lengthen_an_ending(tmp_path: Path):
    training, task = begin(1000, patience=4, learning_rate=1e-9)
    now = [0.0]

    def source() -> Iterator[Batch]:
        for batch in batches():
            now[0] += 0.1
            yield batch

    run(training, task, tmp_path, source(), pace=Pace(1e3, 1e3, 0.1, clock=lambda: now[0]))
    assert training.step == 30


@pytest.mark.parametrize("stopped_after", [22, 27])
def test_a_training_stopped_before_or_in_its_ending_ends_with_the_same_bytes(
    tmp_path: Path, stopped_after: int
):
    changes = {"patience": 4, "learning_rate": 1e-6}
    straight = run(*begin(1000, **changes), tmp_path / "straight")
    again, resumed = stop_and_resume(1000, changes, stopped_after, tmp_path / "resume")
    assert same(straight, resumed)
    assert again.step == 30
