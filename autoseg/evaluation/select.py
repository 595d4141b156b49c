"""What to predict with: one model or the mean of two, chosen by the Dice of out-of-fold cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from autoseg.errors import DataError, number_of
from autoseg.evaluation.rules import MARGIN, mean_of
from autoseg.evaluation.summary import summarise
from autoseg.labels import Labels
from autoseg.results import CaseScores, Choice, Summary

COMPARABLE = ("mode", "nsd_tolerance_mm", "targets")  # of a header: must agree to be pooled
PLUS = " + "  # between the models of a pair


def pool_folds(folds: Mapping[str, Summary], labels: Labels, model: str) -> Summary:
    """Return one summary over the out-of-fold cases of all folds of a model.

    Each case is scored once: the mean is over cases, never over the means of folds.
    Raises DataError naming folds that hold the same case, or were scored with other settings.
    """
    first = next(iter(folds))
    header = dict(folds[first].header)
    origin: dict[str, str] = {}
    failed: dict[str, str] = {}
    for fold, summary in folds.items():
        for key in COMPARABLE:
            if summary.header.get(key) != header.get(key):
                raise DataError(
                    f"fold {fold} was scored with {key} {summary.header.get(key)}, "
                    f"fold {first} with {header.get(key)}",
                    place=model,
                    remedy="train that fold again, or evaluate its validation folder by itself",
                )
        for case in summary.cases:
            if case.case in origin:
                raise DataError(
                    f"'{case.case}' was validated in fold {origin[case.case]} and in fold {fold}",
                    place=model,
                    expected="each case in one fold",
                    remedy="the folds were changed after training: train them again",
                )
            origin[case.case] = fold
        failed |= summary.failed
    cases = [
        replace(case, prediction_file=_from_models(case.prediction_file, model, fold))
        for fold, summary in folds.items()
        for case in summary.cases
    ]
    return summarise(cases, labels, header | {"folds": list(folds)}, failed)


def _from_models(file: str, model: str, fold: str) -> str:
    """Return where a fold's label map lies, seen from the folder of all models."""
    return f"{model}/run/fold_{fold}/validation/{file}" if file else ""


def usable(summaries: Mapping[str, Summary]) -> dict[str, Summary]:
    """Return the models in which every case could be scored."""
    return {model: summary for model, summary in summaries.items() if not summary.failed}


def shared_cases(summaries: Mapping[str, Summary]) -> frozenset[str]:
    """Return the ids of the cases that every model has scored."""
    ids = [frozenset(case.case for case in summary.cases) for summary in summaries.values()]
    return frozenset.intersection(*ids) if ids else frozenset()


def choose_best(
    summaries: Mapping[str, Summary], labels: Labels, among: frozenset[str] | None = None
) -> Choice:
    """Return the model of the highest mean foreground Dice, or a pair, and the evidence.

    The name of a pair is those of two models with `PLUS` between. It costs two predictions, so it
    is chosen only when it is better than the best single model by more than `MARGIN`.
    Compared are only cases that every model has scored (and that are in `among`); without any such
    case, or with one model, the one with most cases is taken, and the reasons say so.
    """
    models = usable(summaries)
    if not models:
        return Choice((), {}, ("No model can be chosen: in each, cases could not be scored.",))
    shared = shared_cases(models)
    if not shared:
        singles = [name for name in models if PLUS not in name]
        model = max(singles or models, key=lambda name: len(models[name].cases))
        why = f"{model}: the models share no scored case, so they cannot be compared; most cases."
        ids = frozenset(case.case for case in models[model].cases)
        return Choice((model,), _evidence({model: models[model]}, labels, ids), (why,))
    counted = shared if among is None else shared & among
    evidence = _evidence(models, labels, counted)
    if not evidence:
        model = min(models)
        return Choice((model,), {}, (f"{model}: no reference holds a target; first by name.",))
    return _compare(evidence, len(counted))


def _compare(evidence: Mapping[str, float], cases: int) -> Choice:
    how_many = number_of(cases, "case")
    singles = [name for name in evidence if PLUS not in name]
    pairs = [name for name in evidence if PLUS in name]
    model = max(singles or pairs, key=lambda name: evidence[name])
    if len(evidence) == 1:
        why = (
            f"{model}: the only model, mean foreground Dice {evidence[model]:.4f} over {how_many}."
        )
        return Choice(tuple(model.split(PLUS)), evidence, (why,))
    reasons = []
    if singles and pairs:
        pair = max(pairs, key=lambda name: evidence[name])
        gain = evidence[pair] - evidence[model]
        better = gain > MARGIN
        reasons.append(
            f"The best pair, {pair}, differs from the best single model, {model}, by {gain:+.4f}: "
            f"{'more' if better else 'not more'} than the {MARGIN:g} that a second model must add."
        )
        model = pair if better else model
    others = ", ".join(f"{n} {d:.4f}" for n, d in evidence.items() if n != model)
    best = "best mean foreground Dice" if model == max(evidence, key=lambda n: evidence[n]) else (
        "mean foreground Dice"
    )  # fmt: skip
    why = (
        f"{model}: {best}, {evidence[model]:.4f}, over the {how_many} that "
        f"all models have scored ({others})."
    )
    return Choice(tuple(model.split(PLUS)), evidence, (why, *reasons))


def dice_of(cases: Sequence[CaseScores], labels: Labels) -> np.ndarray:
    """Return (n, K) the Dice of each case and target, NaN where it is not defined."""
    rows = [[case.metrics[name]["dice"].value for name in labels.names] for case in cases]
    return np.array(rows, dtype=np.float64).reshape(len(cases), len(labels.names))


def has_reference(cases: Sequence[CaseScores], labels: Labels) -> np.ndarray:
    """Return (n, K) bool: does the reference of a case hold the target?"""
    rows = [[bool(c.metrics[name]["n_ref"].value) for name in labels.names] for c in cases]
    return np.array(rows, dtype=bool).reshape(len(cases), len(labels.names))


def foreground_dice(dice: np.ndarray, present: np.ndarray) -> float | None:
    """Return the mean over targets of their mean over cases; `dice` and `present` are (n, K).

    Targets that no reference holds are left out, as in `summarise`; None when nothing is left.
    """
    means = mean_of(dice)[present.any(0)]
    means = means[~np.isnan(means)]
    return float(means.mean()) if means.size else None


def _evidence(
    summaries: Mapping[str, Summary], labels: Labels, among: frozenset[str]
) -> dict[str, float]:
    """Return the mean foreground Dice of each model over `among`, where it has one."""
    found = {}
    for model, summary in summaries.items():
        cases = [case for case in summary.cases if case.case in among]
        mean = foreground_dice(dice_of(cases, labels), has_reference(cases, labels))
        if mean is not None:
            found[model] = mean
    return found
