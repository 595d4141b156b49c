"""A case, a dataset, and `dataset.json` in nnU-Net's and MSD's layouts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autoseg.labels import Labels


@dataclass(frozen=True)
class Case:
    """One scan: its image files, its labels, and what is known about it."""

    id: str
    images: tuple[Path, ...]  # one per channel in channel order, or one 4-D file that holds all
    labels: Path | None = None  # None when predicting
    annotated: tuple[str, ...] | None = None  # targets that were annotated here; None = all
    group: str | None = None  # patient: cases of one group share a fold
    tags: tuple[str, ...] = ()  # "control", "site-A": folds are stratified by them


@dataclass(frozen=True)
class Dataset:
    """A folder of cases with one meaning."""

    name: str
    folder: Path
    channels: tuple[str, ...]
    labels: Labels
    cases: tuple[Case, ...]
    file_ending: str
