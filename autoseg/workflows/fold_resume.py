"""What a checkpoint must match for a fold to go on from it."""

from __future__ import annotations

import logging
from typing import Any

import torch

from autoseg.config import TrainConfig
from autoseg.errors import CorruptError, UsageError
from autoseg.records import fingerprint_of, from_json, to_json
from autoseg.training.checkpoint import Checkpoint, load_checkpoint
from autoseg.training.decide import Decision
from autoseg.workflows.order import Order

log = logging.getLogger(__name__)

ADJUSTABLE = (
    "epochs",
    "steps",
    "keep_every",
    "trackers",
    "compile",
)  # may differ when a run is continued


def recall(checkpoint: Checkpoint | None) -> Decision | None:
    """Return what was decided when the run began; None without a checkpoint."""
    if checkpoint is None:
        return None
    return from_json(Decision, checkpoint.facts["decision"], "resume")


def facts_of(order: Order, decision: Decision) -> dict[str, Any]:
    """Return what a checkpoint keeps of its run, to tell whether it may be continued."""
    return {
        "model": order.model_id,
        "design": fingerprint_of(order.design),
        "cases": fingerprint_of(to_json(order.cases)),
        "asked": to_json(order.config),
        "decision": to_json(decision),
        "torch": torch.__version__,
    }


def find_checkpoint(order: Order) -> tuple[Checkpoint | None, float]:
    """Return the checkpoint to continue from, and the seconds spent before it; None, 0.0: begin."""
    checkpoint = load_checkpoint(order.resume)
    return checkpoint, check_same_run(checkpoint, order) if checkpoint else 0.0


def check_same_run(checkpoint: Checkpoint, order: Order) -> float:
    """Return the seconds spent so far; raise when the checkpoint belongs to another command."""
    facts = checkpoint.facts
    design = fingerprint_of(order.design)
    cases = fingerprint_of(to_json(order.cases))
    before = facts["model"], facts.get("design", design), facts["cases"]
    if before != (order.model_id, design, cases):
        stage = f", or {order.previous.model} was trained again," if order.previous else ""
        raise CorruptError(
            f"the plan or the folds have changed{stage} since this training began",
            place=str(order.run),
            remedy="--overwrite starts it again and keeps the old run as fold_<f>.bak-<time>",
        )
    asked = to_json(order.config)
    begun = to_json(from_json(TrainConfig, facts["asked"], "resume"))  # of older versions too
    changed = [k for k in asked if k not in ADJUSTABLE and asked[k] != begun[k]]
    if changed:
        was = ", ".join(f"{name}={begun[name]}" for name in changed)
        raise UsageError(
            f"an unfinished training with other settings is there ({was})",
            place=str(order.run),
            remedy="use its settings to continue it, or --overwrite to start again",
        )
    if facts["torch"] != torch.__version__:
        log.warning("begun with torch %s, continued with %s: the weights will not be bit-equal to "
                    "an undisturbed run", facts["torch"], torch.__version__)  # fmt: skip
    return float(facts["training"]["spent_s"])
