"""Cases with made-up scores."""

from __future__ import annotations

from autoseg.evaluation.metrics import COUNTS, DISTANCES, SCORES, skipped
from autoseg.results import BOTH_EMPTY, OK, PRED_EMPTY, REF_EMPTY, SKIPPED, CaseScores, Value


def case(name: str, tags: tuple[str, ...] = (), diagonal: float = 100.0, **targets) -> CaseScores:
    """Return a case with one target for each keyword: its Dice, or a status for an empty mask."""
    metrics = {target: metrics_of(value) for target, value in targets.items()}
    return CaseScores(name, metrics, (1.0, 1.0, 1.0), diagonal, tags=tags)


def metrics_of(dice: float | str) -> dict[str, Value]:
    """Return all metrics of one target; distances are 10 (1 - Dice)."""
    status = dice if isinstance(dice, str) else OK
    if status == SKIPPED:
        return skipped()
    n_ref = 0 if status in (BOTH_EMPTY, REF_EMPTY) else 50
    n_pred = 0 if status in (BOTH_EMPTY, PRED_EMPTY) else 40
    values: dict[str, Value] = {}
    for name in SCORES:
        if status != OK:
            fraction = None if name in DISTANCES or status == BOTH_EMPTY else 0.0
            values[name] = Value(fraction, status)
        else:
            values[name] = Value(10 * (1 - float(dice)) if name in DISTANCES else float(dice))
    tp = 30 if status == OK else 0
    counts = dict(n_ref=n_ref, n_pred=n_pred, tp=tp, fp=n_pred - tp, fn=n_ref - tp)  # noqa: C408
    counts |= {"vol_ref_ml": n_ref, "vol_pred_ml": n_pred, "fp_volume_ml": counts["fp"] / 1000}
    counts |= {"tn": 1000 - n_ref - n_pred + tp, "vol_diff_ml": n_pred - n_ref}
    return values | {name: Value(counts[name]) for name in COUNTS}
