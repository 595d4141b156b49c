"""Scores of validation cases, kept for ensembles: float16 logits on the prepared grid.

<folder>/<case>.npz   scores (channels, z, y, x) float16, cut to the box where the network is not
                      certain of background
<folder>/index.json   `ScoreIndex`: frames and boxes; written last: where it stands, all are there

A fold keeps at most `MOST_BYTES`; where its scores would take more, it keeps none and says so.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np

from autoseg.errors import CorruptError
from autoseg.files import read_json, write_atomically, write_json
from autoseg.labels import Labels
from autoseg.preprocessing.crop import Box, crop
from autoseg.preprocessing.npz import map_npz, write_npz
from autoseg.preprocessing.prepare import Frame
from autoseg.records import from_json

log = logging.getLogger(__name__)

FORMAT = "autoseg-scores-1"
FOLDER, INDEX = "scores", "index.json"
MOST_BYTES = 8 << 30  # of one fold
FREE_SHARE = 4  # and at most this part of the disk's free space
# Logits by which background must win, or by which overlapping targets must lose, outside the box:
# a probability of 0.0003. There, linear interpolation meets these numbers and no larger ones.
CERTAIN = 8.0


@dataclass(frozen=True)
class KeptScores:
    """Where the scores of a case lie on its prepared grid, and how that lies on its scan."""

    frame: Frame
    box: Box  # half-open, in voxels of the prepared grid; empty where all is background
    bytes: int  # of the .npz


@dataclass(frozen=True)
class ScoreIndex:
    """The statement that the scores of all cases of a fold lie in the folder."""

    cases: Mapping[str, KeptScores]
    format: str = FORMAT


@dataclass(frozen=True)
class CutScores:
    """The part of a case's scores that is worth keeping."""

    box: Box  # as in `KeptScores`
    part: np.ndarray  # (channels, *box) float16


def cut_scores(scores: np.ndarray, labels: Labels) -> CutScores:
    """Return the part of `scores` (channels, z, y, x) where background is not certain."""
    box = uncertain_box(scores, labels)
    return CutScores(box, crop(scores, box).astype(np.float16))


@dataclass
class ScoreKeeper:
    """Keeps the scores of one validation in `folder` as long as they fit in `most` bytes."""

    folder: Path
    labels: Labels
    most: int = MOST_BYTES
    full: bool = False
    kept: dict[str, KeptScores] = field(default_factory=dict)  # not empty: they lie there already

    def __post_init__(self) -> None:
        """Begin with an empty folder, or with the scores that were kept before."""
        if not self.kept:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.most = min(self.most, shutil.disk_usage(self.folder).free // FREE_SHARE)

    def keep(self, case: str, scores: np.ndarray, frame: Frame) -> None:
        """Write the scores (channels, z, y, x) of a case, or give up keeping any."""
        self.put(case, cut_scores(scores, self.labels), frame)

    def put(self, case: str, cut: CutScores, frame: Frame) -> None:
        """Write what `cut_scores` left of a case, or give up keeping any."""
        members = {"scores": cut.part}
        taken = sum(entry.bytes for entry in self.kept.values()) + cut.part.nbytes
        if self.full or taken > self.most:
            self._give_up()
            return
        path = self.folder / f"{case}.npz"
        write_atomically(path, lambda stream: write_npz(stream, members), durable=False)
        self.kept[case] = KeptScores(frame, cut.box, path.stat().st_size)

    def close(self) -> None:
        """Write the index, unless the scores were too large."""
        if self.full:
            return
        write_json(self.folder / INDEX, ScoreIndex(self.kept))
        size = sum(entry.bytes for entry in self.kept.values())
        log.info("validation scores kept for ensembles: %.3g MB", size / 1e6)

    def _give_up(self) -> None:
        if not self.full:
            log.info("validation scores are not kept, as they take more than %.3g GB: this fold "
                     "cannot be tried in an ensemble", self.most / 1e9)  # fmt: skip
        self.full = True
        shutil.rmtree(self.folder, ignore_errors=True)


def uncertain_box(scores: np.ndarray, labels: Labels) -> Box:
    """Return the box (half-open) outside of which `scores` (channels, z, y, x) are background."""
    if labels.exclusive:
        certain = scores[0] - scores[1:].max(0) > CERTAIN
    else:
        certain = scores.max(0) < -CERTAIN
    sides = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        found = np.flatnonzero(~certain.all(axis=others))
        sides.append((int(found[0]), int(found[-1]) + 1) if found.size else (0, 0))
    return (sides[0], sides[1], sides[2])


def read_index(folder: Path) -> ScoreIndex | None:
    """Return the index of kept scores; None when none were kept; CorruptError if not ours."""
    path = folder / INDEX
    if not path.is_file():
        return None
    found = read_json(path)
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise CorruptError("was written by another version", place=str(path), expected=FORMAT)
    return from_json(ScoreIndex, found, str(path))


def read_scores(folder: Path, case: str, kept: KeptScores, labels: Labels) -> np.ndarray:
    """Return the scores (channels, z, y, x) float32 of a case on its whole prepared grid."""
    part = map_npz(folder / f"{case}.npz", kept.bytes)["scores"]
    scores = np.full((labels.channels, *kept.frame.prepared_shape), -CERTAIN, dtype=np.float32)
    if labels.exclusive:
        scores[0], scores[1:] = CERTAIN, 0.0
    expected = (labels.channels, *(stop - start for start, stop in kept.box))
    if part.shape != expected:
        raise CorruptError(f"scores of shape {part.shape}", place=str(folder / f"{case}.npz"),
                           expected=str(expected))  # fmt: skip
    if prod(part.shape):
        crop(scores, kept.box)[...] = part
    return scores
