"""The voxels that pass a network are counted as they are."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from autoseg.bundle_reader import load_bundle
from autoseg.config import PredictConfig
from autoseg.inference import pace
from autoseg.inference.effort import Effort
from autoseg.inference.pace import seconds_per_voxel, voxels_to_score, with_effort
from autoseg.inference.predictor import load_predictor

CPU = torch.device("cpu")


@pytest.fixture
def predictor(bundle_folder):
    return load_predictor(load_bundle(bundle_folder), PredictConfig(speed="accurate"), CPU)


class Counting(torch.nn.Module):
    """A network that counts the voxels it sees."""

    def __init__(self, network, seen):
        super().__init__()
        self.network, self.seen = network, seen

    def forward(self, x):
        self.seen.append(x[:, 0].numel())
        return self.network(x)


@pytest.mark.parametrize("shape", [(9, 10, 11), (20, 24, 16), (33, 50, 21)])
@pytest.mark.parametrize(
    "effort",
    [Effort(2, "all", 0.5, False), Effort(2, "half", 0.5, True), Effort(1, "off", 0.75, True)],
)
def test_as_many_voxels_pass_as_are_counted(predictor, shape, effort):
    seen = []
    counting = dataclasses.replace(
        predictor, networks=tuple(Counting(network, seen) for network in predictor.networks)
    )
    less = with_effort(counting, effort)
    less(np.random.default_rng(0).normal(0, 1, (1, *shape)).astype(np.float32))
    assert sum(seen) == voxels_to_score(less, shape)


def test_an_effort_is_the_speed_of_that_name(bundle_folder, predictor):
    for speed, effort in (("balanced", ("half", 0.5, True)), ("fast", ("off", 0.75, True))):
        named = load_predictor(load_bundle(bundle_folder), PredictConfig(speed=speed), CPU)
        ours = with_effort(predictor, Effort(2, *effort))
        assert (ours.flips, ours.step, ours.grow) == (named.flips, named.step, named.grow)


def test_a_voxel_s_time_is_that_of_a_round_of_tiles(predictor, monkeypatch):
    rounds = []

    def timed(predictor, array):
        rounds.append(voxels_to_score(predictor, array.shape[1:]))
        return 4.0

    monkeypatch.setattr(pace, "_timed", timed)
    assert seconds_per_voxel(predictor) == pytest.approx(4.0 / rounds[0])
    assert len(rounds) == 1
    monkeypatch.setattr(pace, "SHORT_S", 5.0)
    seconds_per_voxel(predictor)
    assert len(rounds) == 3
