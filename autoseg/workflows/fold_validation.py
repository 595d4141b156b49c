"""The validation of a fold: at the end of its training, and again by `autoseg_train --validate`."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from autoseg import __version__
from autoseg.bundle import BundleInfo
from autoseg.bundle_reader import load_bundle, open_bundle
from autoseg.config import PredictConfig
from autoseg.errors import CorruptError, DataError, UsageError
from autoseg.files import read_json, write_json
from autoseg.inference.predictor import load_networks
from autoseg.planning.folds import Fold
from autoseg.preprocessing.manifest import read_manifest
from autoseg.preprocessing.store import PreparedCase, open_prepared
from autoseg.progress import Count
from autoseg.records import fingerprint_of, to_json
from autoseg.results import Summary
from autoseg.stopping import StopRequest
from autoseg.training.distributed import ALONE, Ranks
from autoseg.workflows.card import record_folds
from autoseg.workflows.fold_time import make_predictor
from autoseg.workflows.order import Order
from autoseg.workflows.previous import store_previous
from autoseg.workflows.validation import validate
from autoseg.workflows.validation_part import Begun, begun_speed

log = logging.getLogger(__name__)

SPEED = PredictConfig().speed


def open_cases(
    order: Order, cases: Fold, ranks: Ranks = ALONE
) -> tuple[list[PreparedCase], list[PreparedCase]]:
    """Return the prepared training and validation cases as memory maps.

    Of a cascade with what its previous stage predicted of them, which is made now if need be.
    """
    maps = ranks.decide(lambda: store_previous(order.previous, cases, order.plan, order.arrays))
    train, held_out = (
        [open_prepared(order.arrays, case, maps) for case in ids]
        for ids in (cases.train, cases.validation)
    )
    return train, held_out


def validate_fold(
    order: Order,
    network: nn.Module,
    held_out: Sequence[PreparedCase],
    speed: str,
    stop: StopRequest,
    ranks: Ranks = ALONE,
) -> Summary | None:
    """Validate `network`, whose weights the bundle holds; None where nothing was held out.

    A validation of these weights that was interrupted goes on, at the speed it began with.
    """
    if not held_out:
        return None
    identity = ranks.decide(lambda: _identity(order))
    speed = ranks.decide(lambda: begun_speed(order.validation, identity) or speed)
    count = Count("validation", len(held_out))

    def look() -> None:
        stop.check()
        count.step()

    predictor = dataclasses.replace(make_predictor(order, network, speed), interrupt=look)

    def predict(array: np.ndarray) -> Tensor:
        count.begin(predictor.rounds(array.shape[1:]))
        return predictor(array)

    begun = Begun(identity, speed)
    return validate(
        predict, held_out, order.plan, order.prepared, order.validation, begun, stop, count, ranks
    )


def _identity(order: Order) -> str:
    """Return a hash of the weights and of the data they are validated on."""
    card = open_bundle(order.bundle, [order.fold], trust=True).fold_cards[order.fold]
    recipe = read_manifest(order.arrays).recipe
    natives = [order.prepared / "labels" / f"{case}.npz" for case in order.cases.validation]
    stamps = [(path.stat().st_size, path.stat().st_mtime_ns) for path in natives]
    return fingerprint_of([__version__, card.sha256, recipe, order.cases.validation, stamps])


# --- again ---------------------------------------------------------------------------------------


def trained_orders(orders: Sequence[Order]) -> list[Order]:
    """Return the orders whose weights can be validated again; raise UsageError for none."""
    place, model = str(orders[0].bundle), f"{orders[0].configuration.name}-{orders[0].size}"
    if not (orders[0].bundle / "card.json").is_file():
        models = orders[0].bundle.parents[1].glob("*/bundle/card.json")
        trained = ", ".join(sorted(path.parents[1].name for path in models))
        raise UsageError(
            f"{model} is not trained", place=place, remedy=f"trained: {trained or 'none'}"
        )
    info = open_bundle(orders[0].bundle, trust=True)
    there = [order for order in orders if order.fold in info.fold_cards]
    ready = [order for order in there if order.cases.validation]
    if not there:
        raise UsageError(
            f"fold {', '.join(order.fold for order in orders)} of {model} is not trained",
            place=place, expected=f"one of the trained folds: {', '.join(info.fold_cards)}",
        )  # fmt: skip
    if not ready:
        raise UsageError(f"fold {there[0].fold} has no validation cases", place=place)
    for order in orders:
        if order not in ready:
            why = "has no validation cases" if order in there else "is not trained"
            log.info("fold %s %s; skipped", order.fold, why)
    for order in ready:
        _check_trained(order, info)
    return ready


def _check_trained(order: Order, info: BundleInfo) -> None:
    """Raise when a fold is not finished, or was trained by another plan or on these cases."""
    if order.resume.is_dir() and not order.result.is_file():
        raise UsageError(
            f"fold {order.fold} is not finished",
            place=str(order.run),
            remedy="the command that trains it, without --validate, continues it",
        )
    now = dataclasses.replace(order, config=info.config).model_id
    if info.fold_cards[order.fold].model_id != now:
        raise CorruptError(
            f"the plan, or the previous stage, has changed since fold {order.fold} was trained",
            place=str(order.bundle),
            remedy="train it again, or put the former plan back and run autoseg_plan",
        )
    known = _read_result(order).get("cases")
    if known is not None and known != cases_id(order):
        raise DataError(
            f"the folds have changed since fold {order.fold} was trained: it may have learnt from "
            "what are now its validation cases",
            place=str(order.run),
            remedy="put the former folds back, or train it again with --overwrite",
        )


def cases_id(order: Order) -> str:
    """Return a hash of the cases that a fold is trained and validated on."""
    return fingerprint_of(to_json(order.cases))


def _read_result(order: Order) -> dict[str, Any]:
    return dict(read_json(order.result)) if order.result.is_file() else {}


def validate_again(order: Order, stop: StopRequest, ranks: Ranks = ALONE) -> Summary | None:
    """Validate the weights in the bundle anew; scores and `result.json` are replaced at the end."""
    bundle = load_bundle(order.bundle, [order.fold], trust=True)
    (network,) = load_networks(bundle)
    log.info("validating fold %s of %s-%s again", order.fold, order.configuration.name, order.size)
    order = dataclasses.replace(order, config=bundle.config)
    _, held_out = open_cases(order, Fold((), order.cases.validation), ranks)
    summary = validate_fold(order, network.to(order.device), held_out, SPEED, stop, ranks)

    def finish() -> None:
        record_folds(order.bundle.parent, order.plan.labels)
        card = open_bundle(order.bundle, [order.fold], trust=True).fold_cards[order.fold].card
        # Of a model that came without its run: what the card knows.
        new = {"fold": order.fold, "steps": card.get("steps"), "cases": cases_id(order)}
        write_json(order.result, new | _read_result(order) | {"foreground_mean": means_of(summary)})

    ranks.decide(finish)
    return summary


def means_of(summary: Summary | None) -> dict[str, float | None]:
    """Return the mean of every metric over targets, as `result.json` holds it."""
    means = summary.foreground_mean if summary else {}
    return {name: mean.mean for name, mean in means.items()}
