"""A report that can be shown to others: cases by number, no patients, no files, no folders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from random import SystemRandom

from autoseg.errors import Problem
from autoseg.plan import Fingerprint
from autoseg.report.material import Material, Model, Run
from autoseg.results import CaseScores, DatasetStatistics, Mean, Summary

WORD = r"[^\s,;:'\"()]"
PATH = re.compile(rf"(?:[A-Za-z]:)?{WORD}*[/\\]{WORD}*|{WORD}+\.(?:nii|json|csv|npz|dcm)\S*")
SMALL = re.compile(r"0|[1-9]\d{0,2}")  # a name that may as well be a number of something else
NAMING = r"\b(?:case|group|patient|scan|image)s? (?:\S+?(?:,| and) )*['\"]?"
LEFT_OUT = "[left out]"


def anonymise(material: Material) -> Material:
    """Return the material with "case 1" for each name, in an order that tells nothing.

    What a check has found is counted, not quoted: its words name files. In other sentences, paths
    and names of cases and patients are left out.
    """
    names = _numbered(material)
    secret = _secrets(material, names)
    statistics, measured = material.statistics, material.fingerprint
    plan, choice = material.plan, material.choice
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
        fingerprint=None if measured is None else _fingerprint(measured, names),
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
        unreadable=tuple(
            replace(file, problem=Problem("a file", "cannot be read"))
            for file in material.unreadable
        ),
        overlays={names[case]: uri for case, uri in material.overlays.items()},
    )


def scrub(text: str, secret: frozenset[str]) -> str:
    """Return the sentence without paths, and without the words in `secret`."""
    text = PATH.sub(LEFT_OUT, text)
    for word in sorted(secret, key=len, reverse=True):
        if SMALL.fullmatch(word):  # "cases 3, 4" and "(3: ..." name a case, "batch 3" does not
            text = re.sub(rf"({NAMING}|\((?={word}:)){word}(?!\w|\.\d)", rf"\1{LEFT_OUT}", text)
        else:
            text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", LEFT_OUT, text)
    return text


def _numbered(material: Material) -> dict[str, str]:
    cases = {case for fold in material.folds for case in fold}
    cases |= {case.case for case in material.statistics.cases} if material.statistics else set()
    cases |= set(material.fingerprint.cases) if material.fingerprint else set()
    for model in material.models:
        cases |= set(model.fold_of)
    for summary in (*(model.summary for model in material.models), material.chosen):
        if summary is not None:
            cases |= {case.case for case in summary.cases} | set(summary.failed)
    ordered = sorted(cases)
    # By name they would keep the order of admission, say; an order that can be computed again
    # would tell everybody who knows the names.
    SystemRandom().shuffle(ordered)
    return {case: f"case {number}" for number, case in enumerate(ordered, start=1)}


def _secrets(material: Material, names: Mapping[str, str]) -> frozenset[str]:
    cases = [*(material.statistics.cases if material.statistics else ())]
    groups = {case.group for case in cases} | {tag for case in cases for tag in case.tags}
    for model in material.models:
        for case in model.summary.cases if model.summary else ():
            groups |= {case.group, *case.tags}
    return frozenset(word for word in {*names, *groups} if word)


def _statistics(found: DatasetStatistics, names: Mapping[str, str]) -> DatasetStatistics:
    cases = [replace(case, case=names[case.case], group=None, tags=()) for case in found.cases]
    return replace(found, cases=tuple(cases))


def _fingerprint(found: Fingerprint, names: Mapping[str, str]) -> Fingerprint:
    return replace(found, cases=tuple(names[case] for case in found.cases), warnings=())


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
