"""Several processes at one fold: are they asked for the same, and can they share its batch?"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from autoseg.errors import UsageError
from autoseg.records import fingerprint_of, to_json
from autoseg.training.distributed import Ranks
from autoseg.workflows.order import Order

log = logging.getLogger(__name__)

DIFFERENT = 0.01
TINY = 1e-12
STATISTICS = (".running_mean", ".running_var")  # of batch normalisations, each rank of its samples


def fingerprint_of_orders(orders: Sequence[Order]) -> str:
    """Return a hash of all that must be the same for every rank."""
    asked = [
        (order.plan, order.model_id, order.size, order.config, order.fold, order.cases)
        for order in orders
    ]
    return fingerprint_of([to_json(asked), torch.__version__])


def check_ranks(orders: Sequence[Order], ranks: Ranks, of_first: str) -> None:
    """Raise UsageError when a batch is too small to be shared, or this rank means something else.

    `of_first` is the `fingerprint_of_orders` of the first rank.
    """
    for order in orders:
        batch = batch_of(order)
        if batch < ranks.size:
            raise UsageError(
                f"{ranks.size} processes cannot share a batch of {batch}",
                place=f"{order.configuration.name}-{order.size}",
                expected="at least one sample for each",
                remedy=f"at most {batch} processes, or --set batch_size={ranks.size}",
            )
    if fingerprint_of_orders(orders) != of_first:
        raise UsageError(
            f"process {ranks.rank} was given another command, plan or version of torch than the "
            "first",
            remedy="start the same command with the same data on every machine",
        )


def batch_of(order: Order) -> int:
    """Return the samples of a batch, of all ranks together."""
    return order.config.batch_size or order.design.batch_size


def introduce_ranks(order: Order, ranks: Ranks) -> None:
    """Log how the batch is shared."""
    if ranks.alone:
        return
    batch = batch_of(order)
    shares = [Ranks(rank, ranks.size).share(batch) for rank in range(ranks.size)]
    sizes = " + ".join(str(share.stop - share.start) for share in shares)
    log.info("%d processes train one model: a batch of %d is shared as %s",
             ranks.size, batch, sizes)  # fmt: skip


def warn_different_weights(weights: Mapping[str, Tensor], ranks: Ranks) -> float:
    """Warn when the ranks have learnt different weights; return the largest difference.

    It is relative to the largest weight of a tensor. Machines of one kind end with the same bits.
    """
    if ranks.alone:
        return 0.0
    of_first = ranks.decide(lambda: dict(weights))
    ours = max(
        float((weights[name] - w).abs().max() / w.abs().max().clamp_min(TINY))
        for name, w in of_first.items()
        if w.is_floating_point() and not name.endswith(STATISTICS)
    )
    difference = ranks.all_max([round(ours * 1e6)])[0] / 1e6
    if difference > DIFFERENT:
        log.warning("the processes have learnt different weights (by %.2g); those of the first are "
                    "kept -> GPUs of one kind; a trainer of your own must call "
                    "task.ranks.sum_gradients after backward", difference)  # fmt: skip
    return difference
