"""The part of predicting that computes: cases in, label files out, while the next one is read."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
    """The loaded models, in the precision that was decided, or float32 until then."""

    bundles: tuple[Bundle, ...]
    predictors: tuple[ArrayPredictor, ...]
    trust: bool

    @property
    def plan(self) -> Plan:
        return self.bundles[0].plan


def predict_cases(
    chosen: Chosen,
    cases: Sequence[Case],
    total: int,
    config: PredictConfig,
    device: str | None,
    record: Record,
) -> Iterator[Outcome[Case, Entry]]:
    """Predict `cases` of `total`, write their files beside `record`, yield what became of each."""
    engine = _load(chosen, config, device)
    if config.precision == "auto":
        _begin_trial(engine, total, record)
    prepared = prefetch(partial(_prepare, engine=engine), cases)

    def finish(case: Case) -> Entry:
        return _finish(case, next(prepared).result(), engine, record)

    yield from map_cases(finish, cases, title="predict")


def _load(chosen: Chosen, config: PredictConfig, device: str | None) -> Engine:
    where = pick_device(device)
    bundles = tuple(load_bundle(info.folder, info.folds, chosen.trust) for info in chosen.models)
    log.info("predicting on %s", describe_device(where))
    return Engine(bundles, tuple(load_predictor(b, config, where) for b in bundles), chosen.trust)


def _begin_trial(engine: Engine, cases: int, record: Record) -> None:
    """Decide whether a lower precision will be tried, unless that was decided earlier."""
    if record.precision is not None or record.trying is not None:
        log.info("precision: %s, as this run began", record.precision or "on trial")
        return
    lower = trial.low_precision(engine.predictors[0])
    if cases < trial.WORTH_TRYING:
        log.info("float32: for %d cases %s is not worth trying", cases, lower)
        record.note(precision="float32")
        return
    worth, faster = trial.is_much_faster(engine.predictors[0], lower)
    if worth:
        record.note(trying=lower, faster=faster)
    else:
        log.info("float32: %s is not worth trying here (%.2f times as fast)", lower, faster)
        record.note(precision="float32")


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
        label_map = _segment(case, prepared, engine, record)
    else:
        log.warning("%s: the image is empty (all zero); so is its label map", case.id)
        label_map = np.zeros(prepared.geometry.shape, dtype=labels.dtype)
    ending = ending_of(case.images[0])
    path = record.folder / f"{case.id}{'.png' if ending.lower() in LOSSY_ENDINGS else ending}"
    write_labels(path, label_map, prepared.geometry, like=case.images[0])
    status = "ok" if prepared.arrays else "empty_image"
    return Entry(case.id, path.name, sha256(path), source_of(case), status)


def _segment(case: Case, prepared: Prepared, engine: Engine, record: Record) -> np.ndarray:
    # A case on trial is float32 also when a run was stopped just after its trial.
    if case.id in record.trials or record.precision is None:
        label_map = _decode(prepared, engine, "float32")
    else:
        label_map = _decode(prepared, engine, record.precision)
    if record.precision is None and record.trying is not None:
        found = _decode(prepared, engine, record.trying)
        dice = trial.smallest_dice(found, label_map, engine.plan.labels)
        record.note_trial(case.id, dice)
        _judge(record, record.trying)
    return label_map


def _judge(record: Record, lower: str) -> None:
    good, why = trial.verdict(list(record.trials.values()), record.faster, lower)
    if not good or len(record.trials) >= trial.TRIED_CASES:
        log.info("%s", why)
        record.note(precision=lower if good else "float32")


def _decode(prepared: Prepared, engine: Engine, precision: str) -> np.ndarray:
    pairs = zip(engine.predictors, prepared.arrays, strict=True)
    members = [(predict.in_precision(precision)(array), frame) for predict, (array, frame) in pairs]
    return decode_mean(members, engine.plan.labels)
