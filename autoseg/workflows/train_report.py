"""What a fold says and draws while it is trained; only who watches it may stop the training."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from torch import nn

from autoseg.architectures import IMAGE
from autoseg.bundle import mirrored_axes
from autoseg.bundle_reader import read_shared
from autoseg.device import describe_device
from autoseg.errors import AutosegError, number_of
from autoseg.files import write_text
from autoseg.labels import Labels
from autoseg.plan import NetworkSpec
from autoseg.preprocessing.store import PreparedCase
from autoseg.records import to_json
from autoseg.report.figures import draw_progress
from autoseg.results import Summary
from autoseg.training.decide import Decision
from autoseg.training.distributed import Ranks
from autoseg.training.recipe import choose_recipe
from autoseg.training.sampling import make_pool
from autoseg.training.state import Training
from autoseg.training.target_weights import BY_VOLUME
from autoseg.training.trackers import TrackedRun, Trackers
from autoseg.training.tracking import Epoch, history_rows, write_history
from autoseg.workflows.order import Order
from autoseg.workflows.snapshots import keep_snapshot

log = logging.getLogger(__name__)

DRAWN_EVERY_S = 30.0
SHOWN = 10  # names in a warning
# Settings that the folds of a model need not share.
OF_ONE_FOLD = {
    "seed", "steps", "epochs", "steps_per_epoch", "precision", "checkpointing", "patience",
    "keep_every", "weights", "freeze_encoder", "trackers",
}  # fmt: skip


def introduce(order: Order) -> None:
    """Log what is trained, on what, and what mirroring does to sides."""
    training = number_of(len(order.cases.train), "case")
    cases = f"{training}, {len(order.cases.validation)} for validation"
    log.info("dataset %s, %s, fold %s: %s", order.plan.dataset, order.configuration.name,
             order.fold, cases)  # fmt: skip
    patch = "x".join(map(str, order.design.patch_size))
    log.info("size %s (%s): patch %s, batch %d; device: %s", order.size, order.why_size, patch,
             order.design.batch_size, describe_device(order.device))  # fmt: skip
    if order.plan.left_right_axis in mirrored_axes(order.config, order.design):
        _introduce_mirroring(order.plan.labels)
    _warn_other_settings(order)


def describe_network(spec: NetworkSpec, network: nn.Module) -> str:
    """Return `network enet (features 16, factor 4, dropout 0.1): 363,626 parameters`."""
    numbers = {"features": "-".join(map(str, spec.features)), **spec.options}
    told = ", ".join(f"{name} {value}" for name, value in numbers.items() if name != IMAGE)
    count = sum(p.numel() for p in network.parameters())
    return f"network {spec.name} ({told}): {count:,} parameters"


def introduce_network(order: Order, network: nn.Module) -> None:
    """Log how many parameters there are, and what the plan cannot know of a network not planned."""
    spec = order.design.network
    log.info("%s", describe_network(spec, network))
    if order.config.network is not None and len(spec.features) == 1:
        log.info("patch and batch were planned for a U-Net; the memory that %s takes is not "
                 "counted: --set batch_size=... where it is too much", spec.name)  # fmt: skip


def _warn_other_settings(order: Order) -> None:
    """Warn when other folds of this model, which are averaged with this one, learnt otherwise."""
    folds = {path.name for path in order.bundle.glob("fold_*")} - {f"fold_{order.fold}"}
    try:
        card, _, before = read_shared(order.bundle)
    except AutosegError:
        return  # none yet, or a damaged one, which is written anew
    if not folds or card.model_id != order.model_id:
        return  # nothing is averaged
    # What a recipe leaves open follows from the number of steps.
    ours, _ = choose_recipe(order.config, before.steps or 1)
    names = [f.name for f in dataclasses.fields(before) if f.name not in OF_ONE_FOLD]
    found = [
        f"{name}={getattr(before, name)}"
        for name in names
        if getattr(before, name) != getattr(ours, name) != BY_VOLUME.get(name)
    ]
    if found:
        log.warning("the last fold of this model was trained with %s; fold %s is not, and all are "
                    "averaged and judged as one model", ", ".join(found), order.fold)  # fmt: skip


def warn_absent_targets(order: Order, cases: Sequence[PreparedCase]) -> None:
    """Warn about targets that none of the training `cases` shows; elsewhere they may occur."""
    pool = make_pool(cases, order.plan.labels, order.config)
    names = order.plan.labels.names
    absent = [name for name, column in zip(names, pool.present.T, strict=True) if not column.any()]
    if absent:
        told = ", ".join(absent[:SHOWN]) + ", ..." * (len(absent) > SHOWN)
        log.warning("no training case of fold %s shows %d of %d targets, which cannot be learnt: "
                    "%s", order.fold, len(absent), len(names), told)  # fmt: skip


def _introduce_mirroring(labels: Labels) -> None:
    for left, right in labels.pairs:
        log.info("mirroring left-right exchanges %s and %s", left, right)
    if labels.lonely_sides:
        remedy = "declare pairs in dataset.json, or train with --preset no_mirroring"
        log.warning("%s -> %s", labels.lonely_warning, remedy)


Report = Callable[[Sequence[Epoch]], None]
Watch = Callable[[Epoch, float], None]  # the last epoch, the progress of the training from 0 to 1


def make_report(
    order: Order,
    decision: Decision,
    training: Training,
    trackers: Trackers,
    ranks: Ranks,
    watch: Watch | None = None,
) -> Report:
    """Return what is done after every epoch, on the first rank.

    Nothing but `watch` can stop a training, by raising.
    """
    if not ranks.first:
        return lambda history: None
    reporter = Reporter(order.run)

    def report(history: Sequence[Epoch]) -> None:
        reporter(history)
        trackers.log(history[-1].step, history_rows(history[-1:])[0])
        keep_snapshot(order, decision, training)
        if watch is not None:
            watch(history[-1], training.length.progress(training.step))

    return report


class Reporter:
    """Writes the history and, now and then, its picture."""

    def __init__(self, run: Path) -> None:
        self.run, self._drawn = run, time.monotonic() - DRAWN_EVERY_S

    def __call__(self, history: Sequence[Epoch]) -> None:
        write_history(self.run / "history.csv", history)
        if time.monotonic() - self._drawn >= DRAWN_EVERY_S:
            self._drawn = time.monotonic()
            draw(history, self.run / "progress.png")


@contextlib.contextmanager
def tracked(order: Order, step: int, ranks: Ranks) -> Iterator[Trackers]:
    """Have the trackers of `order` in the block, on the first rank; `step` steps are done."""
    names = order.config.trackers if ranks.first else ()
    folder = order.run / "trackers"
    model = f"{order.configuration.name}-{order.size}"
    run = TrackedRun(
        f"{order.plan.dataset} {model} fold {order.fold}", order.plan.dataset, folder,
        _identity(folder) if names else "", step, to_json(order.config),
    )  # fmt: skip
    trackers = Trackers(names, run)
    try:
        yield trackers
    finally:
        trackers.close()


def _identity(folder: Path) -> str:
    """Return the name by which services know this run: the same when it is continued."""
    path = folder / "id"
    if not path.is_file():
        write_text(path, secrets.token_hex(4))
    return path.read_text(encoding="utf-8").strip()


def track_scores(trackers: Trackers, step: int, summary: Summary | None) -> None:
    """Tell the trackers the Dice of the final validation, in full, at native resolution."""
    if summary is None or "dice" not in summary.foreground_mean:
        return
    scores = {"final_dice": summary.foreground_mean["dice"].mean}
    scores |= {f"final_dice_{name}": means["dice"].mean for name, means in summary.mean.items()}
    trackers.log(step, scores)


def draw(history: Sequence[Epoch], path: Path) -> None:
    """Draw `progress.png`; a missing library or a full disk is a line in the log."""
    rows = [{k: v for k, v in row.items() if v is not None} for row in history_rows(history)]
    try:
        draw_progress(rows, path)
    except Exception as error:  # whatever goes wrong with a picture, the training goes on
        log.warning("progress.png not drawn: %s", error)
