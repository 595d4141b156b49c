"""The facts of a model card: what a model sees and finds, what it learnt from, how well it does.

No case, no path, no name of a machine is in it; numbers of cases are. `card_text.py` says it in
words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from statistics import median
from typing import Any

from autoseg.plan import Fingerprint
from autoseg.results import Mean, Summary

SHOWN = ("dice", "hd95", "nsd")  # metrics that a card tells
# Other spellings in dataset.json: of the Medical Segmentation Decathlon, of nnU-Net.
SPELLINGS = {"licence": ("licence", "license"), "reference": ("reference", "citation")}

Range = tuple[float, float, float]  # smallest, median, largest


@dataclass(frozen=True)
class About:
    """What only the author knows, as free text; empty: not stated."""

    description: str = ""
    intended_use: str = ""
    licence: str = ""
    reference: str = ""
    author: str = ""
    contact: str = ""


@dataclass(frozen=True)
class TrainingData:
    """What the training cases have in common; canonical axes (Z, Y, X)."""

    cases: int
    spacing_mm: tuple[Range, Range, Range]
    extent_mm: tuple[Range, Range, Range]  # field of view, inside the non-zero box


@dataclass(frozen=True)
class Score:
    """The mean of one metric over cases, with how many entered."""

    mean: float | None
    n: int
    of: int
    ci95: tuple[float, float] | None = None
    penalised: float | None = None


@dataclass(frozen=True)
class Results:
    """What the cross-validation so far says: every case was scored by a fold that never saw it."""

    folds: tuple[str, ...]
    cases: int
    foreground: Mapping[str, Score]  # metric -> mean over targets that occur
    targets: Mapping[str, Mapping[str, Score]]  # target -> metric -> mean over cases
    mode: str = ""  # where surfaces lie
    nsd_tolerance_mm: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelCard:
    """The part of `card.json` that is meant for people."""

    about: About = field(default_factory=About)
    data: TrainingData | None = None
    results: Results | None = None
    rules: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)  # on its label maps


def about_from(dataset: Any) -> About:
    """Return what the parsed `dataset.json` says about itself; whatever is not text is left out."""
    if not isinstance(dataset, Mapping):
        return About()
    found = {}
    for entry in fields(About):
        texts = [dataset.get(key) for key in SPELLINGS.get(entry.name, (entry.name,))]
        found[entry.name] = next((t.strip() for t in texts if isinstance(t, str) and t.strip()), "")
    return About(**found)


def training_data(fingerprint: Fingerprint) -> TrainingData:
    """Return the ranges of voxel size and field of view of the measured cases."""
    extents = [
        [n * mm for n, mm in zip(shape, spacing, strict=True)]
        for shape, spacing in zip(fingerprint.shapes, fingerprint.spacings, strict=True)
    ]
    return TrainingData(len(fingerprint.cases), _ranges(fingerprint.spacings), _ranges(extents))


def _ranges(rows: Any) -> tuple[Range, Range, Range]:
    z, y, x = (tuple(float(row[axis]) for row in rows) for axis in range(3))
    return _range(z), _range(y), _range(x)


def _range(values: tuple[float, ...]) -> Range:
    low, middle, high = (round(v, 4) for v in (min(values), median(values), max(values)))
    return low, middle, high


def results_of(summary: Summary, folds: tuple[str, ...]) -> Results:
    """Return what a card tells of the pooled validations of `folds`."""
    header = summary.header
    return Results(
        folds,
        len(summary.cases),
        _scores(summary.foreground_mean),
        {target: _scores(means) for target, means in summary.mean.items()},
        str(header.get("mode", "")),
        dict(header.get("nsd_tolerance_mm") or {}),
    )


def _scores(means: Mapping[str, Mean]) -> dict[str, Score]:
    return {
        name: Score(mean.mean, mean.n, mean.of, mean.ci95, mean.penalised)
        for name, mean in means.items()
        if name in SHOWN
    }


def merge(old: ModelCard, new: ModelCard) -> ModelCard:
    """Return `old` with what `new` knows; texts that stand in `old`, perhaps by hand, stay."""
    kept = {f.name: getattr(old.about, f.name) or getattr(new.about, f.name) for f in fields(About)}
    return replace(
        old, about=About(**kept), data=new.data or old.data, results=new.results or old.results
    )
