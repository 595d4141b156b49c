"""Laws of checkpoints: whole or not there, the previous one kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from autoseg.errors import CorruptError, ResourceError
from autoseg.training import checkpoint as checkpoints
from autoseg.training.checkpoint import (
    Checkpoint,
    Keeper,
    load_checkpoint,
    pack_optimizer,
    save_checkpoint,
    unpack_optimizer,
)
from autoseg.training.muon import Muon


def a_checkpoint(value: float) -> Checkpoint:
    return Checkpoint({"network/weight": torch.full((2, 3), value)}, {"step": value})


def test_what_was_saved_last_is_loaded_and_one_before_it_is_kept(tmp_path: Path):
    assert load_checkpoint(tmp_path) is None
    for step in (10, 20, 30):
        save_checkpoint(tmp_path, step, a_checkpoint(step))
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded.facts["step"] == 30
    assert loaded.tensors["network/weight"].tolist() == [[30.0] * 3] * 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step_000000020.json", "step_000000020.safetensors",
        "step_000000030.json", "step_000000030.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize("ending", [".safetensors", ".json"])
@pytest.mark.parametrize("damage", ["cut short", "changed", "gone"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, ending: str, damage: str
):
    for step in (10, 20):
        save_checkpoint(tmp_path, step, a_checkpoint(step))
    path = tmp_path / f"step_000000020{ending}"
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "cut short":
        path.write_bytes(content[:-7])
    else:
        path.write_bytes(content[:-9] + b"X" + content[-8:])
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded.facts["step"] == 10
    if (ending, damage) != (".safetensors", "gone"):
        assert "continuing from step_000000010.safetensors" in caplog.text


def test_a_damaged_checkpoint_does_not_take_the_place_of_a_whole_one(tmp_path: Path):
    for step in (10, 20):
        save_checkpoint(tmp_path, step, a_checkpoint(step))
    (tmp_path / "step_000000020.safetensors").write_bytes(b"")
    save_checkpoint(tmp_path, 12, a_checkpoint(12))
    assert sorted(path.name for path in tmp_path.glob("*.json")) == [
        "step_000000010.json", "step_000000012.json",
    ]  # fmt: skip


def test_without_any_whole_checkpoint_nothing_is_begun_anew(tmp_path: Path):
    for step in (10, 20):
        save_checkpoint(tmp_path, step, a_checkpoint(step))
    for path in tmp_path.glob("*.safetensors"):
        path.write_bytes(b"")
    with pytest.raises(CorruptError, match=r"no checkpoint is whole.*--overwrite"):
        load_checkpoint(tmp_path)


def test_a_first_save_that_was_cut_short_counts_as_none(tmp_path: Path):
    (tmp_path / "step_000000010.safetensors").write_bytes(b"half")
    assert load_checkpoint(tmp_path) is None


def test_nan_is_never_saved(tmp_path: Path):
    save_checkpoint(tmp_path, 10, a_checkpoint(1.0))
    with pytest.raises(CorruptError, match="'network/weight' holds NaN"):
        save_checkpoint(tmp_path, 20, a_checkpoint(float("nan")))
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    assert loaded.facts["step"] == 1.0


@pytest.mark.parametrize("name", ["muon", "adamw", "sgd"])
def test_an_optimiser_goes_on_bit_for_bit_from_its_tensors(name: str):
    def fresh():
        torch.manual_seed(0)
        network = torch.nn.Conv1d(16, 16, 2)
        make = {
            "muon": lambda p: Muon(p, 0.01, 0.01),
            "adamw": lambda p: torch.optim.AdamW(p, 0.01, fused=True),
            "sgd": lambda p: torch.optim.SGD(p, 0.01, momentum=0.9, nesterov=True),
        }
        return network, make[name](network.parameters())

    def step(network: torch.nn.Module, optimizer: torch.optim.Optimizer, number: int) -> None:
        x = torch.randn(4, 16, 5, generator=torch.Generator().manual_seed(number))
        optimizer.zero_grad()
        network(x).pow(2).sum().backward()
        optimizer.step()

    straight, broken = fresh(), fresh()
    for number in range(6):
        step(*straight, number)
    for number in range(3):
        step(*broken, number)
    resumed = fresh()
    resumed[0].load_state_dict(broken[0].state_dict())
    unpack_optimizer(resumed[1], pack_optimizer(broken[1]))
    for number in range(3, 6):
        step(*resumed, number)
    assert torch.equal(straight[0].weight, resumed[0].weight)


def test_a_full_disk_stops_a_training_the_third_time_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def full(*_: object) -> None:
        raise ResourceError("the disk is full")

    keeper = Keeper(tmp_path)
    monkeypatch.setattr(checkpoints, "save_checkpoint", full)
    keeper.save(1, a_checkpoint(1))
    keeper.save(2, a_checkpoint(1))
    assert caplog.text.count("trying again later") == 2
    with pytest.raises(ResourceError):
        keeper.save(3, a_checkpoint(1))
    with pytest.raises(ResourceError):
        Keeper(tmp_path).save(1, a_checkpoint(1), must=True)


def test_checkpoints_are_due_by_the_clock(tmp_path: Path):
    now = [0.0]
    keeper = Keeper(tmp_path, clock=lambda: now[0])
    now[0] = 59.0
    assert not keeper.is_due()
    now[0] = 61.0
    assert keeper.is_due()
    keeper.save(1, a_checkpoint(1))
    assert not keeper.is_due()
