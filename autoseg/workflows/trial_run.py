"""The made-up scan that every fold of a bundle keeps, and what its network makes of it here."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from torch import nn

from autoseg.architectures import is_of_one_size
from autoseg.bundle import TEST, BundleInfo
from autoseg.bundle_reader import check_hash, load_bundle, open_bundle
from autoseg.bundle_writer import save_test
from autoseg.config import PredictConfig, TrainConfig
from autoseg.device import full_float32
from autoseg.errors import CorruptError, DataError
from autoseg.files import json_text, read_json
from autoseg.inference.array_predictor import build_predictor
from autoseg.inference.export import decode_restored
from autoseg.inference.predictor import load_networks
from autoseg.networks.blocks import Norm
from autoseg.plan import Configuration, Design, Plan
from autoseg.preprocessing.prepare import prepare, restore
from autoseg.preprocessing.previous import previous_indices, with_previous
from autoseg.records import from_json, to_json
from autoseg.sharing.expected import FORMAT, Expected, Found, expect
from autoseg.sharing.tensors import sums
from autoseg.sharing.trial import (
    MOST_VOXELS,
    Trial,
    check_trial,
    draw,
    draw_labels,
    image_hash,
    make_trial,
)


@dataclass(frozen=True)
class BundleTest:
    """What `test.json` of a fold holds."""

    format: str
    model_id: str
    trial: Trial
    expected: Expected


def read_test(info: BundleInfo, fold: str) -> BundleTest:
    """Return the test case of a fold; CorruptError when its hash or its image is another one."""
    path = info.folder / f"fold_{fold}" / TEST
    check_hash(path, info.fold_cards[fold].test_sha256)
    try:
        test = from_json(BundleTest, read_json(path), str(path))
    except DataError as error:
        raise CorruptError(error.fact, place=error.place) from error
    if test.format != FORMAT:
        raise CorruptError(f"format '{test.format}'", place=str(path), expected=FORMAT)
    check_trial(test.trial, len(info.plan.channels), info.design.patch_size)
    if test.model_id != info.card.model_id:
        raise CorruptError("was made with another plan", place=str(path))
    return test


def write_tests(folder: Path, device: torch.device, trust: bool = False) -> None:
    """Give every fold of a bundle, and of its previous stage, that has none a test case."""
    info = open_bundle(folder, None, trust)
    if info.previous is not None:
        write_tests(info.previous.folder, device, trust)
    for fold, card in info.fold_cards.items():
        if card.test_sha256:
            continue
        bundle = load_bundle(folder, [fold], trust)
        (network,) = load_networks(bundle)
        text = make_test(
            network, bundle.plan, bundle.settings, bundle.design, bundle.config, card.model_id,
            device, trust,
        )  # fmt: skip
        save_test(folder, card, text)


def make_test(
    network: nn.Module, plan: Plan, settings: Configuration, design: Design, config: TrainConfig,
    identity: str, device: torch.device, trust: bool = True,
) -> str:  # fmt: skip
    """Return `test.json` of a network: a made-up scan, and what it makes of it now.

    `identity` is its `model_id`.
    """
    trial = make_trial(plan, settings, design, not is_of_one_size(design.network))
    found = run_trial(trial, network, plan, settings, design, config, device, trust)
    expected = expect(found.image, found.scores, found.label_map, found.weights)
    return json_text(to_json(BundleTest(FORMAT, identity, trial, expected)))


def _canonical(plan: Plan, settings: Configuration) -> list[float | None]:
    """Return the spacing of a configuration (mm) in the order of the axes (Z, Y, X)."""
    return [settings.spacing[plan.axis_order.index(axis)] for axis in range(3)]


def _exact(network: nn.Module, device: torch.device) -> nn.Module:
    """Return a copy that computes variances in full precision, so that processors agree.

    In the layout that is faster on a CPU they lose digits where a mean is large: up to 1e-2 of the
    scores' deviation for a network that saw a CT's constant air.
    """
    network = copy.deepcopy(network).to(device).eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, Norm):
            module.exact = True
    return network


def run_trial(
    trial: Trial, network: nn.Module, plan: Plan, settings: Configuration, design: Design,
    config: TrainConfig, device: torch.device, trust: bool,
) -> Found:  # fmt: skip
    """Return what a network makes of the scan here and now, in float32."""
    image = draw(trial)
    if image_hash(image) != trial.image_sha256:
        raise CorruptError("the scan of the test case cannot be drawn as it was")
    wanted = _canonical(plan, settings)
    finer = [own / (mm or own) for own, mm in zip(trial.spacing, wanted, strict=True)]
    if prod(n * f for n, f in zip(trial.shape, finer, strict=True)) > MOST_VOXELS:
        raise CorruptError("the plan would resample the test case beyond all measure")
    ask = PredictConfig(speed="accurate", step=trial.step, mirror=trial.mirror)
    smaller = dataclasses.replace(design, patch_size=trial.tile)
    cascade = settings.previous is not None
    with full_float32():
        predict = build_predictor([network], plan, smaller, config, ask, device, cascade)
        predict = dataclasses.replace(predict, networks=(_exact(network, device),))
        array, frame = prepare(image, plan, settings, trust)
        if cascade:
            before = previous_indices(draw_labels(trial, plan.labels), frame, plan.labels)
            array = with_previous(array, before)
        scores = predict(array).cpu()
    label_map = decode_restored(scores, frame, plan.labels)
    background = 0 if plan.labels.exclusive else None
    restored = restore(scores.numpy(), frame, background)
    return Found(array, scores.numpy(), restored, label_map, sums(network.state_dict()))
