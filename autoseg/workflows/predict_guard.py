"""Scans unlike the training data: a warning, or with `--strict` a refusal.

What is looked at, and how scores come about: `preprocessing/guard.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from autoseg.bundle import Bundle
from autoseg.errors import DataError
from autoseg.image import Geometry, Image
from autoseg.preprocessing.finding import worth_telling
from autoseg.preprocessing.guard import look_at_scan
from autoseg.preprocessing.guard_labels import look_at_labels

log = logging.getLogger(__name__)

Warnings = tuple[str, ...]


class Unlike(DataError):
    """With `--strict`: a scan that is unlike those the model learnt from."""


def announce(bundles: Sequence[Bundle], strict: bool) -> None:
    """Say once which scans cannot be compared with those of the training."""
    if all(bundle.plan.usual is None for bundle in bundles):
        log.log(
            logging.WARNING if strict else logging.INFO,
            "the model does not say what its training scans look like: of new ones only the "
            "units are checked",
        )


def guard_scan(case: str, image: Image, bundles: Sequence[Bundle], strict: bool) -> Warnings:
    """Return what is unusual about a scan, which is not all zero; each model has its own say.

    Raises Unlike when that is anything and `strict`.
    """
    told = [
        text
        for bundle in bundles
        for text in worth_telling(look_at_scan(image, bundle.plan, bundle.settings.normalizers))
    ]
    return _tell(case, told, strict)


def guard_labels(
    case: str, label_map: np.ndarray, geometry: Geometry, bundles: Sequence[Bundle], strict: bool
) -> Warnings:
    """Return what is unusual about a label map (Z, Y, X); as `guard_scan`."""
    found = [look_at_labels(label_map, geometry, bundle.plan) for bundle in bundles]
    return _tell(case, worth_telling([f for f in found if f is not None]), strict)


def _tell(case: str, told: Sequence[str], strict: bool) -> Warnings:
    warnings = tuple(dict.fromkeys(told))
    if warnings and strict:
        remedy = "correct the scan, or predict without --strict"
        raise Unlike("; ".join(warnings), place=case, remedy=remedy)
    for warning in warnings:
        log.warning("%s: %s", case, warning)
    return warnings
