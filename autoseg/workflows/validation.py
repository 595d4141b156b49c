"""Predict the validation cases of a fold in full and score them on their native labels.

Everything comes from `prepared/`, so this needs neither `raw/` nor SimpleITK.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from autoseg.errors import Stopped
from autoseg.evaluation.score import make_header, score_case
from autoseg.evaluation.summary import judged, occurs, summarise
from autoseg.evaluation.tables import write_summary
from autoseg.files import write_atomically
from autoseg.image import Geometry
from autoseg.inference.export import decode_restored
from autoseg.inference.scores import FOLDER, CutScores, ScoreKeeper, cut_scores
from autoseg.io import write_labels
from autoseg.label_table import value_names
from autoseg.labels import Labels
from autoseg.plan import Plan
from autoseg.preprocessing.native import read_native
from autoseg.preprocessing.npz import write_npz
from autoseg.preprocessing.prepare import Frame
from autoseg.preprocessing.previous import with_previous
from autoseg.preprocessing.store import PreparedCase
from autoseg.progress import Count, live_line
from autoseg.results import CaseScores, Summary
from autoseg.stopping import StopRequest
from autoseg.training.distributed import ALONE, Ranks
from autoseg.workflows.validation_part import Begun, DoneCase, Part, open_part

log = logging.getLogger(__name__)

Predict = Callable[[np.ndarray], Tensor]

CAUTION = 1.15  # a real prediction has been timed, but only one


def predict_labels(predict: Predict, case: PreparedCase, labels: Labels) -> np.ndarray:
    """Return the predicted label map (Z, Y, X) of a prepared case on the grid of its scan."""
    return decode_restored(predict(input_of(case)), case.frame, labels)


def input_of(case: PreparedCase) -> np.ndarray:
    """Return what a predictor takes of a case: (C, z, y, x) float32, in a cascade C + 1."""
    image = np.array(case.image, dtype=np.float32)
    return image if case.previous is None else with_previous(image, case.previous)


def estimate_seconds(
    predict: Predict,
    cases: Sequence[PreparedCase],
    labels: Labels,
    prepared: Path,
    ranks: Ranks = ALONE,
) -> float:
    """Return how long `validate` will take, from predicting and scoring the median case once."""
    if not cases:
        return 0.0
    case = sorted(cases, key=lambda c: c.labels.size)[len(cases) // 2]
    share = sum(c.labels.size for c in cases) / max(1, case.labels.size)
    share *= math.ceil(len(cases) / ranks.size) / len(cases)
    begin = time.monotonic()
    predict_labels(predict, case, labels)
    if time.monotonic() - begin < 2.0:  # the first call warmed up; time another
        begin = time.monotonic()
        predict_labels(predict, case, labels)
    predicting = time.monotonic() - begin
    begin = time.monotonic()
    # An untrained network's noise has surfaces everywhere; the reference is like a real prediction.
    score(read_native(prepared, case.id), case, labels, prepared)
    return CAUTION * (predicting + time.monotonic() - begin) * share


def score(
    label_map: np.ndarray, case: PreparedCase, labels: Labels, prepared: Path, file: str = ""
) -> CaseScores:
    """Return the scores of a predicted label map on the native grid of `case`."""
    reference = read_native(prepared, case.id)
    if labels.ignore is not None:
        label_map = np.where(label_map == labels.ignore, 0, label_map)
    scores = score_case(
        label_map, reference, case.frame.source, labels,
        case=case.id, tags=case.tags, annotated=case.annotated, prediction_file=file,
    )  # fmt: skip
    return replace(scores, group=case.group)


@dataclass(frozen=True)
class Validated:
    """What is kept of a validation case."""

    case: str
    frame: Frame
    label_map: np.ndarray  # (Z, Y, X), on the grid of the scan
    logits: CutScores
    scores: CaseScores


def validate(
    predict: Predict,
    cases: Sequence[PreparedCase],
    plan: Plan,
    prepared: Path,
    output: Path,
    begun: Begun,
    stop: StopRequest,
    count: Count,
    ranks: Ranks = ALONE,
) -> Summary:
    """Write label maps, scores, `metrics.csv` and `summary.json` to `output`; return the summary.

    What was there is replaced when all is done. Cases that an interrupted validation of the same
    `begun` has finished are not predicted again. The scores are kept for ensembles
    (`inference/scores.py`). Several ranks predict and score one case each at a time, and the first
    writes.
    """
    ending = plan.file_ending
    if importlib.util.find_spec("SimpleITK") is None:
        log.info("SimpleITK is not installed here: validation label maps are written as .npz")
        ending = ".npz"
    part = ranks.decide(lambda: open_part(output, begun))
    left = [case for case in cases if case.id not in part.done]
    finished = f"; {len(cases) - len(left)} are finished already" if len(left) < len(cases) else ""
    log.info("predicting and scoring %d validation cases in full%s", len(cases), finished)

    def look_at(some: Sequence[PreparedCase]) -> list[Validated]:
        return [validate_case(predict, case, plan, prepared, ending, stop) for case in some]

    keeper = ranks.decide(lambda: make_keeper(part, plan.labels))

    def write(found: Sequence[Validated]) -> None:
        for each in found:
            keeper.put(each.case, each.logits, each.frame)
            path = part.result / each.scores.prediction_file
            write_label_map(path, each.label_map, each.frame.source, plan.labels)
            part.add(DoneCase(each.scores, keeper.kept.get(each.case)))

    shown = live_line(count.describe) if ranks.first else contextlib.nullcontext()
    count.start(len(left))
    with shown:
        for start in range(0, len(left), ranks.size):
            mine = left[start + ranks.rank : start + ranks.rank + 1]
            found = ranks.gather(ranks.together(partial(look_at, mine)))
            ranks.decide(partial(write, [each for some in found for each in some]))
            count.add(min(ranks.size, len(left) - start))

    def sum_up() -> Summary:
        keeper.close()
        scores = [part.done[case.id].scores for case in cases]
        summary = summarise(scores, plan.labels, make_header(plan.labels))
        write_summary(part.result, summary)
        part.replace(output)
        _report_controls(summary)
        return summary

    return ranks.decide(sum_up)


def make_keeper(part: Part, labels: Labels) -> ScoreKeeper:
    """Return the keeper of scores that goes on where `part` ends."""
    kept, folder = part.kept, part.result / FOLDER
    if kept is None:
        return ScoreKeeper(folder, labels, full=True)
    return ScoreKeeper(folder, labels, kept=kept)


def validate_case(
    predict: Predict,
    case: PreparedCase,
    plan: Plan,
    prepared: Path,
    ending: str,
    stop: StopRequest,
) -> Validated:
    """Predict and score one case."""
    if stop.signal_name:
        raise Stopped(
            f"stopped by {stop.signal_name} while predicting validation cases",
            remedy="run the same command again: training is done, and finished cases are kept",
        )
    logits = predict(input_of(case))
    label_map = decode_restored(logits, case.frame, plan.labels)
    found = score(label_map, case, plan.labels, prepared, f"{case.id}{ending}")
    cut = cut_scores(logits.cpu().numpy(), plan.labels)
    return Validated(case.id, case.frame, label_map, cut, found)


def write_label_map(path: Path, label_map: np.ndarray, geometry: Geometry, labels: Labels) -> None:
    """Write a label map (Z, Y, X) as an image file, or as an `.npz` where that is its ending."""
    if path.suffix == ".npz":
        write_atomically(path, lambda s: write_npz(s, {"labels": label_map}, compress=True))
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_labels(path, label_map, geometry, names=value_names(labels))


def _report_controls(summary: Summary) -> None:
    """Log what was found in scans that have no target, tag by tag."""
    for tag in sorted({tag for case in summary.cases for tag in case.tags}):
        tagged = [case for case in summary.cases if tag in case.tags]
        for target in summary.mean:
            group = judged(tagged, target)
            if not group or occurs(group, target):
                continue
            false = [case.metrics[target]["fp"].value or 0 for case in group]
            log.info(
                "%s: %s in %d of %d cases without any, %.1f voxels on average, %.0f at most",
                tag, target, sum(f > 0 for f in false), len(group), np.mean(false), max(false),
            )  # fmt: skip
