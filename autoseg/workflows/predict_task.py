"""What one prediction run does with every case, and the facts that tell it from other runs."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoseg import __version__
from autoseg.bundle import BundleInfo
from autoseg.case_files import ending_of, stem_of
from autoseg.config import PredictConfig
from autoseg.dataset import Case
from autoseg.inference.effort import Effort
from autoseg.inference.speed import describe_speed
from autoseg.records import to_json
from autoseg.rules import describe_rules, rules_json
from autoseg.workflows.predict_choice import Chosen
from autoseg.workflows.predict_inputs import LOSSY_ENDINGS

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """What is done with every case: by which models, how, where, and what is written."""

    chosen: Chosen
    config: PredictConfig
    device: str | None
    output: Path  # a folder for label maps, or the one file
    one_file: bool = False
    write: str = "labels"  # or "seg" or "rtstruct": DICOM objects
    given: bool = False  # cases bring the label map of a cascade's previous stage
    save_probabilities: bool = False
    budget_s: float | None = None  # for each case
    efforts: tuple[Effort, ...] = ()  # among which it chooses
    strict: bool = False  # refuses cases that are unlike the training data

    def file_of(self, case: Case) -> Path:
        """Return where the label map of `case` goes: to its own file type, but JPEG becomes PNG."""
        if self.one_file:
            return self.output
        if self.write != "labels":
            return self.output / f"{case.id}.{self.write}.dcm"
        ending = ending_of(case.images[0]) or ".nii.gz"  # without one: a DICOM series
        return self.output / f"{case.id}{'.png' if ending in LOSSY_ENDINGS else ending}"

    def probabilities_of(self, case: Case) -> Path:
        """Return where the probabilities of `case` go, if they are saved."""
        stem = stem_of(self.output) if self.one_file else case.id
        return self.file_of(case).with_name(f"{stem}.npz")

    def files_of(self, case: Case) -> list[Path]:
        """Return all that is written of `case`."""
        probabilities = [self.probabilities_of(case)] if self.save_probabilities else []
        return [self.file_of(case), *probabilities]


def announce_task(task: Task) -> None:
    """Log which models predict, how, and what rules follow."""
    log.info("%s", task.chosen.reason)
    budget = "" if task.budget_s is None else f"at most {task.budget_s:.3g} s a case, and "
    log.info("%s%s", budget, describe_speed(task.config))
    if task.chosen.rules:
        source = "best.json" if task.config.rules == "best" else "as asked"
        log.info("rules (%s): %s", source, describe_rules(task.chosen.rules))


def header_of(task: Task) -> dict[str, Any]:
    """Return what identifies a run: the version, the models, the settings, the rules."""
    models = [_described(info, task.given) for info in task.chosen.models]
    settings = to_json(dataclasses.replace(task.config, folds=None))
    header = {"version": __version__, "models": models, "settings": settings,
              "rules": to_json(rules_json(task.chosen.rules))}  # fmt: skip
    if task.write != "labels":
        header["write"] = task.write
    if task.save_probabilities:
        header["probabilities"] = True
    if task.budget_s is not None:
        header["budget_s"] = task.budget_s
    return header


def _described(info: BundleInfo, given: bool) -> dict[str, Any]:
    said: dict[str, Any] = {
        "model": f"{info.configuration}-{info.size}",
        "dataset": info.plan.dataset,
        "model_id": info.fold_cards[info.folds[0]].model_id,
        "weights_sha256": {fold: info.fold_cards[fold].sha256 for fold in info.folds},
    }
    if info.previous is not None:
        said["previous"] = "label maps that were given"
        if not given:
            said["previous"] = _described(info.previous, False)
    return said
