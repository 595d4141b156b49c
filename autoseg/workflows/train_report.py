"""What a fold says and draws while it is trained; none of it can stop the training."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from autoseg.device import describe_device
from autoseg.labels import Labels
from autoseg.report.figures import draw_progress
from autoseg.training.tracking import Epoch, history_rows, write_history
from autoseg.workflows.order import Order

log = logging.getLogger(__name__)

DRAWN_EVERY_S = 30.0


def introduce(order: Order) -> None:
    """Log what is trained, on what, and what mirroring does to sides."""
    cases = f"{len(order.cases.train)} cases, {len(order.cases.validation)} for validation"
    log.info("dataset %s, %s, fold %s: %s", order.plan.dataset, order.configuration.name,
             order.fold, cases)  # fmt: skip
    patch = "x".join(map(str, order.design.patch_size))
    log.info("size %s (%s): patch %s, batch %d; device: %s", order.size, order.why_size, patch,
             order.design.batch_size, describe_device(order.device))  # fmt: skip
    axes = order.config.mirror_axes
    if axes is None:
        axes = (1, 2) if order.design.is_2d else (0, 1, 2)
    if order.plan.left_right_axis in axes:
        _introduce_mirroring(order.plan.labels)


def _introduce_mirroring(labels: Labels) -> None:
    for left, right in labels.pairs:
        log.info("mirroring left-right exchanges %s and %s", left, right)
    if labels.lonely_sides:
        remedy = "declare pairs in dataset.json, or train with --preset no_mirroring"
        log.warning("%s -> %s", labels.lonely_warning, remedy)


class Reporter:
    """Writes the history and, now and then, its picture; neither can stop a training."""

    def __init__(self, run: Path) -> None:
        self.run, self._drawn = run, time.monotonic() - DRAWN_EVERY_S

    def __call__(self, history: Sequence[Epoch]) -> None:
        write_history(self.run / "history.csv", history)
        if time.monotonic() - self._drawn >= DRAWN_EVERY_S:
            self._drawn = time.monotonic()
            draw(history, self.run / "progress.png")


def draw(history: Sequence[Epoch], path: Path) -> None:
    """Draw `progress.png`; a missing library or a full disk is a line in the log."""
    rows = [{k: v for k, v in row.items() if v is not None} for row in history_rows(history)]
    try:
        draw_progress(rows, path)
    except Exception as error:  # whatever goes wrong with a picture, the training goes on
        log.warning("progress.png not drawn: %s", error)
