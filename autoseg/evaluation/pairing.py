"""Two folders of label maps become pairs, and pairs become scores; what is evaluated."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from autoseg.dataset import ENDINGS, ending_of
from autoseg.dataset_json import Declaration, parse_declaration
from autoseg.errors import DataError, Problem, UsageError
from autoseg.evaluation.label_maps import load_label_map
from autoseg.evaluation.score import score_case
from autoseg.files import read_json
from autoseg.io import read_labels
from autoseg.labels import Labels
from autoseg.results import CaseScores


@dataclass(frozen=True)
class Pair:
    """The two label maps of one case; file types may differ."""

    id: str
    reference: Path
    prediction: Path | None  # None: missing, and allowed to be
    tags: tuple[str, ...] = ()
    group: str | None = None  # patient; None: the case is its own
    annotated: tuple[str, ...] | None = None  # targets annotated in the reference; None = all


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
    """Return the pairs of the reference folder's cases (or of `cases`), matched by name.

    A missing prediction is a problem unless `allow_missing`; an extra one is only named.
    """
    problems: list[Problem] = []
    ours = _label_files(references, "references", problems)
    theirs = _label_files(predictions, "predictions", problems)
    if references.is_file() and predictions.is_file():
        theirs = dict.fromkeys(ours, predictions)
    pairs = []
    for case in sorted(ours if cases is None else cases):
        if case not in ours:
            problems.append(Problem(case, "no reference", f"{references}/{case}.*"))
        elif case not in theirs and not allow_missing:
            problems.append(Problem(case, "no prediction", f"{predictions}/{case}.*"))
        else:
            pairs.append(Pair(case, ours[case], theirs.get(case)))
    if ours and theirs and not set(ours) & set(theirs):
        raise DataError(
            f"no file name of the two folders agrees: '{min(ours)}' and '{min(theirs)}'",
            place=str(predictions),
            expected="one name for a case in both folders",
            remedy="rename the files of one folder",
        )
    return Pairing(tuple(pairs), tuple(sorted(set(theirs) - set(ours))), tuple(problems))


def _label_files(place: Path, what: str, problems: list[Problem]) -> dict[str, Path]:
    """Return case -> file of a folder (or of a single file), hidden ones left out."""
    if not place.exists():
        raise UsageError("not found", place=str(place), expected=f"a folder with {what}")
    paths = [place] if place.is_file() else sorted(place.iterdir())
    found: dict[str, Path] = {}
    for path in paths:
        if not ending_of(path) or path.name.startswith("."):
            continue
        case = path.name.removesuffix(ending_of(path))
        if case in found:
            problems.append(
                Problem(
                    str(path), f"the same case as {found[case].name}", remedy="keep one of them"
                )
            )
        found.setdefault(case, path)
    if not found:
        endings = ", ".join(ENDINGS)
        raise UsageError("no label maps here", place=str(place), expected=f"files in {endings}")
    return found


# --- what is evaluated ---------------------------------------------------------------------------


def find_declaration(*folders: Path) -> Declaration | None:
    """Return what the first `dataset.json` in or just above one of the folders declares."""
    for folder in folders:
        for place in (folder / "dataset.json", folder.resolve().parent / "dataset.json"):
            if not place.is_file():
                continue
            declaration, problems, _ = parse_declaration(read_json(place), str(place))
            if declaration is None:
                raise DataError("cannot be used", place=str(place), problems=problems)
            return declaration
    return None


def values_found(pair: Pair) -> tuple[set[int], set[int]]:
    """Return the non-zero values of the reference and of the prediction."""
    files = (pair.reference, pair.prediction)
    ours, theirs = (
        set(load_label_map(read_labels(file).array[0], str(file)).boxes) if file else set()
        for file in files
    )
    return ours, theirs


def labels_of_values(found: Iterable[tuple[set[int], set[int]]], place: str) -> Labels:
    """Return one target for each value that occurs anywhere, named after it.

    Raises DataError when references and predictions have no value in common: 1 and 255 may mean
    the same, but nobody said so.
    """
    ours: set[int] = set()
    theirs: set[int] = set()
    for reference, prediction in found:
        ours |= reference
        theirs |= prediction
    if ours and theirs and not ours & theirs:
        raise DataError(
            f"predictions hold the values {_listed(theirs)}, references {_listed(ours)}",
            place=place,
            expected="the same values, or a dataset.json that declares them",
            remedy="import one of the folders with --label-map",
        )
    if not ours | theirs:
        raise DataError("every label map is empty", place=place, expected="some label values")
    return Labels({str(value): (value,) for value in sorted(ours | theirs)})


def _listed(values: set[int]) -> str:
    return ", ".join(str(value) for value in sorted(values)[:10])


# --- scores --------------------------------------------------------------------------------------


def score_pair(
    pair: Pair, labels: Labels, tolerances: Mapping[str, float], mode: str = "surfel"
) -> CaseScores:
    """Read the two files of a pair and return its scores, with the reference's spacing."""
    reference = read_labels(pair.reference)
    prediction = None if pair.prediction is None else read_labels(pair.prediction).array[0]
    scores = score_case(
        prediction,
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
    )
    return replace(scores, group=pair.group)
