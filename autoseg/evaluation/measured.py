"""What is measured on a model's out-of-fold predictions, once for each set of rules asked for."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from autoseg.evaluation.components import (
    CaseTable,
    Counts,
    count,
    counts_with,
    tabulate,
)
from autoseg.io import read_labels
from autoseg.labels import Labels
from autoseg.parallel import map_cases
from autoseg.postprocess import apply_rules
from autoseg.preprocessing.native import read_native
from autoseg.preprocessing.npz import read_label_map
from autoseg.rules import Rule, Rules, thresholds

Candidate = tuple[str, Rule]  # what it applies to, and the rule
Decode = Callable[[str, Sequence[float]], np.ndarray]  # case, thresholds (K,) -> label map


@dataclass(frozen=True)
class PredictedCase:
    """An out-of-fold prediction as a file, and where its reference lies."""

    id: str
    prediction: Path
    prepared: Path  # prepared/<dataset>, holds labels/<case>.npz
    spacing: tuple[float, float, float]  # mm
    annotated: tuple[str, ...] | None


@dataclass(frozen=True)
class Measured:
    """The predictions of one model; what was measured on them is kept, for it is asked again."""

    cases: tuple[PredictedCase, ...]
    labels: Labels
    workers: int = 0
    decode: Decode | None = None  # from kept scores, with other thresholds; it pickles
    _tables: dict[Hashable, tuple[CaseTable, ...]] = field(default_factory=dict)
    _trials: dict[Hashable, tuple[tuple[Counts, ...], ...]] = field(default_factory=dict)

    @property
    def _bare(self) -> Measured:
        """What a worker needs: neither the other cases nor what is known about them."""
        return Measured((), self.labels, decode=self.decode)

    def tables(self, rules: Rules) -> tuple[CaseTable, ...]:
        """Return a table for each case, of its prediction after `rules`."""
        key = tuple(rules.items())
        if key not in self._tables:
            work = partial(_tabulate, data=self._bare, rules=rules)
            found = map_cases(work, self.cases, workers=self.workers, title="components")
            self._tables[key] = tuple(outcome.result() for outcome in found)
        return self._tables[key]

    def trials(
        self, rules: Rules, scopes: tuple[str, ...], further: tuple[Rule, ...]
    ) -> tuple[tuple[Counts, ...], ...]:
        """Return for each case its counts after `rules` and then, scope by scope, each `further`.

        All in one pass: nothing is read again while nothing is adopted.
        """
        key = (tuple(rules.items()), scopes, further)
        if key not in self._trials:
            before = [table.counts for table in self.tables(rules)]
            candidates = tuple((scope, rule) for scope in scopes for rule in further)
            work = partial(_try, data=self._bare, rules=rules, candidates=candidates)
            items = list(zip(self.cases, before, strict=True))
            found = map_cases(work, items, workers=self.workers, title="rules", name=_case_of)
            self._trials[key] = tuple(outcome.result() for outcome in found)
        return self._trials[key]


def _load(case: PredictedCase, data: Measured, rules: Rules) -> tuple[np.ndarray, np.ndarray]:
    """Return the label maps (Z, Y, X) of a case: predicted, after `rules`, and true."""
    return predict_again(case, data, rules), read_native(case.prepared, case.id)


def predict_again(case: PredictedCase, data: Measured, rules: Rules) -> np.ndarray:
    """Return the predicted label map (Z, Y, X) of a case after `rules`, thresholds included."""
    labels, limits = data.labels, thresholds(rules, data.labels)
    if limits is not None and data.decode is not None:
        found = data.decode(case.id, limits)
    else:
        found = read_prediction(case.prediction)
    if labels.ignore is not None:
        found = np.where(found == labels.ignore, 0, found)
    return apply_rules(found, case.spacing, labels, rules)


def read_prediction(path: Path) -> np.ndarray:
    """Return a validation's label map (Z, Y, X): an image file, or an `.npz` without SimpleITK."""
    return read_label_map(path) if path.suffix == ".npz" else read_labels(path).array[0]


def _tabulate(case: PredictedCase, data: Measured, rules: Rules) -> CaseTable:
    found, reference = _load(case, data, rules)
    return tabulate(case.id, found, reference, case.spacing, data.labels, case.annotated)


def _try(
    item: tuple[PredictedCase, Counts],
    data: Measured,
    rules: Rules,
    candidates: tuple[Candidate, ...],
) -> tuple[Counts, ...]:
    case, before = item
    if candidates[0][1].name == "threshold":
        return tuple(_decoded_counts(case, data, rules, *candidate) for candidate in candidates)
    found, reference = _load(case, data, rules)
    return tuple(
        counts_with(found, reference, case.spacing, data.labels, before, scope, rule)
        for scope, rule in candidates
    )


def _decoded_counts(
    case: PredictedCase, data: Measured, rules: Rules, scope: str, rule: Rule
) -> Counts:
    found, reference = _load(case, data, {**rules, scope: (*rules.get(scope, ()), rule)})
    truth = data.labels.encode(reference)
    return count(data.labels.encode(found), truth, data.labels, case.annotated)


def _case_of(item: tuple[PredictedCase, Counts]) -> str:
    return item[0].id
