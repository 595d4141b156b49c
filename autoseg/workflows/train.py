"""The verb `train`: which folds, on which devices, by how many processes."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from autoseg.errors import AutosegError, UsageError
from autoseg.files import append_line, read_json
from autoseg.locks import locked
from autoseg.results import Summary
from autoseg.stopping import StopRequest, stop_on_signals
from autoseg.training.budget import share
from autoseg.training.distributed import Ranks, join_ranks, rank_device
from autoseg.training.launch import Launch, read_launch
from autoseg.training.tracking import log_file
from autoseg.workflows.fold_validation import (
    trained_orders,
    validate_again,
)
from autoseg.workflows.order import Order, read_orders
from autoseg.workflows.ranks import (
    check_ranks,
    fingerprint_of_orders,
)
from autoseg.workflows.side_by_side import list_devices, train_on_devices
from autoseg.workflows.train_fold import train_fold
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)


def train(
    workspace: Workspace,
    configuration: str,
    fold: str | int,
    *,
    dataset: str | None = None,
    size: str | None = None,
    budget: str | None = None,
    settings: Sequence[str] = (),
    further_seeds: Sequence[int] = (),
    weights: str | None = None,
    device: str | None = None,
    overwrite: bool = False,
    validate: bool = False,
    started: float | None = None,
) -> Summary | None:
    """Train one fold ("all": each of them, "full": all cases); return its validation scores.

    Folds are trained one after the other, or side by side where there are several GPUs, or
    `device` names several ("cuda:0,cuda:2"); one fold is then trained by all of those together. A
    process that torchrun started trains every fold together with the others.
    With `further_seeds` (the first is a setting) each is trained again per seed, as "0-seed1".
    `weights` ("BUNDLE" or "BUNDLE#fold") is a trained model to begin with.
    An unfinished run of the same command is continued. `started` is the `time.monotonic()` at which
    a time budget begins, by default now. `validate` trains nothing and validates finished folds
    anew. Returns None for "full". Raises UsageError for a finished fold unless `overwrite`, which
    moves the old run aside; Stopped when a signal asked to stop.
    """
    begun = time.monotonic() if started is None else started
    launch = read_launch()
    devices = list_devices(device) if launch is None else [rank_device(device, launch)]
    with join_ranks(devices[0], launch) as ranks:
        orders = ranks.together(
            lambda: read_orders(
                workspace, configuration, str(fold), dataset=dataset, size=size, budget=budget,
                settings=settings, further_seeds=further_seeds, weights=weights, device=devices[0],
            )
        )  # fmt: skip
        if not validate:
            of_first = ranks.decide(lambda: fingerprint_of_orders(orders))
            ranks.together(lambda: check_ranks(orders, ranks, of_first))
        left = ranks.decide(lambda: _folds_to_do(orders, overwrite, validate))
        orders = [order for order in orders if order.fold in left]
        if len(devices) > 1 and (len(orders) > 1 or (device is not None and "," in device)):
            flags = ["--overwrite"] * overwrite + ["--validate"] * validate
            with stop_on_signals() as stop:
                return train_on_devices(orders, devices, device, settings, flags, begun, stop)
        summary = None
        for number, order in enumerate(orders):
            # A time budget means the whole command: what is left is shared by the folds left.
            now = begun if number == 0 else time.monotonic()
            budget_left = share(order.budget, now - begun, len(orders) - number)
            order = dataclasses.replace(order, budget=budget_left)
            with _at_work(order, ranks, launch, overwrite) as stop:
                if validate:
                    summary = validate_again(order, stop, ranks)
                else:
                    summary = train_fold(order, now, stop, ranks)
    return summary if ranks.first else None


@contextlib.contextmanager
def _at_work(
    order: Order, ranks: Ranks, launch: Launch | None, overwrite: bool
) -> Iterator[StopRequest]:
    """Hold the fold's folder and log to it, on the first rank; listen to signals on all."""
    command = f"autoseg_train {order.configuration.name} {order.fold}"
    with contextlib.ExitStack() as stack:

        def begin() -> None:
            stack.enter_context(locked(order.run, command))
            if overwrite:
                move_aside(order.run)
            stack.enter_context(log_file(order.run / "log.txt"))

        ranks.decide(begin)
        parent = None if launch is None else launch.parent
        try:
            yield stack.enter_context(stop_on_signals(patient=not ranks.alone, parent=parent))
        except Exception as error:
            if not isinstance(error, AutosegError):  # the screen may show one line of it only
                append_line(order.run / "log.txt", "".join(traceback.format_exception(error)))
            raise


def _folds_to_do(orders: list[Order], overwrite: bool, validate: bool) -> list[str]:
    if validate:
        return [order.fold for order in trained_orders(orders)]
    return [order.fold for order in (orders if overwrite else _unfinished(orders))]


def _unfinished(orders: list[Order]) -> list[Order]:
    """Return the orders that are not finished; raise UsageError when nothing is left to do."""
    left = [order for order in orders if not order.result.exists()]
    for order in orders:
        if order not in left and left:
            _check_seed(order)
            log.info("fold %s is finished; skipped", order.fold)
    if not left:
        folds = ", ".join(order.fold for order in orders)
        raise UsageError(
            f"fold {folds} of {orders[0].configuration.name}-{orders[0].size} is finished",
            place=str(orders[0].run),
            remedy="--overwrite trains it again and keeps the old run as fold_<f>.bak-<time>",
        )
    return left


def _check_seed(order: Order) -> None:
    """Raise UsageError when a finished fold has another seed: further ones would not be further."""
    seed = read_json(order.result).get("seed", order.config.seed)
    if seed != order.config.seed:
        raise UsageError(
            f"fold {order.fold} is finished with seed {seed}, not {order.config.seed}",
            place=str(order.run),
            remedy=f"begin the list with its seed: --seed {seed} {order.config.seed} ...",
        )


def move_aside(run: Path) -> None:
    """Move what lies in a run's folder, except its lock, to `fold_0.bak-<time>`."""
    content = [path for path in run.iterdir() if path.name != ".autoseg.lock"]
    if not content:
        return
    backup = run.with_name(f"{run.name}.bak-{time.strftime('%Y%m%d-%H%M%S')}")
    backup.mkdir()
    for path in content:
        path.rename(backup / path.name)
    log.info("the old run is now %s", backup)
