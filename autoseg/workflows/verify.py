"""The verb `verify`: is a bundle intact, and does it compute here what it computed at its author's?

Hashes say whether a file was changed by accident. Whoever changes a number and its hash as well is
caught by the made-up scan that every fold keeps the result of.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
import platform
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import scipy
import torch
from torch import nn

from autoseg import __version__
from autoseg.architectures import is_of_one_size
from autoseg.bundle import PAGE, TEST, WEIGHTS, BundleInfo, model_id, stage_id
from autoseg.bundle_reader import check_hash, load_bundle, open_bundle
from autoseg.bundle_writer import save_test
from autoseg.config import PredictConfig, TrainConfig
from autoseg.device import describe_device, full_float32, pick_device
from autoseg.errors import AutosegError, CorruptError, DataError, Problem
from autoseg.files import json_text, read_json
from autoseg.inference.array_predictor import build_predictor
from autoseg.inference.export import decode_restored
from autoseg.inference.predictor import load_networks
from autoseg.networks.blocks import Norm
from autoseg.plan import Configuration, Design, Plan
from autoseg.preprocessing.prepare import prepare, restore
from autoseg.preprocessing.previous import previous_indices, with_previous
from autoseg.records import from_json, to_json
from autoseg.sharing.expected import FORMAT, Expected, Found, compare, expect
from autoseg.sharing.tensors import check_tensors, sums
from autoseg.sharing.trial import (
    MOST_VOXELS,
    Trial,
    check_trial,
    draw,
    draw_labels,
    image_hash,
    make_trial,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BundleTest:
    """What `test.json` of a fold holds."""

    format: str
    model_id: str
    trial: Trial
    expected: Expected


@dataclass(frozen=True)
class Verified:
    """One line per fold, and the environment; all is well."""

    lines: tuple[str, ...]
    environment: str


def verify(folder: Path, device: str | None = None, trust: bool = False) -> Verified:
    """Return what was found right about the bundle in `folder`, every fold of it.

    Raises CorruptError listing everything that is not: files whose hash differs, weights that are
    not those of the network, a fold that makes of its test case something else than it did.
    """
    where = pick_device(device)
    environment = describe_environment(where)
    log.info("%s", environment)
    every = tuple(open_bundle(folder, None, trust).fold_cards)
    info = open_bundle(folder, every, trust)
    problems = _shared_problems(info)
    lines = []
    for fold in info.folds:
        line, found = _verify_fold(info, fold, where, trust)
        lines.append(line)
        log.info("%s", line)
        problems += [Problem(f"fold {fold}", fact) for fact in found]
    if problems:
        raise CorruptError(
            "is not what its author saved", place=str(folder), remedy="get it again",
            problems=problems,
        )  # fmt: skip
    if info.previous is not None:
        log.info("its previous stage, %s-%s:", info.previous.configuration, info.previous.size)
        verify(info.previous.folder, device, trust)
    return Verified(tuple(lines), environment)


def describe_environment(device: torch.device) -> str:
    """Return one line: versions, and where is computed."""
    versions = f"torch {torch.__version__}, numpy {np.__version__}, scipy {scipy.__version__}"
    python = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    return f"autoseg {__version__}, {versions}, {python}, {describe_device(device)}, float32"


def _shared_problems(info: BundleInfo) -> list[Problem]:
    problems = []
    identity = model_id(
        info.plan, info.configuration, info.size, info.config, stage_id(info.previous)
    )
    if identity != info.card.model_id:
        fact = "the plan is not the one that the model was trained by"
        problems.append(Problem("plan.json", fact))
    if PAGE in info.card.sha256:
        try:
            remedy = f"autoseg card -m {info.folder} --set NAME=TEXT states things and writes it"
            check_hash(info.folder / PAGE, info.card.sha256[PAGE], remedy)
        except CorruptError as error:
            problems.append(Problem(PAGE, error.fact, error.expected, error.remedy))
    return problems


def _verify_fold(
    info: BundleInfo, fold: str, device: torch.device, trust: bool
) -> tuple[str, list[str]]:
    """Return the line about one fold, and what is wrong with it."""
    path = info.folder / f"fold_{fold}"
    try:
        plan = info.plan
        check_hash(path / WEIGHTS, info.fold_cards[fold].sha256)
        channels = plan.input_channels(info.configuration), plan.labels.channels
        check_tensors(path / WEIGHTS, info.design.network, *channels)
        bundle = load_bundle(info.folder, [fold], trust)
        (network,) = load_networks(bundle)
        weights = len(bundle.weights[fold])
        if not info.fold_cards[fold].test_sha256:
            why = "saved by an older version"
            return f"fold {fold}: {weights} tensors intact; no test case ({why})", []
        test = read_test(info, fold)
        found = _run(
            test.trial, network, plan, bundle.settings, bundle.design, bundle.config, device, trust
        )
    except AutosegError as error:
        told = str(error).replace(f"{info.folder}/", "")  # it may be a copy that goes away
        return f"fold {fold}: {told}", [told]
    compared = compare(test.expected, found, plan.labels)
    if compared.problems:
        return f"fold {fold}: {'; '.join(compared.problems)}", list(compared.problems)
    line = (
        f"fold {fold}: {weights} tensors intact; test case: scores within {compared.difference:.1e}"
        f" of their standard deviation, {compared.changed} of {compared.voxels:,} voxels "
        "with another label"
    )
    return line + (" (near ties)" if compared.changed else ""), []


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
    found = _run(trial, network, plan, settings, design, config, device, trust)
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


def _run(
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
