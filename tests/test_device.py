"""Laws of the choice of device and precision."""

from __future__ import annotations

import pytest
import torch

from autoseg import device as devices
from autoseg.device import (
    autocast,
    explained_memory,
    is_faster,
    pick_device,
    pick_precision,
    release_memory,
)
from autoseg.errors import ResourceError, UsageError

CPU = torch.device("cpu")


class Clock:
    """A clock that no other process can disturb: only sleeping, and looking at it, takes time."""

    now = 0.0

    def perf_counter(self) -> float:
        self.now += 1e-6
        return self.now

    monotonic = perf_counter

    def sleep(self, seconds: float) -> None:
        self.now += seconds


CLOCK = Clock()


@pytest.fixture(autouse=True)
def _short_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "PROBE_SECONDS", 0.02)
    monkeypatch.setattr(devices, "time", CLOCK)


def sleeper(float32: float, bfloat16: float, calls: list[torch.dtype] | None = None):
    def step(dtype: torch.dtype) -> None:
        if calls is not None:
            calls.append(dtype)
        CLOCK.sleep(float32 if dtype == torch.float32 else bfloat16)

    return step


def test_the_faster_precision_is_chosen_and_the_reason_holds_both_times():
    dtype, reason = pick_precision(sleeper(0.02, 0.005), CPU)
    assert dtype == torch.bfloat16
    assert reason.startswith("bfloat16: a step takes 0.02")
    assert "in float32" in reason


def test_slower_bfloat16_leads_to_float32_after_a_single_step_of_it():
    calls: list[torch.dtype] = []
    dtype, _ = pick_precision(sleeper(0.005, 0.1, calls), CPU)
    assert dtype == torch.float32
    assert calls.count(torch.bfloat16) == 1


def test_a_gain_below_ten_per_cent_is_not_worth_the_accuracy():
    assert pick_precision(sleeper(0.0200, 0.0195), CPU)[0] == torch.float32
    assert not is_faster(lambda: CLOCK.sleep(0.0195), lambda: CLOCK.sleep(0.02), CPU)


def test_a_precision_that_the_device_refuses_is_not_chosen():
    def step(dtype: torch.dtype) -> None:
        if dtype != torch.float32:
            raise RuntimeError("no bfloat16 here")

    dtype, reason = pick_precision(step, CPU)
    assert dtype == torch.float32
    assert "no bfloat16 here" in reason


def test_autocast_computes_in_the_chosen_precision():
    layer = torch.nn.Linear(4, 4)
    with autocast(CPU, torch.bfloat16):
        assert layer(torch.ones(1, 4)).dtype == torch.bfloat16
    with autocast(CPU, torch.float32):
        assert layer(torch.ones(1, 4)).dtype == torch.float32


def test_devices_that_are_none_and_devices_that_are_not_there_are_told_apart():
    assert pick_device("cpu") == CPU
    with pytest.raises(UsageError, match=r"unknown device 'cdua'.*did you mean 'cuda'"):
        pick_device("cdua")
    if not torch.cuda.is_available():
        with pytest.raises(ResourceError, match="--device cpu"):
            pick_device("cuda")
        assert pick_device(None) == CPU


def test_out_of_memory_says_what_to_change():
    with (
        pytest.raises(ResourceError, match="out of memory while training -> a smaller --size"),
        explained_memory("training", "a smaller --size"),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(RuntimeError, match="shapes differ"), explained_memory("training", ""):
        raise RuntimeError("shapes differ")


def test_memory_of_a_graphics_card_is_given_back(monkeypatch):
    emptied = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append("cache"))
    release_memory(CPU)
    assert emptied == []
    release_memory(torch.device("cuda"))
    assert emptied == ["cache"]
