"""What a training decides when it begins."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from autoseg.config import TrainConfig
from autoseg.device import pick_precision
from autoseg.training import decide as module
from autoseg.training.batch import Batch
from autoseg.training.budget import Budget
from autoseg.training.decide import decide, has_shallow_stage


def make_batch(depth: int) -> Batch:
    return Batch(
        image=torch.zeros(2, 1, depth, 8, 8),
        target=torch.zeros(2, depth, 8, 8, dtype=torch.uint8),
        annotated=torch.ones(2, 1, dtype=torch.bool),
        spacing_mm=torch.ones(2, 3),
    )


@pytest.mark.parametrize(
    ("depth", "kernel", "shallow"),
    [(2, (3, 3, 3), True), (4, (3, 3, 3), False), (2, (1, 3, 3), False), (1, (3, 3, 3), False)],
)
def test_a_layer_two_voxels_deep_is_found(depth: int, kernel: tuple, shallow: bool):
    padding = tuple(width // 2 for width in kernel)
    network = nn.Sequential(nn.Conv3d(1, 2, kernel, padding=padding))
    assert has_shallow_stage(network, make_batch(depth)) == shallow
    assert network.training


@pytest.mark.parametrize(("depth", "precision"), [(2, "float32"), (4, "bfloat16")])
def test_bfloat16_is_not_taken_where_its_gradients_are_wrong(
    monkeypatch: pytest.MonkeyPatch, depth: int, precision: str
):
    assert module.pick_precision is pick_precision
    monkeypatch.setattr(
        module, "pick_precision", lambda step, device, seconds: (torch.bfloat16, "faster")
    )
    network = nn.Sequential(nn.Conv3d(1, 2, 3, padding=1))
    decision = decide(
        network, make_batch(depth), lambda scores, batch: scores[0].sum(), TrainConfig(), Budget(),
        lambda: 0.0, (10, "10 steps"), torch.device("cpu"),
    )  # fmt: skip
    assert decision.precision == precision
    assert ("two voxels deep" in decision.reasons[0]) == (precision == "float32")


def test_probing_takes_its_share_of_a_short_budget_and_nothing_of_a_spent_one(
    monkeypatch: pytest.MonkeyPatch,
):
    asked: list[float] = []

    def pick(step, device, seconds):
        asked.append(seconds)
        return torch.float32, "float32: tried"

    monkeypatch.setattr(module, "pick_precision", pick)
    network = nn.Sequential(nn.Conv3d(1, 2, 3, padding=1))

    def reasons(left: float) -> tuple[str, ...]:
        return decide(
            network, make_batch(4), lambda scores, batch: scores[0].sum(), TrainConfig(),
            Budget(seconds=600.0), lambda: left, (10, "10 steps"), torch.device("cpu"),
        ).reasons  # fmt: skip

    for left in (500.0, 20.0):
        assert reasons(left)[0] == "float32: tried"
    assert asked == [1.0, 0.4]
    assert "leaves no time to try" in reasons(-3.0)[0]
    assert len(asked) == 2
