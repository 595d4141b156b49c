"""A report that can be shown to others: cases by number, no patients, no files, no folders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from random import SystemRandom

from autoseg.report.material import Material, Model, Run
from autoseg.results import CaseScores, DatasetStatistics, Mean, Summary

WORD = r"[^\s,;:'\"()]"
PATH = re.compile(rf"(?:[A-Za-z]:)?{WORD}*[/\\]{WORD}*|{WORD}+\.(?:nii|json|csv|npz|dcm)\S*")
SMALL = re.compile(r"\d{1,3}")
LEFT_OUT = "[left out]"


def anonymise(material: Material) -> Material:
    """Return the material with "case 1" for each name, in an order that tells nothing.

    What a check has found is counted, not quoted: its words name files. In other sentences, paths
    and names of cases and patients are left out.
    """
    names = _numbered(material)
    secret = _secrets(material, names)
    statistics, plan, choice = material.statistics, material.plan, material.choice
    if plan is not None:
        plan = replace(
            plan,
            reasons=tuple(scrub(text, secret) for text in plan.reasons),
            overrides=tuple(scrub(text, secret) for text in plan.overrides),
        )
    if choice is not None:
        choice = replace(choice, reasons=tuple(scrub(text, secret) for text in choice.reasons))
    return replace(
        material,
        statistics=None if statistics is None else _statistics(statistics, names),
        checked=None if material.checked is None else replace(material.checked, quoted=False),
        plan=plan,
        choice=choice,
        chosen=None if material.chosen is None else _summary(material.chosen, names),
        folds=tuple(tuple(names[case] for case in fold) for fold in material.folds),
        models=tuple(_model(model, names, secret) for model in material.models),
        scenes={
            names[case]: replace(scene, title=names[case], origin=(0.0, 0.0, 0.0))
            for case, scene in material.scenes.items()
        },
        overlays={names[case]: uri for case, uri in material.overlays.items()},
    )


def scrub(text: str, secret: frozenset[str]) -> str:
    """Return the sentence without paths, and without the words in `secret`."""
    text = PATH.sub(LEFT_OUT, text)
    for word in sorted(secret, key=len, reverse=True):
        text = re.sub(rf"(?<![\w]){re.escape(word)}(?![\w])", LEFT_OUT, text)
    return text


def _numbered(material: Material) -> dict[str, str]:
    cases = {case for fold in material.folds for case in fold}
    cases |= {case.case for case in material.statistics.cases} if material.statistics else set()
    for model in material.models:
        cases |= set(model.fold_of)
        if model.summary is not None:
            cases |= {case.case for case in model.summary.cases} | set(model.summary.failed)
    ordered = sorted(cases)
    # By name they would keep the order of admission, say; an order that can be computed again
    # would tell everybody who knows the names.
    SystemRandom().shuffle(ordered)
    return {case: f"case {number}" for number, case in enumerate(ordered, start=1)}


def _secrets(material: Material, names: Mapping[str, str]) -> frozenset[str]:
    groups = {case.group for case in material.statistics.cases} if material.statistics else set()
    for model in material.models:
        groups |= {case.group for case in model.summary.cases} if model.summary else set()
    # A name that is a small number would take numbers of other things out of sentences.
    return frozenset(word for word in {*names, *groups} if word and not SMALL.fullmatch(word))


def _statistics(found: DatasetStatistics, names: Mapping[str, str]) -> DatasetStatistics:
    cases = [replace(case, case=names[case.case], group=None, tags=()) for case in found.cases]
    return replace(found, cases=tuple(cases))


def _model(model: Model, names: Mapping[str, str], secret: frozenset[str]) -> Model:
    runs: dict[str, Run] = {
        fold: replace(run, reasons=tuple(scrub(text, secret) for text in run.reasons))
        for fold, run in model.runs.items()
    }
    return replace(
        model,
        runs=runs,
        summary=None if model.summary is None else _summary(model.summary, names),
        fold_of={names[case]: fold for case, fold in model.fold_of.items()},
        facts={name: scrub(value, secret) for name, value in model.facts.items()},
    )


def _summary(summary: Summary, names: Mapping[str, str]) -> Summary:
    return replace(
        summary,
        cases=tuple(_case(case, names) for case in summary.cases),
        mean={target: _means(means, names) for target, means in summary.mean.items()},
        case_mean=_means(summary.case_mean, names),
        failed={names[case]: LEFT_OUT for case in summary.failed},
        by_tag={},
    )


def _case(case: CaseScores, names: Mapping[str, str]) -> CaseScores:
    return replace(
        case, case=names[case.case], group=None, tags=(), reference_file="", prediction_file=""
    )


def _means(means: Mapping[str, Mean], names: Mapping[str, str]) -> dict[str, Mean]:
    return {
        metric: replace(mean, minimum_case=names.get(mean.minimum_case, ""))
        for metric, mean in means.items()
    }
