"""The part of predicting that computes: cases in, label files out, neighbours overlapped."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from autoseg.dataset import Case
from autoseg.device import explained_memory
from autoseg.files import sha256
from autoseg.image import Geometry
from autoseg.inference.effort import effort_json
from autoseg.inference.export import decode_mean
from autoseg.inference.predictor import run_stages
from autoseg.inference.probabilities import (
    NOWHERE,
    restored_box,
    save_certain_background,
    save_probabilities,
)
from autoseg.io import write_labels
from autoseg.label_table import value_names
from autoseg.outcomes import Outcome
from autoseg.overlapping import overlapped
from autoseg.postprocess import apply_rules
from autoseg.preprocessing.crop import Box
from autoseg.preprocessing.prepare import Frame
from autoseg.progress import Count
from autoseg.rules import thresholds
from autoseg.stopping import StopRequest
from autoseg.workflows.predict_budget import Budget, WithinBudget
from autoseg.workflows.predict_dicom import write_object
from autoseg.workflows.predict_engine import (
    NO_MEMORY,
    Engine,
    Prepared,
    check_memory,
    load_engine,
    prepare_case,
    rounds,
)
from autoseg.workflows.predict_guard import Unlike, Warnings, guard_labels
from autoseg.workflows.predict_record import Entry, source_of
from autoseg.workflows.predict_seconds import Seconds, Stopwatch
from autoseg.workflows.predict_task import Task

log = logging.getLogger(__name__)


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
    count = Count("predict", len(cases))

    def look() -> None:
        stop.check()
        count.step()

    engine = load_engine(task, look)
    seconds, watch = Seconds(), Stopwatch()

    def compute(case: Case, prepared: Prepared) -> Computed | Entry:
        waited_s = watch.lap()
        seconds.waited += waited_s
        seconds.prepare += prepared.seconds
        with explained_memory("predicting this case", NO_MEMORY), watch.again():
            chosen = _choose(case, prepared, engine.budget, waited_s)
            watch.lap()
            count.begin(rounds(prepared, engine))
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
    prepare = partial(prepare_case, engine=engine, strict=task.strict)
    yield from overlapped(prepare, compute, finish, cases, threads=threads, count=count)
    log.info("%s", seconds)


def predict_case(
    case: Case, engine: Engine, task: Task, begin: Callable[[int], None] = lambda rounds: None
) -> Entry:
    """Predict one case and write its files, as `predict_cases` does it.

    `begin` is told how often the engine's `interrupt` will be called, at most.
    """
    with explained_memory("predicting this case", NO_MEMORY):
        prepared = prepare_case(case, engine, task.strict)
        begin(rounds(prepared, engine))
        return _finish(case, _compute(case, prepared, engine, task, None), engine, task)


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
    check_memory(prepared, engine)
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
