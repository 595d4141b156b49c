"""Two folders of label maps become pairs of files, and a pair becomes the scores of a case."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from autoseg.case_files import ENDINGS, ending_of, stem_of
from autoseg.errors import DataError, Problem, UsageError
from autoseg.evaluation.calibration import read_probabilities
from autoseg.evaluation.optional import OptionalGroups
from autoseg.evaluation.pair import Pair, read_prediction, read_reference
from autoseg.evaluation.score import score_case
from autoseg.labels import Labels
from autoseg.results import CaseScores


@dataclass(frozen=True)
class Pairing:
    """What two folders hold together, and what is wrong about it."""

    pairs: tuple[Pair, ...]
    extra: tuple[str, ...]  # predictions without a reference
    problems: tuple[Problem, ...]


def pair_folders(
    predictions: Path,
    references: Path,
    cases: Collection[str] | None = None,
    allow_missing: bool = False,
) -> Pairing:
    """Return the pairs of two folders, or of two files whatever their names; see `pair_files`."""
    problems: list[Problem] = []
    ours = label_files(references, "references", problems)
    theirs = label_files(predictions, "predictions", problems)
    if references.is_file() and predictions.is_file():
        theirs = dict.fromkeys(ours, predictions)
    pairing = pair_files(theirs, ours, (str(predictions), str(references)), cases, allow_missing)
    return replace(pairing, problems=(*problems, *pairing.problems))


def pair_files(
    predictions: Mapping[str, Path],
    references: Mapping[str, Path],
    places: tuple[str, str],
    cases: Collection[str] | None = None,
    allow_missing: bool = False,
) -> Pairing:
    """Return the pairs of the references' cases (or of `cases`), matched by name.

    A missing prediction is a problem unless `allow_missing`; an extra one is only named. `places`
    are words for where predictions and references lie. Raises DataError when no name agrees.
    """
    problems, pairs = [], []
    remedy = "predict it, or count it as empty (--allow-missing)"
    for case in sorted(references if cases is None else set(map(_composed, cases))):
        if case not in references:
            problems.append(Problem(case, "no reference", f"one in {places[1]}"))
        elif case not in predictions and not allow_missing:
            problems.append(Problem(case, "no prediction", f"one in {places[0]}", remedy))
        else:
            pairs.append(Pair(case, references[case], predictions.get(case)))
    if references and predictions and not set(references) & set(predictions):
        names = f"'{min(references)}' and '{min(predictions)}'"
        raise DataError(
            f"no file name of the two folders agrees: {names}",
            place=places[0],
            expected="one name for a case in both folders",
            remedy="rename the files, or say where the name stands: -p 'FOLDER/seg_{case}.nii.gz'",
        )
    extra = tuple(sorted(set(predictions) - set(references)))
    return Pairing(tuple(pairs), extra, tuple(problems))


def label_files(place: Path, what: str, problems: list[Problem]) -> dict[str, Path]:
    """Return case -> file of a folder (or of a single file), hidden ones left out.

    A case that has two files is added to `problems`.
    """
    if not place.exists():
        raise UsageError("not found", place=str(place), expected=f"a folder with {what}")
    paths = [place] if place.is_file() else sorted(place.iterdir())
    found: dict[str, Path] = {}
    for path in paths:
        if not ending_of(path) or path.name.startswith("."):
            continue
        case = _composed(stem_of(path))
        if case in found:
            fact = f"the same case as {found[case].name}"
            problems.append(Problem(str(path), fact, "one file a case", "keep one of them"))
        found.setdefault(case, path)
    if not found:
        inner = next((p for p in paths if p.is_dir() and any(map(ending_of, p.iterdir()))), None)
        name = next(filter(ending_of, sorted(inner.iterdir()))).name if inner else "FILE"
        raise UsageError(
            "no label maps here",
            place=str(place),
            expected=f"files in {', '.join(ENDINGS)}",
            remedy=f"for a folder a case, write '{place}/{{case}}/{name}'" if inner else "",
        )
    return found


def _composed(name: str) -> str:
    """Return `name` with accents as single characters: macOS writes the same name with two."""
    return unicodedata.normalize("NFC", name)


def score_pair(
    pair: Pair,
    labels: Labels,
    tolerances: Mapping[str, float],
    mode: str = "surfel",
    optional: OptionalGroups | None = None,
) -> CaseScores:
    """Read the files of a pair and return its scores, with the reference's spacing."""
    reference = read_reference(pair)
    optional = optional or OptionalGroups()
    folder = optional.probabilities
    scores = score_case(
        read_prediction(pair),
        reference.array[0],
        reference.geometry,
        labels,
        case=pair.id,
        tags=pair.tags,
        tolerances=tolerances,
        mode=mode,
        annotated=pair.annotated,
        reference_file=str(pair.reference),
        prediction_file="" if pair.prediction is None else str(pair.prediction),
        groups=optional.groups,
        lesion_rules=optional.lesions,
        probabilities=None if folder is None else read_probabilities(folder, pair.id, labels),
    )
    return replace(scores, group=pair.group)
