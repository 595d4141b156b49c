"""The cross-validation so far: what the finished folds of every trained model say together.

>>> trained = collect_models(models, labels, split)
>>> result = decide("HIPPO", trained, labels, split, prepared)      # best model, rules, optimism
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.evaluation.measured import Decode, Measured, PredictedCase
from autoseg.evaluation.optimism import Decision, estimate_optimism
from autoseg.evaluation.rules import search_rules
from autoseg.evaluation.score import score_case
from autoseg.evaluation.select import (
    PLUS,
    choose_best,
    dice_of,
    has_reference,
    shared_cases,
    usable,
)
from autoseg.evaluation.trained import Trained
from autoseg.image import Geometry
from autoseg.labels import Labels
from autoseg.preprocessing.native import read_native
from autoseg.results import SKIPPED, CaseScores, Choice, RuleTrial, Summary
from autoseg.rules import describe_rules, rules_json


@dataclass(frozen=True)
class CrossValidation:
    """Every trained model of a dataset, what was chosen, and what was lacking."""

    dataset: str
    summaries: Mapping[str, Summary]
    folds: Mapping[str, tuple[str, ...]]
    of: int  # folds there are
    choice: Choice
    notes: tuple[str, ...] = ()
    measured: Mapping[str, Measured] = field(default_factory=dict)  # models with all label maps
    final: Summary | None = None  # the chosen model's cases with its rules applied, if it has any

    @property
    def chosen(self) -> Summary:
        """The summary of the chosen model or pair, before any rules."""
        return self.summaries[PLUS.join(self.choice.models) or next(iter(self.summaries))]


def decide(
    dataset: str,
    trained: Trained,
    labels: Labels,
    split: Sequence[Sequence[str]],
    prepared: Path | None = None,
    workers: int = 0,
    decoders: Mapping[str, Decode] | None = None,
) -> CrossValidation:
    """Choose a model or a pair, then its rules, and estimate how much that choice flatters itself.

    `prepared` holds the references (`labels/<case>.npz`); None: no rules are tried. `decoders` of
    models of overlapping targets whose scores were kept: thresholds are tried with them.
    """
    choice = choose_best(trained.summaries, labels)
    notes, measured = list(trained.notes), dict[str, Measured]()
    if choice.models:
        measured, lacking = _measurable(trained, labels, prepared, workers, decoders or {})
        notes += lacking
        choice = _add_rules(choice, trained, labels, measured)
    return CrossValidation(
        dataset, trained.summaries, trained.folds, len(split), choice, tuple(notes), measured
    )


def score_again(
    label_map: np.ndarray,
    case: CaseScores,
    labels: Labels,
    prepared: Path,
    header: Mapping[str, Any],
    file: str = "",
) -> CaseScores:
    """Return the scores of another label map (Z, Y, X) of a case that was scored before.

    `header` is that of the summary `case` is from: surfaces and tolerances stay the same.
    """
    reference = read_native(prepared, case.case)
    if labels.ignore is not None:
        label_map = np.where(label_map == labels.ignore, 0, label_map)
    z, y, x = reference.shape
    found = score_case(
        label_map, reference, Geometry((z, y, x), case.spacing), labels,
        case=case.case, tags=case.tags, annotated=_annotated(case),
        tolerances=header.get("nsd_tolerance_mm"), mode=header.get("mode", "surfel"),
        reference_file=case.reference_file, prediction_file=file or case.prediction_file,
    )  # fmt: skip
    return replace(found, group=case.group)


def _add_rules(
    choice: Choice, trained: Trained, labels: Labels, measured: Mapping[str, Measured]
) -> Choice:
    model = PLUS.join(choice.models)
    final, trials = _with_rules(model, frozenset(trained.fold_of), measured)
    candidates = usable(trained.summaries)
    shared = shared_cases(candidates) or frozenset(c.case for c in candidates[model].cases)
    cases = [case for case in candidates[model].cases if case.case in shared]

    def choose_among(ids: frozenset[str]) -> Decision | None:
        if not ids & shared:
            return None
        again = choose_best(trained.summaries, labels, ids)
        return _with_rules(PLUS.join(again.models), ids, measured)[0] if again.models else None

    def score(decision: Decision, ids: Sequence[str]) -> np.ndarray:
        name, rules = decision
        if name in measured and rules:
            tables = {table.case: table.counts.dice() for table in measured[name].tables(rules)}
            return np.array([tables[case] for case in ids])
        known = {case.case: case for case in trained.summaries[name].cases}
        return dice_of([known[case] for case in ids], labels)

    estimate = estimate_optimism(
        final, cases, has_reference(cases, labels), trained.fold_of, choose_among, score, _describe
    )
    return replace(choice, rules=rules_json(final[1]), trials=trials, estimate=estimate)


def _with_rules(
    model: str, among: frozenset[str], measured: Mapping[str, Measured]
) -> tuple[Decision, tuple[RuleTrial, ...]]:
    if model not in measured:
        return (model, {}), ()
    rules, trials = search_rules(measured[model], among)
    return (model, rules), trials


def _describe(decision: Decision) -> str:
    model, rules = decision
    return f"{model}; {describe_rules(rules)}" if rules else model


def _measurable(
    trained: Trained,
    labels: Labels,
    prepared: Path | None,
    workers: int,
    decoders: Mapping[str, Decode],
) -> tuple[dict[str, Measured], list[str]]:
    """Return the models of which all label maps and references are there, and what is lacking."""
    found: dict[str, Measured] = {}
    notes = []
    for model, summary in usable(trained.summaries).items():
        if prepared is None:
            break
        cases = tuple(
            PredictedCase(
                case.case, trained.label_maps[model][case.case], prepared, case.spacing,
                _annotated(case),
            )
            for case in summary.cases
        )  # fmt: skip
        absent = [case.id for case in cases if not _is_there(case)]
        if absent:
            names = ", ".join(absent[:5])
            notes.append(f"{model}: no rules tried, {len(absent)} label maps are gone: {names}")
        else:
            found[model] = Measured(cases, labels, workers, decoders.get(model))
    return found, notes


def _is_there(case: PredictedCase) -> bool:
    return case.prediction.is_file() and (case.prepared / "labels" / f"{case.id}.npz").is_file()


def _annotated(case: CaseScores) -> tuple[str, ...]:
    return tuple(name for name, m in case.metrics.items() if m["n_ref"].status != SKIPPED)
