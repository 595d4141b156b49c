"""When memory is too small for as many tiles as were planned: fewer at once, and it is said."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from autoseg.config import PredictConfig, TrainConfig
from autoseg.inference import array_predictor as module
from autoseg.inference.array_predictor import ArrayPredictor, build_predictor
from autoseg.inference.runtime import GPU_TILES, Room, choose_load, tile_bytes

from .conftest import make_plan

CPU = torch.device("cpu")
TILES = 7 * 5 * 5  # of 64x72x48 voxels, in patches of 16x24x16 at a step of 0.5
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


class Narrow(nn.Module):
    """A network for at most `most` tiles at once, which counts those it has seen."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.seen = most, []

    def forward(self, tiles):
        if len(tiles) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.seen.append(len(tiles))
        return [torch.cat([tiles, tiles**2, 1 - tiles], 1)]


def narrow_predictor(most: int, device: torch.device = CPU) -> ArrayPredictor:
    plan = make_plan()
    design = plan.configurations["3d_fullres"].sizes["S"]
    return build_predictor(
        [Narrow(most)], plan, design, TrainConfig(), PredictConfig(speed="accurate"), device
    )


def scan(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (1, 64, 72, 48)).astype(np.float32)


def test_the_batch_is_halved_with_a_line_and_stays_so_for_the_cases_after(caplog):
    predict = narrow_predictor(most=4)
    planned = predict.load((16, 24, 16)).batch
    assert planned > 16
    scores = predict(scan())
    lines = [record.getMessage() for record in caplog.records]
    batches = [planned // 2**n for n in range(9) if planned // 2**n > 4]
    expected = [f"out of memory with {b} tiles at once: from here on {b // 2}" for b in batches]
    assert lines == expected
    seen = predict.networks[0].seen
    # A group of tiles is tried again from its beginning, so at most that is seen more often.
    assert TILES * 8 <= sum(seen) <= TILES * 8 + planned * 4
    torch.testing.assert_close(scores, narrow_predictor(most=10**6)(scan()), rtol=1e-5, atol=1e-5)
    caplog.clear()
    del seen[:]
    predict(scan(1))
    assert not caplog.records
    assert sum(seen) == TILES * 8
    assert max(seen) <= 4


def test_a_network_that_cannot_take_a_single_tile_is_an_error(caplog):
    with pytest.raises(torch.OutOfMemoryError, match="too small for a single tile"):
        narrow_predictor(most=0)(scan())
    assert caplog.records[-1].getMessage() == "out of memory with 3 tiles at once: from here on 1"


def test_less_room_is_remembered_and_never_more_than_planned():
    room = Room()
    assert room.of(64) == 64
    room.halve(64)
    assert (room.of(64), room.of(5)) == (32, 5)
    room.halve(64)
    assert room.of(64) == 16


def test_many_targets_leave_room_for_fewer_tiles_on_a_gpu():
    design, cuda = make_plan().configurations["3d_fullres"].sizes["S"], torch.device("cuda")
    tile = (128, 128, 128)
    # 5 maps of 4 features, and three copies of the scores, in float32
    assert tile_bytes(tile, design, 117) == 4 * 128**3 * (5 * 4 + 3 * 117)
    few, many = (choose_load(tile, design, cuda, channels).batch for channels in (3, 117))
    assert (few, many) == (17, 1)
    assert choose_load((8, 8, 8), design, cuda, 3).batch == GPU_TILES


@GPU
def test_a_case_that_does_not_fit_on_the_gpu_is_kept_in_main_memory(monkeypatch, caplog):
    cuda = torch.device("cuda")
    expected = narrow_predictor(64, cuda)(scan())
    assert expected.device.type == "cuda"
    assert not caplog.records
    monkeypatch.setattr(module, "free_bytes", lambda device: 1000)
    scores = narrow_predictor(64, cuda)(scan())
    assert scores.device.type == "cpu"
    assert "it is kept in main memory" in caplog.text
    torch.testing.assert_close(scores, expected.cpu(), rtol=1e-5, atol=1e-5)


@GPU
def test_a_gpu_is_waited_for_twice_a_case():
    from autoseg.device import pinned

    cuda = torch.device("cuda")
    predict = narrow_predictor(64, cuda)
    array = pinned(scan(), cuda)
    predict(array)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with pytest.warns(UserWarning, match="synchroniz") as caught:
            predict(array)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    waits = [warning for warning in caught if "synchroniz" in str(warning.message)]
    # Which tiles show the same, and whether all scores are finite.
    assert len(waits) == 2


@pytest.mark.parametrize("most", [10**6, 2])
def test_how_often_a_prediction_can_be_interrupted_is_known(most):
    calls = []
    predict = dataclasses.replace(narrow_predictor(most), interrupt=lambda: calls.append(1))
    predict(scan())  # with little memory, now it is known how little
    calls.clear()
    predict(scan())
    assert len(calls) == predict.rounds((64, 72, 48)) > 1
