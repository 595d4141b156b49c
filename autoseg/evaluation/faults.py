"""What is wrong with the voxels of a pair of label maps, told before or instead of scoring it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autoseg.errors import DataError, Problem
from autoseg.evaluation.grids import problems_of
from autoseg.evaluation.label_maps import LabelMap, load_label_map, undeclared
from autoseg.evaluation.pair import Pair, read_prediction, read_reference
from autoseg.labels import Labels


@dataclass(frozen=True)
class Inspection:
    """The non-zero values of reference and prediction, and what is wrong with the two files."""

    reference: frozenset[int]
    prediction: frozenset[int]
    problems: tuple[Problem, ...]


def inspect_pair(pair: Pair, labels: Labels | None = None) -> Inspection:
    """Read both files of a pair; with `labels`, values that no target has are problems too."""
    problems: list[Problem] = []
    ours = _load(pair, "reference", problems)
    theirs = _load(pair, "prediction", problems)
    if labels is not None:
        ignored = [] if labels.ignore is None else [labels.ignore]
        allowed = [*labels.values, *ignored]
        problems += undeclared(ours, allowed, str(pair.reference), "--reference-map")
        problems += undeclared(theirs, labels.values, str(pair.prediction), "--label-map")
    return Inspection(frozenset(ours.boxes), frozenset(theirs.boxes), tuple(problems))


def _load(pair: Pair, which: str, problems: list[Problem]) -> LabelMap:
    """Return one of the two label maps, or an empty one when it is missing or cannot be used."""
    nothing = load_label_map(np.zeros((0, 0, 0), np.uint8), "")
    try:
        if which == "reference":
            return load_label_map(read_reference(pair).array[0], str(pair.reference))
        prediction = read_prediction(pair)
    except DataError as error:
        problems += problems_of(error, pair.id)
        return nothing
    return nothing if prediction is None else load_label_map(prediction, str(pair.prediction))
