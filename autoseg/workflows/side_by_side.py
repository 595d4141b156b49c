"""Several devices in one machine: a fold on each, or one fold on all of them.

Every fold, or rank, is a process of its own that runs `autoseg train` with one device.
"""

from __future__ import annotations

import logging
import math
import socket
import sys
import time
from collections.abc import Mapping, Sequence

import torch

from autoseg.children import Child, run_queue, run_together, start_plain, start_told
from autoseg.device import memory_of, pick_device
from autoseg.errors import PartlyDone, ResourceError, Stopped, UsageError, kind_of
from autoseg.evaluation.tables import read_summary
from autoseg.hardware import cores
from autoseg.parallel import map_cases
from autoseg.results import Summary
from autoseg.stopping import StopRequest
from autoseg.training.budget import Budget, share
from autoseg.training.launch import Launch, child_environment
from autoseg.workflows.order import Order

log = logging.getLogger(__name__)

FREE_AT_LEAST = 0.5  # of a GPU's memory; with less, somebody else is at work there


def list_devices(name: str | None) -> list[str]:
    """Return the devices that `--device` means: those of a list, or every GPU when none is named.

    Raises UsageError when they are of different kinds, ResourceError when one is not there.
    """
    if name is None or name == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        every = [f"cuda:{index}" for index in range(count)]
        return every if count > 1 else [str(pick_device(name))]
    names = [part.strip() for part in name.split(",")]
    kinds = {pick_device(part).type for part in names}
    if len(kinds) > 1:
        raise UsageError(f"--device {name}", expected="devices of one kind")
    return names


def train_on_devices(
    orders: Sequence[Order],
    devices: Sequence[str],
    asked: str | None,
    settings: Sequence[str],
    flags: Sequence[str],
    begun: float,
    stop: StopRequest,
) -> Summary | None:
    """Train the folds side by side, a single one on all devices.

    `asked` is `--device`; `flags` are options without a value, for every process.
    """
    if len(orders) == 1:
        train_on_all(orders[0], devices, settings, flags, begun, stop)
        return None  # its first process has printed the scores
    usable = devices if asked is not None and "," in asked else leave_busy_out(devices)
    return train_side_by_side(orders, usable, settings, flags, begun, stop)


def leave_busy_out(devices: Sequence[str]) -> list[str]:
    """Return the GPUs of which at least half the memory is free; all when that is none."""
    usable = []
    for outcome in map_cases(memory_of, devices, workers=1, name=str):
        memory = outcome.result()
        if memory is None or memory[0] >= FREE_AT_LEAST * memory[1]:
            usable.append(outcome.item)
        else:
            free, total = (amount / 2**30 for amount in memory)
            log.info("%s is left out: %.0f of its %.0f GB are free; name it in --device to use it",
                     outcome.item, free, total)  # fmt: skip
    return usable or list(devices)


def train_side_by_side(
    orders: Sequence[Order],
    devices: Sequence[str],
    settings: Sequence[str],
    flags: Sequence[str],
    begun: float,
    stop: StopRequest,
) -> Summary | None:
    """Train each fold on one device, as many at once as there are; return the last one's scores.

    A time budget that began at `begun` is shared by the folds that follow each other on a device.
    Raises Stopped when `stop` was set; when folds failed, the error of their kind if all failed
    alike, PartlyDone otherwise.
    """
    by_fold = {order.fold: order for order in orders}
    rounds = math.ceil(len(orders) / len(devices))
    place = {order.fold: number // len(devices) for number, order in enumerate(orders)}
    environment = child_environment(max(1, cores() // len(devices)))
    log.info("%d folds on %s, %s", len(orders), ", ".join(devices),
             "all at once" if rounds == 1 else f"{len(devices)} at once")  # fmt: skip

    def start(fold: str, slot: int) -> Child:
        spent_s = time.monotonic() - begun
        budget = share(by_fold[fold].budget, spent_s, rounds - place[fold])
        words = words_for(by_fold[fold], devices[slot], budget, settings, flags)
        return start_told(words, environment, f"fold {fold}")

    ended = run_queue(list(by_fold), len(devices), start, stop)
    raise_failures(ended, len(orders), stop)
    last = orders[-1]
    return read_summary(last.validation / "summary.json") if last.cases.validation else None


def train_on_all(
    order: Order,
    devices: Sequence[str],
    settings: Sequence[str],
    flags: Sequence[str],
    begun: float,
    stop: StopRequest,
) -> None:
    """Train one fold on all devices together; end as the processes do, which speak for themselves.

    The same as torchrun on one machine, with the exit code of the training.
    """
    budget = share(order.budget, time.monotonic() - begun, 1)
    port, threads = _free_port(), max(1, cores() // len(devices))
    children = []
    for rank, device in enumerate(devices):
        kind, index = torch.device(device).type, torch.device(device).index
        launch = Launch(rank, len(devices), rank if index is None else index)
        words = words_for(order, kind, budget, settings, flags)
        environment = child_environment(threads, launch, port)
        children.append(start_plain(words, environment, silent=rank > 0))
    code = run_together(children, stop)
    if code:
        raise SystemExit(code if code > 0 else 128 - code)


def words_for(
    order: Order, device: str, budget: Budget, settings: Sequence[str], flags: Sequence[str]
) -> list[str]:
    """Return the command that trains one fold on one device."""
    words = [sys.executable, "-m", "autoseg.cli", "train", order.configuration.name, order.fold]
    words += ["--workspace", str(order.prepared.parents[1]), "--dataset", order.prepared.name]
    words += ["--size", order.size, "--device", device]
    if budget.seconds is not None:
        words += ["--budget", f"{budget.seconds:.1f}s"]
    elif budget.epochs is not None:
        words += ["--budget", f"{budget.epochs}epochs"]
    words += ["--weights", order.weights.words] if order.weights else []
    words += flags
    return [*words, "--set", *settings] if settings else words


def raise_failures(ended: Mapping[str, Child], folds: int, stop: StopRequest) -> None:
    """Raise what the ended children mean together; nothing when all `folds` went well."""
    failed = {fold: child for fold, child in ended.items() if child.code()}
    if stop.signal_name and (failed or len(ended) < folds):
        raise Stopped(
            f"stopped by {stop.signal_name}; every fold is saved",
            remedy="run the same command again to continue",
        )
    if not failed:
        return
    told = "; ".join(f"fold {fold}: {_reason(child)}" for fold, child in sorted(failed.items()))
    codes = {child.code() or 0 for child in failed.values()}
    remedy = "see the lines above; the same command continues"
    if len(failed) == len(ended) and len(codes) == 1:
        code = codes.pop()
        raise (ResourceError if code < 0 else kind_of(code))(told, remedy=remedy)
    raise PartlyDone(f"{len(failed)} of {len(ended)} folds failed: {told}", remedy=remedy)


def _reason(child: Child) -> str:
    code = child.code() or 0
    return child.error or (f"killed by signal {-code}" if code < 0 else f"exit code {code}")


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])
