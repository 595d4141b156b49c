"""The loaded models of a prediction, and a case made ready for each of them."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from autoseg.bundle import Bundle
from autoseg.bundle_reader import load_bundle
from autoseg.dataset import Case
from autoseg.device import describe_device, pick_device, pinned
from autoseg.errors import DataError, ResourceError
from autoseg.hardware import memory_bytes
from autoseg.image import Geometry, Image
from autoseg.inference.array_predictor import ArrayPredictor
from autoseg.inference.predictor import load_stages
from autoseg.io import read_case, read_labels
from autoseg.plan import Plan
from autoseg.preprocessing.prepare import Frame, prepare
from autoseg.preprocessing.previous import previous_indices, with_previous
from autoseg.rules import Rules
from autoseg.workflows.predict_budget import Budget
from autoseg.workflows.predict_guard import Warnings, announce, guard_scan
from autoseg.workflows.predict_seconds import Stopwatch
from autoseg.workflows.predict_task import Task

log = logging.getLogger(__name__)

NO_MEMORY = "fewer models at once (-m), a machine with more memory, or a smaller part of the scan"


@dataclass(frozen=True)
class Prepared:
    """A case as each model sees it; no arrays when the image holds nothing but zeros."""

    geometry: Geometry
    arrays: tuple[tuple[tuple[np.ndarray, Frame], ...], ...]  # per model: as each stage sees it
    seconds: float  # that reading and preparing took
    warnings: Warnings = ()


@dataclass(frozen=True)
class Engine:
    """The loaded models."""

    bundles: tuple[Bundle, ...]
    predictors: tuple[tuple[ArrayPredictor, ...], ...]  # per model: its stages
    trust: bool
    rules: Rules
    budget: Budget | None = None

    @property
    def plan(self) -> Plan:
        """The plan of the first model, whose targets and channels all of them share."""
        return self.bundles[0].plan

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.predictors[0][-1].device


def load_engine(task: Task, interrupt: Callable[[], None]) -> Engine:
    """Return the models of `task`; they call `interrupt`, which may raise, between tiles."""
    where, chosen = pick_device(task.device), task.chosen
    bundles = tuple(load_bundle(info.folder, info.folds, chosen.trust) for info in chosen.models)
    log.info("predicting on %s", describe_device(where))
    announce(bundles, task.strict)
    loaded = (load_stages(bundle, task.config, where) for bundle in bundles)
    predictors = (tuple(replace(stage, interrupt=interrupt) for stage in s) for s in loaded)
    engine = Engine(bundles, tuple(predictors), chosen.trust, chosen.rules)
    if task.budget_s is None:
        return engine
    folds = tuple(info.folds for info in chosen.models)
    return replace(engine, budget=Budget(task.budget_s, task.efforts, engine.predictors, folds))


def rounds(prepared: Prepared, engine: Engine) -> int:
    """Return how often the engine will call its `interrupt` for a case, at most."""
    return sum(
        stage.rounds(array.shape[1:])
        for stages, arrays in zip(engine.predictors, prepared.arrays, strict=False)
        for stage, (array, _) in zip(stages[-len(arrays) :], arrays, strict=True)
    )


def warm_up(engine: Engine) -> None:
    """Predict a patch of noise with every model, so that the first case meets nothing new."""
    for stage in itertools.chain(*engine.predictors):
        channels = len(stage.plan.channels) + stage.cascade
        noise = np.random.default_rng(0).normal(0, 1, (channels, *stage.design.patch_size))
        if stage.cascade:
            noise[-1] = 0  # value indices
        stage(noise.astype(np.float32))


def prepare_case(case: Case, engine: Engine, strict: bool) -> Prepared:
    """Read a case and prepare it for every stage of every model; `strict` refuses unlike ones."""
    watch = Stopwatch()
    image = read_case(case, len(engine.plan.channels))
    if not np.isfinite(image.array).all():
        count = int((~np.isfinite(image.array)).sum())
        raise DataError(f"{count} voxels are NaN or infinite", place=case.images[0].name)
    if not image.array.any():
        return Prepared(image.geometry, (), watch.lap())
    warnings = guard_scan(case.id, image, engine.bundles, strict)
    given = None if case.previous is None else read_labels(case.previous).array[0]
    arrays = [
        tuple(
            (pinned(array, engine.device), frame)
            for array, frame in _prepare_stages(image, bundle, given, engine.trust)
        )
        for bundle in engine.bundles
    ]
    return Prepared(image.geometry, tuple(arrays), watch.lap(), warnings)


def _prepare_stages(
    image: Image, bundle: Bundle, given: np.ndarray | None, trust: bool
) -> tuple[tuple[np.ndarray, Frame], ...]:
    """Return the scan as each stage sees it; the last alone when the label map is `given`."""
    if given is None or bundle.previous is None:
        return tuple(prepare(image, s.plan, s.settings, trust) for s in bundle.stages)
    array, frame = prepare(image, bundle.plan, bundle.settings, trust)
    indices = previous_indices(given, frame, bundle.plan.labels)
    return ((with_previous(array, indices), frame),)


def check_memory(prepared: Prepared, engine: Engine) -> None:
    """Raise ResourceError when the scores of all models cannot be held by this machine.

    The system would end the process, and with it all other cases, without a word.
    """
    shapes = [stages[-1][0].shape[1:] for stages in prepared.arrays]
    needed = 4 * engine.plan.labels.channels * sum(map(math.prod, shapes))
    there = memory_bytes()
    if engine.device.type == "cpu" and 0 < there < needed:
        fact = f"scores of {' + '.join('x'.join(map(str, s)) for s in shapes)} voxels take "
        raise ResourceError(
            f"{fact}{needed / 1e9:.3g} GB, and there are {there / 1e9:.3g} GB", remedy=NO_MEMORY
        )
