"""Where each artefact lives in a workspace, and which dataset is meant when none is named."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from autoseg.errors import UsageError, suggest

NUMBERED = r"(?:Dataset(?=\d{3}_)|Task)(\d+)_"  # folders of nnU-Net and MSD


@dataclass(frozen=True)
class Workspace:
    """A folder with `raw/`, `prepared/` and `models/`."""

    root: Path

    def raw(self, dataset: str) -> Path:
        """`raw/SEGTHOR`: `dataset.json`, `imagesTr/`, `labelsTr/`; never written after import."""
        return self.root / "raw" / dataset

    def prepared(self, dataset: str) -> Path:
        """`prepared/SEGTHOR`: fingerprint, plan, folds, labels, a folder per configuration."""
        return self.root / "prepared" / dataset

    def plan(self, dataset: str) -> Path:
        """`prepared/SEGTHOR/plan.json`."""
        return self.prepared(dataset) / "plan.json"

    def folds(self, dataset: str) -> Path:
        """`prepared/SEGTHOR/folds.json`."""
        return self.prepared(dataset) / "folds.json"

    def models(self, dataset: str) -> Path:
        """`models/SEGTHOR`."""
        return self.root / "models" / dataset

    def model(self, dataset: str, configuration: str, size: str) -> Path:
        """`models/SEGTHOR/3d_fullres-M`: `bundle/` (can be mailed) and `run/` (private)."""
        return self.models(dataset) / f"{configuration}-{size}"

    def bundle(self, dataset: str, configuration: str, size: str) -> Path:
        """`models/SEGTHOR/3d_fullres-M/bundle`."""
        return self.model(dataset, configuration, size) / "bundle"

    def run(self, dataset: str, configuration: str, size: str, fold: str) -> Path:
        """`models/SEGTHOR/3d_fullres-M/run/fold_0`: resume state, history, log, validation."""
        return self.model(dataset, configuration, size) / "run" / f"fold_{fold}"

    def search(self, dataset: str, name: str) -> Path:
        """`models/SEGTHOR/search/3d_fullres-M`: the trials of a search, and what came of it."""
        return self.models(dataset) / "search" / name

    def best(self, dataset: str) -> Path:
        """`models/SEGTHOR/best.json`: the chosen configuration or ensemble, and the rules."""
        return self.models(dataset) / "best.json"

    def raw_datasets(self) -> list[str]:
        """Names of the folders in `raw/` that hold a `dataset.json`."""
        return sorted(path.parent.name for path in (self.root / "raw").glob("*/dataset.json"))

    def planned_datasets(self) -> list[str]:
        """Names of the planned datasets, the one planned last first."""
        plans = list((self.root / "prepared").glob("*/plan.json"))
        return [p.parent.name for p in sorted(plans, key=lambda p: -p.stat().st_mtime_ns)]

    def find_raw(self, name: str | None) -> str:
        """Return the folder in `raw/` meant by `name`: `Dataset012_SEGTHOR`, `SEGTHOR` or `12`."""
        return _find(
            name, self.raw_datasets(), self.root / "raw", "put one there, or autoseg import"
        )

    def find_planned(self, name: str | None) -> str:
        """Return the planned dataset meant by `name`; None: the one planned last."""
        planned = self.planned_datasets()
        if name is None and planned:
            return planned[0]
        return _find(name, planned, self.root / "prepared", "run autoseg_plan -d NAME first")


def _find(name: str | None, known: list[str], folder: Path, remedy: str) -> str:
    if name is None and len(known) == 1:
        return known[0]
    if name is None:
        fact = "no dataset named" if known else "there is no dataset"
        remedy = f"name one with -d: {', '.join(known)}" if known else remedy
        raise UsageError(fact, place=str(folder), remedy=remedy)
    matches = [k for k in known if _short(k) == _short(name) or _number(k) == name.lstrip("0")]
    if name in matches:
        return name
    if len(matches) == 1:
        return matches[0]
    if matches:
        fact = f"dataset '{name}' could be {' or '.join(matches)}"
        raise UsageError(fact, place=str(folder), remedy="name its folder with -d")
    raise UsageError(
        f"unknown dataset '{name}'",
        place=str(folder),
        remedy=suggest(name, known) if known else remedy,
    )


def _short(name: str) -> str:
    return re.sub(NUMBERED, "", name)


def _number(name: str) -> str | None:
    """Return "12" for `Dataset012_SEGTHOR`, None for a folder without a number."""
    match = re.match(NUMBERED, name)
    return match[1].lstrip("0") if match else None
