"""Which trained model to predict with: the best mean foreground Dice over the same cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autoseg.errors import DataError
from autoseg.evaluation.summary import summarise
from autoseg.labels import Labels
from autoseg.results import CaseScores, Choice, Summary

COMPARABLE = ("mode", "nsd_tolerance_mm", "targets")  # of a header: must agree to be pooled


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
    cases = [case for summary in folds.values() for case in summary.cases]
    return summarise(cases, labels, header | {"folds": list(folds)}, failed)


def choose_best(summaries: Mapping[str, Summary], labels: Labels) -> Choice:
    """Return the model of the highest mean foreground Dice, and the evidence.

    Compared are only cases that every model has scored; without any such case, or with one model,
    the one with most cases is taken, and the reasons say so.
    """
    usable = {model: summary for model, summary in summaries.items() if not summary.failed}
    if not usable:
        return Choice((), {}, ("No model can be chosen: in each, cases could not be scored.",))
    shared = _shared_cases(usable)
    if not shared:
        model = max(usable, key=lambda name: len(usable[name].cases))
        why = f"{model}: the models share no scored case, so they cannot be compared; most cases."
        return Choice((model,), _evidence({model: usable[model].cases}, labels), (why,))
    cases = {
        model: [case for case in summary.cases if case.case in shared]
        for model, summary in usable.items()
    }
    evidence = _evidence(cases, labels)
    if not evidence:
        model = min(usable)
        return Choice((model,), {}, (f"{model}: no reference holds a target; first by name.",))
    model = max(evidence, key=lambda name: evidence[name])
    how_many = f"{len(shared)} case{'s' * (len(shared) != 1)}"
    if len(usable) == 1:
        why = (
            f"{model}: the only model, mean foreground Dice {evidence[model]:.4f} over {how_many}."
        )
    else:
        others = ", ".join(f"{n} {d:.4f}" for n, d in evidence.items() if n != model)
        why = (
            f"{model}: best mean foreground Dice, {evidence[model]:.4f}, over the {how_many} that "
            f"all models have scored ({others})."
        )
    return Choice((model,), evidence, (why,))


def _shared_cases(summaries: Mapping[str, Summary]) -> set[str]:
    ids = [{case.case for case in summary.cases} for summary in summaries.values()]
    return set.intersection(*ids)


def _evidence(cases: Mapping[str, Sequence[CaseScores]], labels: Labels) -> dict[str, float]:
    """Return the mean foreground Dice of each model, where it has one."""
    means = {
        model: summarise(scores, labels).foreground_mean["dice"].mean
        for model, scores in cases.items()
    }
    return {model: mean for model, mean in means.items() if mean is not None}
