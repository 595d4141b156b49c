"""Kept validation scores, decoded again: two models together, or with other thresholds."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from autoseg.errors import number_of
from autoseg.evaluation.crossvalidation import score_again
from autoseg.evaluation.select import PLUS
from autoseg.evaluation.summary import summarise
from autoseg.evaluation.tables import SUMMARY, read_summary, write_summary
from autoseg.evaluation.trained import Trained
from autoseg.inference.export import decode_mean
from autoseg.inference.scores import FOLDER, KeptScores, read_index, read_scores
from autoseg.labels import Labels
from autoseg.locks import locked
from autoseg.parallel import map_cases
from autoseg.records import fingerprint_of
from autoseg.results import CaseScores, Summary
from autoseg.workflows.validation import write_label_map

log = logging.getLogger(__name__)

Kept = Mapping[str, tuple[Path, KeptScores]]  # case -> folder and entry of its scores


@dataclass(frozen=True)
class Decoder:
    """The label maps of validated cases, from the kept scores of one model or several."""

    members: tuple[Kept, ...]  # of each model
    labels: Labels

    def __call__(self, case: str, thresholds: Sequence[float] | None = None) -> np.ndarray:
        """Return the label map (Z, Y, X) of a case; `thresholds` (K,) as in `decode_mean`."""
        scores = []
        for kept in self.members:
            folder, entry = kept[case]
            array = read_scores(folder, case, entry, self.labels)
            scores.append((torch.from_numpy(array), entry.frame))
        return decode_mean(scores, self.labels, thresholds)


def make_decoder(
    members: Sequence[str], cases: Sequence[str], trained: Trained, models: Path, labels: Labels
) -> Decoder | None:
    """Return the decoder of a model or pair; None when it has not kept the scores of all cases."""
    kept = [_kept_scores(models / model, trained.folds[model]) for model in members]
    if not all(case in found for case in cases for found in kept):
        return None
    return Decoder(tuple(kept), labels)


def score_pair(
    pair: tuple[str, str], trained: Trained, models: Path, prepared: Path, labels: Labels
) -> tuple[Summary, dict[str, Path]] | str:
    """Return the summary and label maps of two models' mean probabilities, or what is lacking.

    Scored are the cases that both models have validated. Label maps and summary are written to
    `models`/ensembles/<A>+<B>/, and read from there while the scores are the same.
    """
    kept = [_kept_scores(models / model, trained.folds[model]) for model in pair]
    known = {case.case: case for case in trained.summaries[pair[0]].cases}
    shared = sorted(set(known) & {case.case for case in trained.summaries[pair[1]].cases})
    if not shared:
        return "not scored as an ensemble: both have validated no common case"
    for model, found in zip(pair, kept, strict=True):
        if not all(case in found for case in shared):
            return f"not scored as an ensemble: {model} has not kept its validation scores"
    cases = [known[case] for case in shared]
    folder = models / "ensembles" / "+".join(pair)
    header = {k: v for k, v in trained.summaries[pair[0]].header.items() if k != "folds"}
    header |= {"models": list(pair), "scores": _identity(cases, kept, labels)}
    with locked(folder, "autoseg_evaluate"):
        summary = _read_earlier(folder, header["scores"])
        if summary is None:
            log.info("scoring %s together on %s", PLUS.join(pair), number_of(len(cases), "case"))

            def work(case: CaseScores) -> CaseScores:
                return _score_case(case, kept, prepared, labels, folder, header)

            outcomes = map_cases(work, cases, title="ensemble", name=lambda case: case.case)
            summary = summarise([outcome.result() for outcome in outcomes], labels, header)
            write_summary(folder, summary)
    return summary, {case.case: folder / case.prediction_file for case in summary.cases}


def _kept_scores(model: Path, folds: tuple[str, ...]) -> Kept:
    found: dict[str, tuple[Path, KeptScores]] = {}
    for fold in folds:
        folder = model / "run" / f"fold_{fold}" / "validation" / FOLDER
        index = read_index(folder)
        if index is not None:
            found |= {case: (folder, entry) for case, entry in index.cases.items()}
    return found


def _identity(cases: list[CaseScores], kept: list[Kept], labels: Labels) -> str:
    """Return a hash that changes when a model is validated again."""
    facts = [fingerprint_of(labels)]
    for case in cases:
        for found in kept:
            folder, entry = found[case.case]
            written = (folder / f"{case.case}.npz").stat().st_mtime_ns
            facts.append(f"{case.case} {entry.bytes} {written}")
    return fingerprint_of(facts)


def _read_earlier(folder: Path, scores: str) -> Summary | None:
    if not (folder / SUMMARY).is_file():
        return None
    summary = read_summary(folder / SUMMARY)
    there = all((folder / case.prediction_file).is_file() for case in summary.cases)
    return summary if there and summary.header.get("scores") == scores else None


def _score_case(
    case: CaseScores,
    kept: list[Kept],
    prepared: Path,
    labels: Labels,
    folder: Path,
    header: Mapping[str, object],
) -> CaseScores:
    label_map = Decoder(tuple(kept), labels)(case.case)
    source = kept[0][case.case][1].frame.source
    path = folder / Path(case.prediction_file).name
    if path.suffix != ".npz" and importlib.util.find_spec("SimpleITK") is None:
        path = folder / f"{case.case}.npz"
    write_label_map(path, label_map, source, labels)
    return score_again(label_map, case, labels, prepared, header, path.name)
