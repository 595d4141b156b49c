"""Localising: the same scores around what was found, background elsewhere, all when nothing was."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from autoseg.config import PredictConfig, TrainConfig
from autoseg.image import Geometry
from autoseg.inference.array_predictor import ArrayPredictor, build_predictor
from autoseg.inference.localise import _around, likely_box, predict_localised
from autoseg.inference.probabilities import NOWHERE, uncertain_box
from autoseg.labels import Labels
from autoseg.preprocessing.prepare import Frame

from .conftest import make_plan

CPU = torch.device("cpu")
SHAPE = (60, 80, 70)
BLOB = (slice(20, 30), slice(40, 52), slice(8, 20))


class Bright(nn.Module):
    """A network for which what is brighter than 1 is the first target; it counts its voxels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.seen: list[int] = []  # several threads append; a sum they would add to wrongly

    @property
    def voxels(self) -> int:
        return sum(self.seen)

    def forward(self, tiles):
        self.seen.append(tiles[:, 0].numel())
        sure = 10 * (tiles[:, :1] - 1)
        first = [-sure, sure] if self.channels == 3 else [sure]
        return [torch.cat([*first, -20 * torch.ones_like(sure)], 1)]


def predictor(
    labels: Labels | None = None, speed: str = "localise", margin_mm: float | None = None
) -> ArrayPredictor:
    plan = make_plan(labels)
    design = plan.configurations["3d_fullres"].sizes["S"]
    network = Bright(plan.labels.channels)
    config = PredictConfig(speed=speed, margin_mm=margin_mm)
    return build_predictor([network], plan, design, TrainConfig(), config, CPU)


def scan(bright: bool = True) -> np.ndarray:
    array = np.random.default_rng(0).uniform(-1, 0, (1, *SHAPE)).astype(np.float32)
    if bright:
        array[(0, *BLOB)] = 2
    return array


def frame_of(shape=SHAPE, spacing=(4.0, 2.0, 1.0)) -> Frame:
    box = tuple((0, size) for size in shape)
    geometry = Geometry(shape, spacing)
    return Frame(geometry, None, (0, 1, 2), box, shape, spacing, spacing)  # type: ignore[arg-type]


@pytest.mark.parametrize("overlapping", [False, True])
def test_scores_are_those_of_the_whole_scan_within_the_margin_and_background_elsewhere(overlapping):
    targets = {"a": (1, 2), "b": (2,)} if overlapping else {"a": (1,), "b": (2,)}
    predict = predictor(Labels(targets), margin_mm=6)
    assert predict.plan.labels.exclusive != overlapping
    scores, box = predict_localised(predict, scan(), frame_of())
    # In cubes of 2x5x10 voxels: 20 to 30, 40 to 55, 0 to 20; 6 mm are 2, 3 and 6 voxels. That is
    # 14x21x26, and a patch is 16x24x16.
    assert box == ((17, 33), (36, 60), (0, 26))
    expected = predictor(Labels(targets), "balanced")(scan())
    inside = (slice(None), *(slice(*side) for side in box))
    torch.testing.assert_close(scores[inside], expected[inside], rtol=1e-4, atol=1e-4)
    found, whole = (predict.plan.labels.decode(s.numpy()) for s in (scores, expected))
    assert np.array_equal(found, whole)
    assert (found == 1).sum() == math.prod(side.stop - side.start for side in BLOB)
    # Where nothing was predicted there are no probabilities to save, either.
    uncertain = uncertain_box([(scores, frame_of())], predict.plan.labels)
    assert all(i[0] <= u[0] < u[1] <= i[1] for u, i in zip(uncertain, box, strict=True))


def test_far_less_passes_the_network():
    quick, thorough = predictor(), predictor(speed="balanced")
    predict_localised(quick, scan(), frame_of(spacing=(4.0, 4.0, 4.0)))
    predict_localised(thorough, scan(), frame_of(spacing=(4.0, 4.0, 4.0)))
    assert quick.networks[0].voxels < 0.5 * thorough.networks[0].voxels


def test_where_nothing_is_found_all_of_the_scan_is_predicted():
    scores, box = predict_localised(predictor(), scan(bright=False), frame_of())
    assert box == NOWHERE
    expected = predictor(speed="balanced")(scan(bright=False))
    torch.testing.assert_close(scores, expected)


def test_a_small_scan_is_predicted_at_once():
    predict = predictor()
    array = scan()[:, 10:42, 20:68, :32]
    assert predict.tiles(array.shape[1:]) == 3 * 3 * 3
    small = array[:, :24, :30, :24]
    assert predict.tiles(small.shape[1:]) <= 8
    _, box = predict_localised(predict, small, frame_of(small.shape[1:]))
    assert box is None
    once = predictor(speed="balanced")
    once(small)
    assert predict.networks[0].voxels == once.networks[0].voxels


def test_other_speeds_do_not_localise():
    assert predict_localised(predictor(speed="fast"), scan(), frame_of())[1] is None


def test_the_first_look_is_one_network_without_mirroring_whose_tiles_overlap_by_a_quarter():
    predict = predictor()
    second = Bright(3)
    both = build_predictor(
        [predict.networks[0], second], predict.plan, predict.design, TrainConfig(),
        PredictConfig(speed="localise"), CPU,
    )  # fmt: skip
    assert len(both.flips) == 4
    predict_localised(both, scan(bright=False), frame_of())
    first, other = (network.voxels for network in both.networks)
    tiles = (5, 5, 6)  # of 16x24x16, at most 12, 18 and 12 voxels apart
    assert first - other == math.prod(tiles) * 16 * 24 * 16


def test_a_box_grows_by_millimetres_to_a_patch_at_least_and_stays_in_the_scan():
    box = ((0, 4), (50, 60), (95, 99))
    # 10 mm: 5, 10, 20 voxels -> 0..9, 40..70, 75..100 (the end); then 30 voxels where they are.
    grown = _around(box, (20, 100, 100), (2.0, 1.0, 0.5), 10.0, (8, 30, 30))
    assert grown == ((0, 9), (40, 70), (70, 100))
    assert _around(box, (20, 100, 100), (2.0, 1.0, 0.5), 0.0, (40, 5, 5))[0] == (0, 20)
    assert _around(((9, 10),) * 3, (20, 20, 20), (1.0,) * 3, 2.5, (1, 1, 1)) == ((6, 13),) * 3


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_cube_of_a_centimetre_counts_by_its_mean_probability(exclusive):
    labels = Labels({"a": (1,), "b": (2,)} if exclusive else {"a": (1, 2), "b": (2,)})
    scores = torch.full((labels.channels, 7, 12, 12), -20.0)
    if exclusive:
        scores[0] = 0.0
    # Cubes of 2x5x10 voxels, 100 of them: nine are too few, eleven are enough.
    spacing, first = (5.0, 2.0, 1.0), int(exclusive)
    scores[first, 0, 0, :9] = 20.0
    assert likely_box(scores, labels, spacing) == NOWHERE
    scores[first, 1, 4, :2] = 20.0
    assert likely_box(scores, labels, spacing) == ((0, 2), (0, 5), (0, 10))
    scores[first, 6, 11, 11] = 20.0  # of the last cube only 1x2x2 voxels are there
    assert likely_box(scores, labels, spacing) == ((0, 7), (0, 12), (0, 12))


def test_exclusive_targets_are_likely_together():
    scores = torch.zeros(3, 2, 2, 2)
    scores[1:] = -2.5  # 7 % each, 14 % together
    labels = Labels({"a": (1,), "b": (2,)})
    assert likely_box(scores, labels, (1.0, 1.0, 1.0)) == ((0, 2), (0, 2), (0, 2))
    scores[1:] = -3.2  # 7 % together
    assert likely_box(scores, labels, (1.0, 1.0, 1.0)) == NOWHERE


class Seen(nn.Module):
    """A network whose scores are the masks of the previous stage; it counts its voxels."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def forward(self, tiles):
        self.seen.append(tiles[:, 0].numel())
        masks = tiles[:, 1:]
        return [20 * torch.cat([1 - masks.sum(1, keepdim=True), masks], 1)]


def test_the_second_stage_of_a_cascade_looks_where_the_first_one_found_something():
    plan = make_plan()
    design = plan.configurations["3d_fullres"].sizes["S"]
    config = PredictConfig(speed="localise", margin_mm=6)
    predict = build_predictor([Seen()], plan, design, TrainConfig(), config, CPU, cascade=True)
    array = np.concatenate([scan(), np.zeros((1, *SHAPE), np.float32)])
    _, box = predict_localised(predict, array, frame_of())
    assert box == NOWHERE
    array[(1, *BLOB)] = 2
    predict.networks[0].seen.clear()
    scores, box = predict_localised(predict, array, frame_of())
    assert box == ((17, 33), (34, 58), (2, 26))
    assert np.array_equal(scores.argmax(0).numpy(), array[1])
    assert (
        sum(predict.networks[0].seen)
        == predict.tiles((16, 24, 24)) * math.prod(predict.tile_size((16, 24, 24))) * 4
    )
