"""Every stage on made-up images: what a fresh installation can do, in a few minutes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from autoseg import phantom
from autoseg.errors import UsageError
from autoseg.files import read_json
from autoseg.io import read_image, read_labels
from autoseg.report.figures import draw_overlay
from autoseg.results import Summary
from autoseg.workflows.evaluate import evaluate
from autoseg.workflows.plan import plan
from autoseg.workflows.predict import predict
from autoseg.workflows.report import report
from autoseg.workflows.train import train
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)

FOLD, SIZE = "0", "S"


@dataclass(frozen=True)
class Show:
    """What a demo is about; `write_raw(raw, cases)`, `write(folder, images, labels, seeds)`."""

    dataset: str
    what: str
    configuration: str
    cases: tuple[int, int]  # to learn from, unseen
    budget: str  # of the training
    targets: Mapping[str, int]
    write_raw: Callable[[Path, int], None]
    write: Callable[[Path, str, str, range], None]
    window: tuple[float, float] | None = None
    settings: tuple[str, ...] = ()


SHOWS = {
    "phantoms": Show(
        "PHANTOM", "phantom CTs", "3d_fullres", (12, 3), "150s", phantom.TARGETS,
        phantom.write_raw, phantom.write_phantoms, (-150.0, 250.0),  # HU: the abdominal window
    ),
    "circles": Show(
        "TOY", "pictures with two circles", "2d", (1000, 100), "4epochs", phantom.CIRCLES,
        phantom.write_raw_circles, phantom.write_circles,
        settings=("batch_size=8",),  # more steps in the time: they are easy to learn
    ),
}  # fmt: skip


def run_demo(
    folder: Path,
    name: str = "phantoms",
    cases: tuple[int, int] | None = None,
    budget: str | None = None,
) -> tuple[Summary, Path, Path]:
    """Run every stage of a show; return scores and a picture of unseen images, and the report.

    `cases` are the numbers of images to learn from and of unseen ones. All files stay in `folder`,
    which is a workspace; an interrupted demo is continued.
    """
    show = SHOWS[name]
    training, unseen_cases = cases or show.cases
    budget = budget or show.budget
    picture = folder / "demo.png"
    if picture.exists():
        raise UsageError(
            "holds a finished demo", place=str(folder), remedy="name a new one with -o"
        )
    if min(training, unseen_cases) < 1:
        raise UsageError(f"-n {training} {unseen_cases}", expected="two numbers above zero")
    workspace, unseen, predictions = Workspace(folder), folder / "unseen", folder / "predictions"
    log.info("demo 1 of 6: %d %s", training + unseen_cases, show.what)
    if not _is_begun(workspace, show, training):
        show.write(unseen, "images", "labels", range(training, training + unseen_cases))
        show.write_raw(workspace.raw(show.dataset), training)
    log.info("demo 2 of 6: plan and prepare")
    plan(workspace, show.dataset, only=[show.configuration])
    log.info("demo 3 of 6: train %s for %s", show.configuration, budget)
    # train writes result.json last; a finished fold would be refused.
    if not (workspace.run(show.dataset, show.configuration, SIZE, FOLD) / "result.json").exists():
        train(
            workspace, show.configuration, FOLD,
            dataset=show.dataset, size=SIZE, budget=budget,
            settings=["steps_per_epoch=50", *show.settings],
        )  # fmt: skip
    log.info("demo 4 of 6: predict what is unseen")
    predict(workspace, unseen / "images", predictions, dataset=show.dataset, overwrite=True)
    log.info("demo 5 of 6: evaluate that")
    summary = evaluate(
        workspace, predictions=predictions, references=unseen / "labels", dataset=show.dataset
    )
    log.info("demo 6 of 6: report what is there")
    page = report(workspace, show.dataset)
    _draw(show, unseen, predictions, picture)  # last: it says that the demo is finished
    return summary, picture, page


def _is_begun(workspace: Workspace, show: Show, training: int) -> bool:
    """Tell whether the images are written; raise UsageError when those of another demo are."""
    found = workspace.raw_datasets()
    if not found:
        return False
    begun = read_json(workspace.raw(found[0]) / "dataset.json").get("numTraining")
    if found != [show.dataset] or begun != training:
        raise UsageError(
            f"holds {found[0]} with {begun} images to learn from, not {show.dataset} with "
            f"{training}",
            place=str(workspace.root),
            remedy="name a new folder with -o",
        )
    return True


def _draw(show: Show, unseen: Path, predictions: Path, picture: Path) -> None:
    name = min(path.name for path in (unseen / "images").iterdir())
    image = read_image(unseen / "images" / name)
    draw_overlay(
        image.array[0],
        read_labels(unseen / "labels" / name).array[0],
        read_labels(predictions / name).array[0],
        picture,
        spacing=image.geometry.spacing,
        names={value: target for target, value in show.targets.items()},
        window=show.window,
    )
