"""A small model that needs no training: random weights, the rest as a plan would have it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from autoseg.bundle_writer import save_weights
from autoseg.config import TrainConfig
from autoseg.labels import Labels
from autoseg.networks import build_network
from autoseg.plan import Configuration, Design, IntensityStats, NetworkSpec, Plan

ONE, TWO, THREE = (1, 1, 1), (2, 2, 2), (3, 3, 3)


def make_plan(labels: Labels | None = None, patch: tuple[int, int, int] = (16, 24, 16)) -> Plan:
    spec = NetworkSpec("plain_unet", (4, 8, 8), (ONE, TWO, TWO), (THREE,) * 3, (1, 1, 1), (1, 1))
    configuration = Configuration(
        name="3d_fullres",
        spacing=(1.0, 1.0, 1.0),
        median_shape=(20, 24, 20),
        normalizers=("zscore",),
        mask_normalization=(False,),
        batch_dice=False,
        sizes={size: Design(patch, 2, spec) for size in ("S", "M", "M-residual")},
    )
    return Plan(
        dataset="TOY",
        channels=("MR",),
        labels=labels or Labels({"anterior": (1,), "posterior": (2,)}),
        axis_order=(0, 1, 2),
        intensities=(IntensityStats(0.0, 1.0, -2.0, 2.0, -3.0, 3.0),),
        configurations={"3d_fullres": configuration},
        reasons=(),
    )


def make_weights(plan: Plan, seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    spec = plan.configurations["3d_fullres"].sizes["S"].network
    network = build_network(spec, len(plan.channels), plan.labels.channels)
    return dict(network.state_dict())


def make_bundle(
    folder: Path, folds: tuple[str, ...] = ("0",), plan: Plan | None = None, size: str = "S"
) -> Path:
    plan = plan or make_plan()
    for fold in folds:
        seed = sum(map(ord, fold))
        weights = make_weights(plan, seed)
        config = TrainConfig(seed=seed)
        save_weights(folder, fold, weights, plan, "3d_fullres", size, config, {"steps": 3})
    return folder


@pytest.fixture
def bundle_folder(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle", ("0", "1"))
