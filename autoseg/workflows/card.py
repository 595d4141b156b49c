"""The model card along the way: texts when planning, data when training, numbers when validating.

prepared/<dataset>/about.json      the texts of dataset.json, as planning found them
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autoseg.bundle_reader import open_bundle
from autoseg.bundle_writer import page_of, update_card
from autoseg.card import About, ModelCard, about_from, results_of, training_data
from autoseg.config import override
from autoseg.errors import AutosegError, CorruptError, DataError
from autoseg.evaluation.select import pool_folds
from autoseg.evaluation.trained import finished_folds
from autoseg.files import read_json, write_json
from autoseg.fingerprint_file import FINGERPRINT, load_fingerprint
from autoseg.labels import Labels
from autoseg.records import from_json
from autoseg.results import Summary

log = logging.getLogger(__name__)

Rules = Mapping[str, tuple[Any, ...]]  # as JSON: `postprocess.rules_json`
ABOUT = "about.json"
NOT_KEPT = "the model card was not brought up to date"


def keep_about(raw: Path, prepared: Path) -> None:
    """Write to `prepared` what the `dataset.json` in `raw` says about itself."""
    write_json(prepared / ABOUT, about_from(read_json(raw / "dataset.json")))


def begin_card(prepared: Path) -> ModelCard:
    """Return what is known of a model before it is trained; nothing where files are missing."""
    about, data = About(), None
    if (prepared / ABOUT).is_file():
        about = from_json(About, read_json(prepared / ABOUT), str(prepared / ABOUT))
    try:
        data = training_data(load_fingerprint(prepared / FINGERPRINT)[0])
    except (DataError, CorruptError) as error:  # prepared data travel without it
        log.debug("no training data in the model card: %s", error)
    return ModelCard(about, data)


def record_folds(model: Path, labels: Labels) -> None:
    """Write what the finished folds of `models/<dataset>/<model>` say to its bundle's card."""
    try:
        found, _ = finished_folds(model)
        if found:
            record_results(model, tuple(found), pool_folds(found, labels, model.name))
    except AutosegError as error:
        log.warning("%s: %s", NOT_KEPT, error)


def record_results(
    model: Path, folds: Sequence[str], summary: Summary, rules: Rules | None = None
) -> None:
    """Write a model's pooled validation to its bundle's card, and the `rules` chosen for it.

    A bundle that is not there or is damaged is no reason to stop: it is a line in the log.
    """
    bundle, results = model / "bundle", results_of(summary, tuple(folds))
    if not (bundle / "card.json").is_file():
        return

    def change(card: ModelCard) -> ModelCard:
        known = card.rules if rules is None else rules
        return dataclasses.replace(card, results=results, rules=known)

    try:
        update_card(bundle, change)
    except AutosegError as error:
        log.warning("%s: %s", NOT_KEPT, error)


def show_card(bundle: Path, settings: Sequence[str] = ()) -> str:
    """Return the page of a bundle, after changing the author's texts by `settings`.

    Each is such as "licence=CC BY 4.0", a field of `About`; an empty text takes it back. The page
    is written anew then, which also mends one that was edited.
    """
    info = open_bundle(bundle, trust=True)
    if settings:
        about = override(info.card.model_card.about, settings)
        update_card(bundle, lambda card: dataclasses.replace(card, about=about))
        info = open_bundle(bundle, trust=True)
    return page_of(info.card, info.plan, info.config)
