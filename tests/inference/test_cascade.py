"""Two stages, one after the other: what the second one is given, mirrored and in tiles."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import nn

from autoseg.bundle_reader import load_bundle, open_bundle
from autoseg.bundle_writer import save_weights
from autoseg.config import PredictConfig, TrainConfig
from autoseg.image import Geometry, Image
from autoseg.inference.array_predictor import build_predictor
from autoseg.inference.export import decode_restored
from autoseg.inference.predictor import (
    Predictor,
    load_stages,
    predict_image,
    run_stages,
)
from autoseg.labels import Labels
from autoseg.networks import build_network
from autoseg.plan import Plan
from autoseg.preprocessing.prepare import prepare, prepare_labels
from autoseg.preprocessing.previous import with_previous
from tests.inference.conftest import make_bundle, make_plan

CPU = torch.device("cpu")
SIDES = Labels({"kidney_left": (4,), "liver": (2,), "kidney_right": (9,)})


def cascade_plan(labels: Labels | None = None) -> Plan:
    """A plan whose 3d_cascade_fullres continues a 3d_lowres of half the resolution."""
    plan = make_plan(labels)
    full = plan.configurations["3d_fullres"]
    coarse = dataclasses.replace(full, name="3d_lowres", spacing=(2.0, 2.0, 2.0))
    fine = dataclasses.replace(full, name="3d_cascade_fullres", previous="3d_lowres")
    return dataclasses.replace(
        plan, configurations={"3d_lowres": coarse, "3d_fullres": full, fine.name: fine}
    )


def make_cascade(folder: Path, plan: Plan, folds: tuple[str, ...] = ("0", "1")) -> Path:
    """Write `folder`/lowres and `folder`/cascade with random weights; return the latter."""
    for name, fold in [("3d_lowres", f) for f in folds] + [("3d_cascade_fullres", "0")]:
        torch.manual_seed(len(name) + int(fold))
        spec = plan.configurations[name].sizes["S"].network
        network = build_network(spec, plan.input_channels(name), plan.labels.channels)
        last = name == "3d_cascade_fullres"
        previous = open_bundle(folder / "lowres") if last else None
        save_weights(
            folder / ("cascade" if last else "lowres"), fold, network.state_dict(), plan, name,
            "S", TrainConfig(), {}, previous=previous,
        )  # fmt: skip
    return folder / "cascade"


class Masks(nn.Module):
    """A network whose scores are the masks it is given."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        masks = x[:, 1:]
        return [torch.cat([1 - masks.sum(1, keepdim=True), masks], 1)]


def test_masks_reach_the_network_at_their_place_whatever_is_mirrored() -> None:
    plan = cascade_plan(SIDES)
    design = plan.configurations["3d_cascade_fullres"].sizes["S"]
    config = PredictConfig(speed="accurate")
    predict = build_predictor([Masks()], plan, design, TrainConfig(), config, CPU, cascade=True)
    assert len(predict.flips) == 8
    rng = np.random.default_rng(0)
    indices = rng.integers(0, 4, (20, 30, 19)).astype(np.uint8)
    scores = predict(with_previous(rng.normal(size=(1, 20, 30, 19)).astype(np.float32), indices))
    expected = np.stack([indices == channel for channel in (0, 2, 1, 3)])  # values 2, 4, 9
    torch.testing.assert_close(scores, torch.from_numpy(expected).float())


def test_a_small_scan_is_padded_with_background() -> None:
    plan = cascade_plan()
    design = plan.configurations["3d_cascade_fullres"].sizes["S"]
    predict = build_predictor([Masks()], plan, design, TrainConfig(), PredictConfig(), CPU, True)
    indices = np.ones((3, 4, 5), dtype=np.uint8)
    scores = predict(with_previous(np.zeros((1, 3, 4, 5), np.float32), indices))
    assert (scores.argmax(0) == 1).all()


def test_the_second_stage_gets_the_first_ones_labels_on_its_own_grid(tmp_path: Path) -> None:
    plan = cascade_plan()
    bundle = load_bundle(make_cascade(tmp_path, plan))
    assert [stage.configuration for stage in bundle.stages] == ["3d_lowres", "3d_cascade_fullres"]
    array = np.random.default_rng(1).normal(100, 20, (1, 20, 26, 22)).astype(np.float32)
    image = Image(array, Geometry((20, 26, 22), (1.5, 1.0, 1.0)))
    first, second = load_stages(bundle, PredictConfig(), CPU)
    coarse, coarse_frame = prepare(image, plan, plan.configurations["3d_lowres"])
    label_map = decode_restored(first(coarse), coarse_frame, plan.labels)
    assert len(np.unique(label_map)) > 1
    fine, frame = prepare(image, plan, plan.configurations["3d_cascade_fullres"])
    indices = prepare_labels(label_map, frame, plan.labels)
    expected = decode_restored(second(with_previous(fine, indices)), frame, plan.labels)
    found = predict_image(load_stages(bundle, PredictConfig(), CPU), bundle, image)
    np.testing.assert_array_equal(found, expected)
    blind = second(with_previous(fine, indices * 0))
    assert not np.array_equal(decode_restored(blind, frame, plan.labels), expected)
    program = Predictor(tmp_path / "cascade", device="cpu")
    np.testing.assert_array_equal(program(array, (1.5, 1.0, 1.0)), expected)


def test_one_stage_is_its_predictor(tmp_path: Path) -> None:
    array = np.random.default_rng(1).normal(size=(1, 16, 24, 16)).astype(np.float32)
    bundle = load_bundle(make_bundle(tmp_path))
    image = Image(array, Geometry((16, 24, 16)))
    prepared = prepare(image, bundle.plan, bundle.settings)
    stages = load_stages(bundle, PredictConfig(), CPU)
    scores, frame, searched = run_stages(stages, [prepared], bundle.plan.labels)
    assert torch.equal(scores, stages[0](prepared[0]))
    assert (frame, searched) == (prepared[1], None)
