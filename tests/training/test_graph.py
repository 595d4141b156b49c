"""Laws of a step that is recorded once and then repeated."""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from autoseg.config import TrainConfig
from autoseg.device import full_float32
from autoseg.errors import UsageError
from autoseg.labels import Labels
from autoseg.networks import build_network
from autoseg.plan import NetworkSpec
from autoseg.training.batch import Batch, each_tensor
from autoseg.training.budget import Length
from autoseg.training.checkpoint import load_checkpoint, pack_optimizer, save_checkpoint
from autoseg.training.graph import GraphedStep, can_be_recorded, choose_step, rates_as_numbers
from autoseg.training.losses import build_loss
from autoseg.training.optim import OPTIMIZERS
from autoseg.training.recipe import choose_recipe
from autoseg.training.state import Task, Training, begin_training, final_weights, pack, unpack
from autoseg.training.step import add_gradients, learn, skips_by_itself
from autoseg.training.supervision import deep_supervised
from autoseg.training.trainer import update

CPU = torch.device("cpu")
LABELS = Labels({"a": (1,), "b": (2,)})
SPEC = NetworkSpec(
    "plain_unet",
    (16, 32, 32),
    ((1, 1, 1), (2, 2, 2), (2, 2, 2)),
    ((3, 3, 3),) * 3,
    (1,) * 3,
    (1, 1),
)
WAITING = ("nadam", "radam")  # the host looks whether the gradient was finite
OURS = sorted(OPTIMIZERS.keys() - WAITING)

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@pytest.fixture(autouse=True)
def _same_sums_in_the_same_order():
    with full_float32():
        yield


def begin(device: torch.device = CPU, **changes: object) -> tuple[Training, Task]:
    config = choose_recipe(TrainConfig(**changes), 20)[0]
    torch.manual_seed(0)
    network = build_network(SPEC, 1, 3).to(device)
    total = deep_supervised(build_loss(config, LABELS))
    task = Task(
        config, LABELS, lambda scores, batch: total(scores, batch, LABELS, False),
        lambda batch, generator: batch, (), device, torch.float32,
    )  # fmt: skip
    return begin_training(network, task, Length(20)), task


def make_batch(seed: int, device: torch.device = CPU, partial: bool = False) -> Batch:
    numbers = torch.Generator().manual_seed(seed)
    image = torch.randn(2, 1, 8, 8, 8, generator=numbers)
    target = torch.randint(0, 3, (2, 8, 8, 8), generator=numbers, dtype=torch.uint8)
    annotated = torch.tensor([[True, not partial], [True, True]])
    batch = Batch(image, target, annotated, torch.ones(2, 3), partial)
    return each_tensor(batch, lambda tensor: tensor.to(device))


def spoil(batch: Batch) -> Batch:
    return dataclasses.replace(batch, image=torch.full_like(batch.image, torch.nan))


def test_on_a_cpu_a_step_is_asked_for_kernel_by_kernel():
    assert choose_step(*begin(), make_batch(0)) is learn


def test_a_network_is_compiled_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch):
    seen: list[tuple[int, ...]] = []

    def compile_(network: torch.nn.Module) -> Callable[[Tensor], list[Tensor]]:
        def forward(image: Tensor) -> list[Tensor]:
            seen.append(tuple(image.shape))
            return network(image)

        return forward

    monkeypatch.setattr(torch, "compile", compile_)
    weights, batch = [], make_batch(0)
    for asked in (None, False, True):
        training, task = begin(compile=asked)
        weights.append(run(training, task, choose_step(training, task, batch), [batch]))
        assert len(seen) == 2 * (asked is True)  # once to be compiled, once to learn
    assert all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


def test_a_network_that_cannot_be_compiled_is_named(monkeypatch: pytest.MonkeyPatch):
    def compile_(network: torch.nn.Module) -> Callable[[Tensor], list[Tensor]]:
        def forward(image: Tensor) -> list[Tensor]:
            raise RuntimeError("no C compiler\nin any of 12 places")

        return forward

    monkeypatch.setattr(torch, "compile", compile_)
    training, task = begin(compile=True)
    with pytest.raises(UsageError, match=r"compiled here \(no C compiler\) -> --set compile"):
        choose_step(training, task, make_batch(0))
    assert training.compiled is None


@pytest.mark.slow
def test_a_compiled_unet_has_the_gradients_of_its_python(monkeypatch: pytest.MonkeyPatch):
    backend = functools.partial(torch.compile, backend="aot_eager", fullgraph=True)
    monkeypatch.setattr(torch, "compile", backend)
    gradients = []
    for asked in (False, True):
        training, task = begin(compile=asked)
        choose_step(training, task, make_batch(0))
        add_gradients(training, task, make_batch(1))
        # The head that no loss sees has no gradient, or zeros.
        parameters = training.network.parameters()
        gradients.append([torch.zeros_like(p) if p.grad is None else p.grad for p in parameters])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "recorded"),
    [
        ({}, True),
        ({"optimizer": "sgd"}, True),
        ({"optimizer": "radam"}, False),
        ({"freeze_encoder": 1}, False),
        ({"loss": "my_lab.losses:focal"}, False),
    ],
)
def test_what_may_differ_from_step_to_step_is_not_recorded(changes: dict, recorded: bool):
    training, task = begin(**{k: v for k, v in changes.items() if k != "loss"})
    config = dataclasses.replace(task.config, **changes)
    elsewhere = dataclasses.replace(task, config=config, device=torch.device("cuda"))
    assert can_be_recorded(training, elsewhere) == recorded
    assert not can_be_recorded(training, task)
    training.network.checkpointing = True
    assert not can_be_recorded(training, elsewhere)


@pytest.mark.parametrize("name", OURS)
def test_a_step_leaves_every_tensor_at_its_place(name: str):
    """A recording knows places only: what moved to another one would be forgotten."""
    training, task = begin(optimizer=name)
    assert skips_by_itself(training.optimizer)
    learn(training, task, make_batch(0))

    def places() -> dict[str, int]:
        tensors = pack_optimizer(training.optimizer) | dict(training.network.state_dict())
        return {key: tensor.data_ptr() for key, tensor in tensors.items()}

    before = places()
    learn(training, task, make_batch(1))
    assert places() == before


def run(training: Training, task: Task, step, batches: list[Batch]) -> dict[str, Tensor]:
    for batch in batches:
        update(training, task, batch, step)
        training.step += 1
    return final_weights(training)


def close(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    for name, weight in one.items():
        torch.testing.assert_close(other[name], weight, rtol=1e-3, atol=1e-4)


@pytest.mark.gpu
@gpu
@pytest.mark.parametrize("name", OURS)
def test_a_recorded_step_does_what_the_step_does(name: str):
    device = torch.device("cuda")
    batches = [make_batch(seed, device) for seed in range(5)]
    batches[2] = spoil(batches[2])
    asked, task = begin(device, optimizer=name)
    expected = run(asked, task, learn, batches)
    graphed, task = begin(device, optimizer=name)
    close(expected, run(graphed, task, GraphedStep(graphed, task, batches[0]), batches))
    assert (int(graphed.skipped), int(asked.skipped)) == (1, 1)
    torch.testing.assert_close(graphed.loss_sum, asked.loss_sum, rtol=1e-3, atol=1e-3)


@pytest.mark.gpu
@gpu
def test_recording_changes_nothing_and_can_be_undone():
    device = torch.device("cuda")
    training, task = begin(device)
    before = final_weights(training)
    state = {key: value.clone() for key, value in pack_optimizer(training.optimizer).items()}
    GraphedStep(training, task, make_batch(0, device))
    assert all(torch.equal(before[k], v) for k, v in final_weights(training).items())
    assert all(torch.equal(state[k], v) for k, v in pack_optimizer(training.optimizer).items())
    rates_as_numbers(training.optimizer)
    assert all(isinstance(group["lr"], float) for group in training.optimizer.param_groups)


@pytest.mark.gpu
@gpu
def test_batches_with_targets_that_were_not_annotated_are_recorded_anew():
    device = torch.device("cuda")
    batches = [make_batch(seed, device, partial=seed in (1, 3)) for seed in range(5)]
    asked, task = begin(device)
    expected = run(asked, task, learn, batches)
    graphed, task = begin(device)
    close(expected, run(graphed, task, GraphedStep(graphed, task, batches[0]), batches))


@pytest.mark.gpu
@gpu
def test_a_recorded_training_is_saved_and_goes_on(tmp_path):
    device = torch.device("cuda")
    batches = [make_batch(seed, device) for seed in range(6)]
    straight, task = begin(device)
    expected = run(straight, task, learn, batches)
    first, task = begin(device)
    run(first, task, GraphedStep(first, task, batches[0]), batches[:3])
    save_checkpoint(tmp_path, first.step, pack(first, {}))
    again, task = begin(device)
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint is not None
    unpack(again, checkpoint)
    close(expected, run(again, task, GraphedStep(again, task, batches[3]), batches[3:]))


@pytest.mark.gpu
@gpu
def test_on_a_gpu_small_patches_are_recorded_and_it_is_said(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "autoseg")
    device = torch.device("cuda")
    training, task = begin(device)
    assert isinstance(choose_step(training, task, make_batch(0, device)), GraphedStep)
    assert "a step is one CUDA graph: " in caplog.text


@pytest.mark.gpu
@gpu
def test_a_compiled_network_learns_the_same():
    device = torch.device("cuda")
    batches = [make_batch(seed, device) for seed in range(4)]
    asked, task = begin(device, optimizer="sgd")
    expected = run(asked, task, learn, batches)
    compiled, task = begin(device, optimizer="sgd", compile=True)
    close(expected, run(compiled, task, choose_step(compiled, task, batches[0]), batches))
    assert compiled.compiled is not None


@pytest.mark.gpu
@gpu
@pytest.mark.parametrize(("steps", "compiled"), [(100, False), (10**9, True)])
def test_compiling_is_tried_in_a_long_training_and_not_in_a_short_one(
    steps: int, compiled: bool, monkeypatch: pytest.MonkeyPatch
):
    tried: list[bool] = []
    monkeypatch.setattr(torch, "compile", lambda network: tried.append(True) or network)
    training, task = begin(torch.device("cuda"))
    training.length = Length(steps)
    choose_step(training, task, make_batch(0, task.device))
    assert bool(tried) == compiled
    assert training.compiled is None  # it was not faster
