"""Every stage on phantom CTs: what a fresh installation can do, in a few minutes."""

from __future__ import annotations

import logging
from pathlib import Path

from autoseg.errors import UsageError
from autoseg.io import read_image, read_labels
from autoseg.phantom import TARGETS, write_phantoms, write_raw
from autoseg.report.figures import draw_overlay
from autoseg.results import Summary
from autoseg.workflows.evaluate import evaluate
from autoseg.workflows.plan import plan
from autoseg.workflows.predict import predict
from autoseg.workflows.train import train
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)

DATASET, CONFIGURATION, FOLD, SIZE = "PHANTOM", "3d_fullres", "0", "S"
TRAINING_CASES, UNSEEN_CASES = 12, 3
WINDOW_HU = (-150.0, 250.0)  # the abdominal window


def run_demo(folder: Path, budget: str = "150s") -> tuple[Summary, Path]:
    """Run every stage; return the scores of unseen phantoms and the picture of one of them.

    All files stay in `folder`, which is a workspace; an interrupted demo is continued.
    """
    picture = folder / "demo.png"
    if picture.exists():
        raise UsageError(
            "holds a finished demo", place=str(folder), remedy="name a new one with -o"
        )
    workspace, unseen, predictions = Workspace(folder), folder / "unseen", folder / "predictions"
    log.info("demo 1 of 5: %d phantom CTs", TRAINING_CASES + UNSEEN_CASES)
    if not (workspace.raw(DATASET) / "dataset.json").exists():
        last = TRAINING_CASES + UNSEEN_CASES
        write_phantoms(unseen, "images", "labels", range(TRAINING_CASES, last))
        write_raw(workspace.raw(DATASET), TRAINING_CASES)
    log.info("demo 2 of 5: plan and prepare")
    plan(workspace, DATASET, only=[CONFIGURATION])
    log.info("demo 3 of 5: train %s for %s", CONFIGURATION, budget)
    # train writes result.json last; a finished fold would be refused.
    if not (workspace.run(DATASET, CONFIGURATION, SIZE, FOLD) / "result.json").exists():
        train(
            workspace, CONFIGURATION, FOLD,
            dataset=DATASET, size=SIZE, budget=budget, settings=["steps_per_epoch=50"],
        )  # fmt: skip
    log.info("demo 4 of 5: predict the unseen phantoms")
    predict(workspace, unseen / "images", predictions, dataset=DATASET, overwrite=True)
    log.info("demo 5 of 5: evaluate them")
    summary = evaluate(
        workspace, predictions=predictions, references=unseen / "labels", dataset=DATASET
    )
    _draw(unseen, predictions, picture)
    return summary, picture


def _draw(unseen: Path, predictions: Path, picture: Path) -> None:
    name = f"phantom_{TRAINING_CASES:02d}.nii.gz"
    image = read_image(unseen / "images" / name)
    draw_overlay(
        image.array[0],
        read_labels(unseen / "labels" / name).array[0],
        read_labels(predictions / name).array[0],
        picture,
        spacing=image.geometry.spacing,
        names={value: target for target, value in TARGETS.items()},
        window=WINDOW_HU,
    )
