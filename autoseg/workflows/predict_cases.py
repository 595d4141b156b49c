"""The part of predicting that computes: cases in, label files out, while the next one is read."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from autoseg.bundle import Bundle, load_bundle
from autoseg.config import PredictConfig
from autoseg.dataset import Case
from autoseg.device import describe_device, pick_device
from autoseg.errors import DataError
from autoseg.files import sha256
from autoseg.image import Geometry
from autoseg.inference import precision as trial
from autoseg.inference.export import decode_mean
from autoseg.inference.predictor import ArrayPredictor, load_predictor
from autoseg.io import ending_of, read_case, write_labels
from autoseg.parallel import Outcome, map_cases, prefetch
from autoseg.plan import Plan
from autoseg.preprocessing.prepare import Frame, prepare
from autoseg.workflows.predict_choice import Chosen
from autoseg.workflows.predict_record import Entry, Record, source_of

log = logging.getLogger(__name__)

LOSSY_ENDINGS = (".jpg", ".jpeg")  # would smear label values; their labels become PNG


@dataclass(frozen=True)
class Prepared:
    """A case as each model sees it; no arrays when the image holds nothing but zeros."""

    geometry: Geometry
    arrays: tuple[tuple[np.ndarray, Frame], ...]


@dataclass
class Engine:
    """The loaded models, and the precision they compute in."""

    bundles: tuple[Bundle, ...]
    predictors: tuple[ArrayPredictor, ...]
    trust: bool
    trying: str | None = None  # the lower precision on trial
    faster: float = 1.0
    dices: list[float] = field(default_factory=list)

    @property
    def plan(self) -> Plan:
        return self.bundles[0].plan


def predict_cases(
    chosen: Chosen, cases: Sequence[Case], config: PredictConfig, device: str | None, record: Record
) -> Iterator[Outcome[Case, Entry]]:
    """Predict `cases`, write their label files beside `record`, yield what became of each."""
    engine = _load(chosen, config, device, len(cases), record)
    prepared = prefetch(partial(_prepare, engine=engine), cases)

    def finish(case: Case) -> Entry:
        return _finish(case, next(prepared).result(), engine, record)

    yield from map_cases(finish, cases, title="predict")


def _load(
    chosen: Chosen, config: PredictConfig, device: str | None, cases: int, record: Record
) -> Engine:
    where = pick_device(device)
    bundles = tuple(load_bundle(info.folder, info.folds, chosen.trust) for info in chosen.models)
    engine = Engine(bundles, tuple(load_predictor(b, config, where) for b in bundles), chosen.trust)
    log.info("predicting on %s", describe_device(where))
    if config.precision != "auto":
        return engine
    if record.precision is not None:
        log.info("precision %s, as this run began", record.precision)
        _switch(engine, record.precision)
    elif cases < trial.WORTH_TRYING:
        log.info("float32: for %d cases a lower precision is not worth trying", cases)
    else:
        _begin_trial(engine, record)
    return engine


def _begin_trial(engine: Engine, record: Record) -> None:
    lower = trial.low_precision(engine.predictors[0])
    worth, engine.faster = trial.is_much_faster(engine.predictors[0], lower)
    if worth:
        engine.trying = lower
        return
    log.info("float32: %s is not faster here (%.2f times)", lower, engine.faster)
    record.decide("float32")


def _switch(engine: Engine, precision: str) -> None:
    engine.predictors = tuple(p.in_precision(precision) for p in engine.predictors)


def _prepare(case: Case, engine: Engine) -> Prepared:
    image = read_case(case, len(engine.plan.channels))
    if not np.isfinite(image.array).all():
        count = int((~np.isfinite(image.array)).sum())
        raise DataError(f"{count} voxels are NaN or infinite", place=case.images[0].name)
    if not image.array.any():
        return Prepared(image.geometry, ())
    arrays = [prepare(image, b.plan, b.settings, engine.trust) for b in engine.bundles]
    return Prepared(image.geometry, tuple(arrays))


def _finish(case: Case, prepared: Prepared, engine: Engine, record: Record) -> Entry:
    labels = engine.plan.labels
    if prepared.arrays:
        label_map = _segment(prepared, engine, record)
    else:
        log.warning("%s: the image is empty (all zero); so is its label map", case.id)
        label_map = np.zeros(prepared.geometry.shape, dtype=labels.dtype)
    ending = ending_of(case.images[0])
    path = record.folder / f"{case.id}{'.png' if ending.lower() in LOSSY_ENDINGS else ending}"
    write_labels(path, label_map, prepared.geometry, like=case.images[0])
    status = "ok" if prepared.arrays else "empty_image"
    return Entry(case.id, path.name, sha256(path), source_of(case), status)


def _segment(prepared: Prepared, engine: Engine, record: Record) -> np.ndarray:
    label_map = _decode(prepared, engine, engine.predictors)
    if engine.trying is not None:
        lower = tuple(p.in_precision(engine.trying) for p in engine.predictors)
        found = _decode(prepared, engine, lower)
        engine.dices.append(trial.smallest_dice(found, label_map, engine.plan.labels))
        _judge(engine, engine.trying, record)
    return label_map


def _judge(engine: Engine, lower: str, record: Record) -> None:
    good, why = trial.verdict(engine.dices, engine.faster, lower)
    if good and len(engine.dices) < trial.TRIED_CASES:
        return
    log.info("%s", why)
    engine.trying = None
    record.decide(lower if good else "float32")
    if good:
        _switch(engine, lower)


def _decode(prepared: Prepared, engine: Engine, predictors: Sequence[ArrayPredictor]) -> np.ndarray:
    pairs = zip(predictors, prepared.arrays, strict=True)
    members = [(predict(array), frame) for predict, (array, frame) in pairs]
    return decode_mean(members, engine.plan.labels)
