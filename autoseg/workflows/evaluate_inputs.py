"""What an evaluation works on: pairs of files, targets, and everything that is wrong with them."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from pathlib import Path

from autoseg.dataset_json import Declaration
from autoseg.errors import AutosegError, DataError, Problem, UsageError, number_of
from autoseg.evaluation.faults import Inspection, inspect_pair
from autoseg.evaluation.grids import grid_problems, problems_of
from autoseg.evaluation.pair import Pair
from autoseg.evaluation.pairing import Pairing, label_files, pair_files, pair_folders
from autoseg.evaluation.tables import SUMMARY
from autoseg.evaluation.targets import annotated_among, find_declaration, labels_of_values
from autoseg.files import read_json
from autoseg.hardware import cores
from autoseg.importing.patterns import find_matches
from autoseg.io import read_header
from autoseg.labels import Labels
from autoseg.parallel import map_cases
from autoseg.plan_file import load_plan
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)

CASE_MARK = "{case}"
# Below this many voxels one process is done before others have started.
VOXELS_FOR_WORKERS = 300_000_000


@dataclass(frozen=True)
class Places:
    """The two sides of an evaluation: folders, files, or patterns with `{case}`."""

    predictions: Path
    references: Path
    cases: Collection[str] | None = None
    allow_missing: bool = False
    ignore_geometry: bool = False
    prediction_map: Mapping[int, int] = field(default_factory=dict)
    reference_map: Mapping[int, int] = field(default_factory=dict)

    def header(self) -> dict[str, str]:
        """Return where both sides lie, in full: who owns a summary is told by it."""
        return {
            "predictions": str(self.predictions.absolute()),
            "references": str(self.references.absolute()),
        }


@dataclass(frozen=True)
class Inputs:
    """Pairs that can be scored, the targets, and what was left out."""

    pairs: tuple[Pair, ...]
    labels: Labels
    targets_source: str  # where the targets come from
    extra: tuple[str, ...] = ()  # predictions without a reference
    failed: Mapping[str, str] = field(default_factory=dict)  # case -> why it could not be read


def collect_inputs(
    places: Places,
    targets: Labels | None = None,
    workspace: Workspace | None = None,
    dataset: str | None = None,
    workers: int | None = None,
) -> Inputs:
    """Return what is to be scored; `targets`, else those of `dataset`, of a `dataset.json`, found.

    Raises DataError that lists everything wrong with any file: names, grids, values.
    """
    pairing = _pair(places)
    if pairing.extra:
        names = ", ".join(pairing.extra[:10])
        log.warning("%d predictions have no reference: %s", len(pairing.extra), names)
    declaration = find_declaration(_fixed(places.references), _fixed(places.predictions))
    labels, source = _targets(targets, workspace, dataset, declaration)
    pairs = tuple(_described(pair, places, declaration, labels) for pair in pairing.pairs)
    problems = [*pairing.problems, *grid_problems(pairs, places.ignore_geometry)]
    failed: dict[str, str] = {}
    if problems or labels is None:
        found, failed = _inspect(pairs, labels, choose_workers(pairs, workers))
        problems += [problem for inspection in found for problem in inspection.problems]
        if labels is None:
            labels = _labels_of(found, str(places.predictions), problems)
    if problems:
        raise everything_wrong(problems, str(places.predictions))
    if labels is None:
        raise UsageError("no case could be read", place=str(places.predictions))
    log.info("targets (%s): %s", source, ", ".join(labels.names))
    pairs = tuple(pair for pair in pairs if pair.id not in failed)
    return Inputs(pairs, labels, source, pairing.extra, failed)


def everything_wrong(problems: Sequence[Problem], place: str) -> DataError:
    """Return one error that lists all problems, each once."""
    unique = list(dict.fromkeys(problems))
    count = f"{number_of(len(unique), 'problem')}, nothing was scored"
    return DataError(count, place=place, problems=unique)


def choose_workers(pairs: Sequence[Pair], given: int | None) -> int:
    """Return 0 (no further processes) unless there are enough voxels to pay for starting them."""
    if given is not None:
        return given
    voxels = 0
    for pair in pairs:
        try:
            voxels += prod(read_header(pair.reference).geometry.shape)
        except AutosegError:  # told elsewhere
            continue
    return cores() if voxels > VOXELS_FOR_WORKERS and cores() > 1 else 0


def output_folder(places: Places, output: Path | None, overwrite: bool) -> Path:
    """Return where the summary goes: `output`, else beside the predictions.

    Raises UsageError when a summary of other folders lies there, unless `overwrite`.
    """
    folder = output or _fixed(places.predictions)
    if folder.is_file():
        folder = folder.parent
    path = folder / SUMMARY
    if overwrite or not path.is_file():
        return folder
    try:
        record = read_json(path)
    except DataError:
        record = None
    header = record.get("header") if isinstance(record, dict) else None
    before = {key: header.get(key) for key in places.header()} if isinstance(header, dict) else {}
    if before != places.header():
        owner = f"{before.get('predictions')} against {before.get('references')}"
        known = any(before.values())
        raise UsageError(
            f"is the evaluation of {owner}" if known else "was written by something else",
            place=str(path),
            remedy="name another folder (-o), or give --overwrite",
        )
    return folder


# --- pairs ---------------------------------------------------------------------------------------


def _pair(places: Places) -> Pairing:
    sides = (places.predictions, places.references)
    if not any(CASE_MARK in str(side) for side in sides):
        return pair_folders(*sides, places.cases, places.allow_missing)
    problems: list[Problem] = []
    theirs = _files(places.predictions, "predictions", problems)
    ours = _files(places.references, "references", problems)
    words = (str(places.predictions), str(places.references))
    pairing = pair_files(theirs, ours, words, places.cases, places.allow_missing)
    return replace(pairing, problems=(*problems, *pairing.problems))


def _files(place: Path, what: str, problems: list[Problem]) -> dict[str, Path]:
    if CASE_MARK not in str(place):
        return label_files(place, what, problems)
    found: dict[str, Path] = {}
    for match in find_matches(str(place)):
        if match.case in found:
            fact = f"the same case as {found[match.case]}"
            problems.append(Problem(str(match.path), fact, "one file a case", "narrow the pattern"))
        found.setdefault(match.case, match.path)
    return found


def _fixed(place: Path) -> Path:
    """Return the folder above the first mark of a pattern; a place without marks as it is."""
    parts = place.parts
    marked = [index for index, part in enumerate(parts) if "{" in part or "*" in part]
    return Path(*parts[: marked[0]]) if CASE_MARK in str(place) and marked else place


def _described(
    pair: Pair, places: Places, declaration: Declaration | None, labels: Labels | None
) -> Pair:
    """Return `pair` with what is declared about its case, and how its values are to be read."""
    pair = replace(pair, reference_map=places.reference_map, prediction_map=places.prediction_map)
    entry = declaration.entries.get(pair.id) if declaration else None
    if declaration is None or entry is None:
        return pair
    annotated = annotated_among(entry.annotated, declaration.labels, labels or declaration.labels)
    return replace(pair, tags=entry.tags, group=entry.group, annotated=annotated)


# --- targets -------------------------------------------------------------------------------------


def _targets(
    targets: Labels | None,
    workspace: Workspace | None,
    dataset: str | None,
    declaration: Declaration | None,
) -> tuple[Labels | None, str]:
    """Return the declared targets, if there are any, and where they come from."""
    if targets is not None:
        return _with_tolerances(targets, declaration), "argument"
    if dataset is not None:
        workspace = workspace or Workspace(Path())
        name = workspace.find_planned(dataset)
        return load_plan(workspace.plan(name)).labels, f"dataset {name}"
    if declaration is not None:
        return declaration.labels, "dataset.json"
    return None, "values found"


def _with_tolerances(targets: Labels, declaration: Declaration | None) -> Labels:
    """Return `targets` with the NSD tolerances declared for the same names and values."""
    declared = declaration.labels if declaration else targets
    tolerances = {
        name: tolerance
        for name, tolerance in declared.nsd_tolerance_mm.items()
        if set(targets.targets.get(name, ())) == set(declared.targets[name])
    }
    return replace(targets, nsd_tolerance_mm=tolerances)


def _inspect(
    pairs: Sequence[Pair], labels: Labels | None, workers: int
) -> tuple[list[Inspection], dict[str, str]]:
    """Return what the voxels of all pairs hold, and why others could not be looked at."""
    function = partial(inspect_pair, labels=labels)
    outcomes = list(map_cases(function, pairs, workers=workers, title="reading values"))
    failed = {o.item.id: str(o.error) or repr(o.error) for o in outcomes if o.error}
    return [o.result() for o in outcomes if o.error is None], failed


def _labels_of(found: Sequence[Inspection], place: str, problems: list[Problem]) -> Labels | None:
    """Return the values found as targets; when they cannot be, the reason joins the problems."""
    try:
        return labels_of_values(((set(i.reference), set(i.prediction)) for i in found), place)
    except DataError as error:
        if not problems:
            problems += problems_of(error, place)
        return None
