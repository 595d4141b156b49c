"""The part of predicting that computes: cases in, label files out, while the next one is read."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from autoseg.bundle import Bundle, load_bundle
from autoseg.dataset import Case
from autoseg.device import describe_device, explained_memory, pick_device
from autoseg.errors import DataError, ResourceError
from autoseg.files import sha256
from autoseg.hardware import memory_bytes
from autoseg.image import Geometry, Image
from autoseg.inference.effort import effort_json
from autoseg.inference.export import decode_mean
from autoseg.inference.predictor import ArrayPredictor, load_stages, run_stages
from autoseg.inference.probabilities import save_certain_background, save_probabilities
from autoseg.io import read_case, read_labels, write_labels
from autoseg.parallel import Outcome, map_cases, prefetch
from autoseg.plan import Plan
from autoseg.postprocess import Rules, apply_rules, thresholds
from autoseg.preprocessing.prepare import Frame, prepare
from autoseg.preprocessing.previous import previous_indices, with_previous
from autoseg.preprocessing.units import unexpected_units
from autoseg.stopping import StopRequest
from autoseg.workflows.predict_budget import Budget, Stopwatch, WithinBudget
from autoseg.workflows.predict_dicom import write_object
from autoseg.workflows.predict_record import Entry, source_of
from autoseg.workflows.predict_task import Task

log = logging.getLogger(__name__)

NO_MEMORY = "fewer models at once (-m), a machine with more memory, or a smaller part of the scan"


@dataclass(frozen=True)
class Prepared:
    """A case as each model sees it; no arrays when the image holds nothing but zeros."""

    geometry: Geometry
    arrays: tuple[tuple[tuple[np.ndarray, Frame], ...], ...]  # per model: as each stage sees it
    seconds: float  # that reading and preparing took


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
        return self.bundles[0].plan


def predict_cases(
    task: Task, cases: Sequence[Case], stop: StopRequest
) -> Iterator[Outcome[Case, Entry]]:
    """Predict `cases`, write their files, yield what became of each.

    Once `stop` is set, the outcome of the case that is running is the error Stopped.
    """
    engine = _load(task, stop)
    prepared = prefetch(partial(_prepare, engine=engine), cases)

    def finish(case: Case) -> Entry:
        watch = Stopwatch()
        with explained_memory("predicting this case", NO_MEMORY):
            return _finish(case, next(prepared).result(), engine, task, watch)

    yield from map_cases(finish, cases, title="predict")


def _load(task: Task, stop: StopRequest) -> Engine:
    where, chosen = pick_device(task.device), task.chosen
    bundles = tuple(load_bundle(info.folder, info.folds, chosen.trust) for info in chosen.models)
    log.info("predicting on %s", describe_device(where))
    loaded = (load_stages(bundle, task.config, where) for bundle in bundles)
    predictors = (tuple(replace(stage, interrupt=stop.check) for stage in s) for s in loaded)
    engine = Engine(bundles, tuple(predictors), chosen.trust, chosen.rules)
    if task.budget_s is None:
        return engine
    folds = tuple(info.folds for info in chosen.models)
    return replace(engine, budget=Budget(task.budget_s, task.efforts, engine.predictors, folds))


def _prepare(case: Case, engine: Engine) -> Prepared:
    watch = Stopwatch()
    image = read_case(case, len(engine.plan.channels))
    if not np.isfinite(image.array).all():
        count = int((~np.isfinite(image.array)).sum())
        raise DataError(f"{count} voxels are NaN or infinite", place=case.images[0].name)
    if not image.array.any():
        return Prepared(image.geometry, (), watch.lap())
    for warning in unexpected_units(image, engine.plan, engine.bundles[0].settings.normalizers):
        log.warning("%s: %s", case.id, warning)
    given = None if case.previous is None else read_labels(case.previous).array[0]
    arrays = [_prepare_stages(image, bundle, given, engine.trust) for bundle in engine.bundles]
    return Prepared(image.geometry, tuple(arrays), watch.lap())


def _prepare_stages(
    image: Image, bundle: Bundle, given: np.ndarray | None, trust: bool
) -> tuple[tuple[np.ndarray, Frame], ...]:
    """Return the scan as each stage sees it; the last alone when the label map is `given`."""
    if given is None or bundle.previous is None:
        return tuple(prepare(image, s.plan, s.settings, trust) for s in bundle.stages)
    array, frame = prepare(image, bundle.plan, bundle.settings, trust)
    indices = previous_indices(given, frame, bundle.plan.labels)
    return ((with_previous(array, indices), frame),)


def _finish(case: Case, prepared: Prepared, engine: Engine, task: Task, watch: Stopwatch) -> Entry:
    labels, waited_s = engine.plan.labels, watch.lap()
    if not prepared.arrays:
        log.warning("%s: the image is empty (all zero); so is its label map", case.id)
        if task.save_probabilities:
            save_certain_background(task.probabilities_of(case), prepared.geometry, labels)
        nothing = np.zeros(prepared.geometry.shape, dtype=labels.dtype)
        return _write(case, nothing, prepared, engine, task)
    _check_memory(prepared, engine)
    chosen = None if engine.budget is None else _choose(case, prepared, engine.budget, waited_s)
    watch.lap()
    pairs = zip(chosen.models if chosen else engine.predictors, prepared.arrays, strict=True)
    members = [run_stages(stages[-len(arrays) :], arrays, labels) for stages, arrays in pairs]
    networks_s = watch.lap()
    label_map = decode_mean(members, labels, thresholds(engine.rules, labels))
    label_map = apply_rules(label_map, prepared.geometry.spacing, labels, engine.rules)
    if task.save_probabilities:
        save_probabilities(task.probabilities_of(case), members, labels)
    entry = _write(case, label_map, prepared, engine, task)
    if engine.budget is None or chosen is None:
        return entry
    engine.budget.learn(chosen, networks_s, watch.lap(), label_map.size)
    return replace(entry, effort=effort_json(chosen.effort, engine.budget.folds))


def _check_memory(prepared: Prepared, engine: Engine) -> None:
    """Raise ResourceError when the scores of all models cannot be held by this machine.

    The system would end the process, and with it all other cases, without a word.
    """
    device = engine.predictors[0][-1].device
    shapes = [stages[-1][0].shape[1:] for stages in prepared.arrays]
    needed = 4 * engine.plan.labels.channels * sum(map(math.prod, shapes))
    there = memory_bytes()
    if device.type == "cpu" and 0 < there < needed:
        fact = f"scores of {' + '.join('x'.join(map(str, s)) for s in shapes)} voxels take "
        raise ResourceError(
            f"{fact}{needed / 1e9:.3g} GB, and there are {there / 1e9:.3g} GB", remedy=NO_MEMORY
        )


def _choose(case: Case, prepared: Prepared, budget: Budget, waited_s: float) -> WithinBudget:
    shapes = [[array.shape[1:] for array, _ in stages] for stages in prepared.arrays]
    voxels = math.prod(prepared.geometry.shape)
    return budget.choose(case.id, shapes, voxels, waited_s, prepared.seconds)


def _write(
    case: Case, label_map: np.ndarray, prepared: Prepared, engine: Engine, task: Task
) -> Entry:
    path = task.file_of(case)
    if task.write == "labels":
        write_labels(path, label_map, prepared.geometry, like=case.images[0])
    else:
        write_object(path, label_map, engine.plan.labels, case.images[0], task.write)
    status = "ok" if prepared.arrays else "empty_image"
    more = [task.probabilities_of(case)] if task.save_probabilities else []
    hashes = {file.name: sha256(file) for file in more}
    return Entry(case.id, path.name, sha256(path), source_of(case), status, hashes)
