"""The verb `verify`: is a bundle intact, and does it compute here what it computed at its author's?

Hashes say whether a file was changed by accident. Whoever changes a number and its hash as well is
caught by the made-up scan that every fold keeps the result of.
"""

from __future__ import annotations

import logging
import platform
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy
import torch

from autoseg import __version__
from autoseg.bundle import PAGE, WEIGHTS, BundleInfo, model_id, stage_id
from autoseg.bundle_reader import check_hash, load_bundle, open_bundle
from autoseg.device import describe_device, pick_device
from autoseg.errors import AutosegError, CorruptError, Problem
from autoseg.inference.predictor import load_networks
from autoseg.sharing.expected import compare
from autoseg.sharing.tensors import check_tensors
from autoseg.workflows.trial_run import read_test, run_trial

log = logging.getLogger(__name__)


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
        found = run_trial(
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
