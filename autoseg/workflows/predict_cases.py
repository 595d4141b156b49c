"""The part of predicting that computes: cases in, label files out, neighbours overlapped."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from autoseg.bundle import Bundle
from autoseg.bundle_reader import load_bundle
from autoseg.dataset import Case
from autoseg.device import describe_device, explained_memory, pick_device, pinned
from autoseg.errors import DataError, ResourceError
from autoseg.files import sha256
from autoseg.hardware import memory_bytes
from autoseg.image import Geometry, Image
from autoseg.inference.array_predictor import ArrayPredictor
from autoseg.inference.effort import effort_json
from autoseg.inference.export import decode_mean
from autoseg.inference.predictor import load_stages, run_stages
from autoseg.inference.probabilities import (
    NOWHERE,
    restored_box,
    save_certain_background,
    save_probabilities,
)
from autoseg.io import read_case, read_labels, write_labels
from autoseg.label_table import value_names
from autoseg.parallel import Outcome, overlapped
from autoseg.plan import Plan
from autoseg.postprocess import apply_rules
from autoseg.preprocessing.crop import Box
from autoseg.preprocessing.prepare import Frame, prepare
from autoseg.preprocessing.previous import previous_indices, with_previous
from autoseg.rules import Rules, thresholds
from autoseg.stopping import StopRequest
from autoseg.workflows.predict_budget import Budget, WithinBudget
from autoseg.workflows.predict_dicom import write_object
from autoseg.workflows.predict_guard import Unlike, Warnings, announce, guard_labels, guard_scan
from autoseg.workflows.predict_record import Entry, source_of
from autoseg.workflows.predict_seconds import Seconds, Stopwatch
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
        return self.bundles[0].plan

    @property
    def device(self) -> torch.device:
        return self.predictors[0][-1].device


@dataclass(frozen=True)
class Computed:
    """A case whose label map is known and not yet written."""

    geometry: Geometry
    label_map: np.ndarray  # (Z, Y, X), before rules
    status: str  # of its Entry
    effort: Mapping[str, Any] = field(default_factory=dict)
    searched: Sequence[Box | None] = ()
    networks_s: float = 0.0
    decode_s: float = 0.0
    warnings: Warnings = ()


def predict_cases(
    task: Task,
    cases: Sequence[Case],
    stop: StopRequest,
    keep: Callable[[Entry], None] = lambda entry: None,
) -> Iterator[Outcome[Case, Entry]]:
    """Predict `cases`, write their files, yield what became of each.

    While the networks work on a case, the one before it is written and the next one is made ready;
    on a CPU by one thread, as the networks have all cores. With a budget, which is for a case from
    its beginning to its end, it is written before the next one begins. `keep` is called with each
    case as soon as its files are there, by any thread. Once `stop` is set, the outcome of the case
    that is running is the error Stopped.
    """
    engine = load_engine(task, stop.check)
    seconds, watch = Seconds(), Stopwatch()

    def compute(case: Case, prepared: Prepared) -> Computed | Entry:
        waited_s = watch.lap()
        seconds.waited += waited_s
        seconds.prepare += prepared.seconds
        with explained_memory("predicting this case", NO_MEMORY), watch.again():
            chosen = _choose(case, prepared, engine.budget, waited_s)
            watch.lap()
            computed = _compute(case, prepared, engine, task, chosen)
            seconds.networks += computed.networks_s
            seconds.decode += computed.decode_s
            if chosen is None or engine.budget is None:
                return computed
            entry = finish(case, computed)
            beside_s = watch.lap() - computed.networks_s
            voxels = computed.label_map.size
            engine.budget.learn(chosen, computed.networks_s, beside_s, voxels)
            return entry

    def finish(case: Case, computed: Computed | Entry) -> Entry:
        if isinstance(computed, Entry):
            return computed
        own = Stopwatch()
        with explained_memory("writing this case", NO_MEMORY):
            entry = _finish(case, computed, engine, task)
        keep(entry)
        seconds.write += own.lap()
        return entry

    threads = 1 if engine.device.type == "cpu" else 2
    prepare = partial(_prepare, engine=engine, strict=task.strict)
    yield from overlapped(prepare, compute, finish, cases, threads=threads, title="predict")
    log.info("%s", seconds)


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


def predict_case(
    case: Case, engine: Engine, task: Task, begin: Callable[[int], None] = lambda rounds: None
) -> Entry:
    """Predict one case and write its files, as `predict_cases` does it.

    `begin` is told how often the engine's `interrupt` will be called, at most.
    """
    with explained_memory("predicting this case", NO_MEMORY):
        prepared = _prepare(case, engine, task.strict)
        begin(_rounds(prepared, engine))
        return _finish(case, _compute(case, prepared, engine, task, None), engine, task)


def _rounds(prepared: Prepared, engine: Engine) -> int:
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


def _prepare(case: Case, engine: Engine, strict: bool) -> Prepared:
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


def _choose(
    case: Case, prepared: Prepared, budget: Budget | None, waited_s: float
) -> WithinBudget | None:
    if budget is None or not prepared.arrays:
        return None
    shapes = [[array.shape[1:] for array, _ in stages] for stages in prepared.arrays]
    voxels = math.prod(prepared.geometry.shape)
    return budget.choose(case.id, shapes, voxels, waited_s, prepared.seconds)


def _compute(
    case: Case, prepared: Prepared, engine: Engine, task: Task, chosen: WithinBudget | None
) -> Computed:
    labels, geometry = engine.plan.labels, prepared.geometry
    if not prepared.arrays:
        log.warning("%s: the image is empty (all zero); so is its label map", case.id)
        if task.save_probabilities:
            save_certain_background(task.probabilities_of(case), geometry, labels)
        return Computed(geometry, np.zeros(geometry.shape, dtype=labels.dtype), "empty_image")
    _check_memory(prepared, engine)
    watch = Stopwatch()
    pairs = zip(chosen.models if chosen else engine.predictors, prepared.arrays, strict=True)
    scored = [run_stages(stages[-len(arrays) :], arrays, labels) for stages, arrays in pairs]
    members = [(scores, frame) for scores, frame, _ in scored]
    networks_s = watch.lap()
    searched = [_searched(case, frame, box) for _, frame, box in scored]
    label_map = decode_mean(members, labels, thresholds(engine.rules, labels))
    if task.save_probabilities:
        save_probabilities(task.probabilities_of(case), members, labels)
    effort = effort_json(chosen.effort, engine.budget.folds) if chosen and engine.budget else {}
    where = searched if any(searched) else []
    told = prepared.warnings
    return Computed(geometry, label_map, "ok", effort, where, networks_s, watch.lap(), told)


def _searched(case: Case, frame: Frame, box: Box | None) -> Box | None:
    """Return the box (Z, Y, X) of the scan's voxels that were predicted; None: all of them."""
    if box == NOWHERE:
        log.info("%s: nothing found at first sight, so all of it is predicted", case.id)
    if box is None or box == NOWHERE:
        return None
    source = restored_box(box, frame)
    sizes = [stop - start for start, stop in source], frame.source.shape
    inner, whole = ("x".join(map(str, size)) for size in sizes)
    log.info("%s: predicted in %s of %s voxels", case.id, inner, whole)
    return source


def _finish(case: Case, computed: Computed, engine: Engine, task: Task) -> Entry:
    """Apply the rules to the label map, write it, and return what is noted of the case."""
    path, labels, geometry = task.file_of(case), engine.plan.labels, computed.geometry
    label_map, warnings = computed.label_map, computed.warnings
    if computed.status == "ok":
        label_map = apply_rules(label_map, geometry.spacing, labels, engine.rules)
        try:
            warnings += guard_labels(case.id, label_map, geometry, engine.bundles, task.strict)
        except Unlike:
            task.probabilities_of(case).unlink(missing_ok=True)
            raise
    if task.write == "labels":
        names = value_names(labels)
        write_labels(path, label_map, geometry, like=case.images[0], names=names)
    else:
        write_object(path, label_map, labels, case.images[0], task.write)
    more = [task.probabilities_of(case)] if task.save_probabilities else []
    hashes = {file.name: sha256(file) for file in more}
    return Entry(
        case.id, path.name, sha256(path), source_of(case), computed.status, hashes,
        computed.effort, computed.searched, warnings,
    )  # fmt: skip


def _check_memory(prepared: Prepared, engine: Engine) -> None:
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
