"""The models of a service: loaded once, and one image at a time through them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from autoseg.bundle import BundleInfo
from autoseg.case_files import PICTURES, ending_of
from autoseg.config import PredictConfig, override
from autoseg.dataset import Case
from autoseg.device import release_memory
from autoseg.errors import number_of, spoken_of
from autoseg.inference.speed import settle
from autoseg.io import read_header
from autoseg.labels import Labels
from autoseg.preprocessing.prepare import largest_shape
from autoseg.rules import describe_rules
from autoseg.serving.overheard import overheard
from autoseg.serving.refusal import Refusal
from autoseg.workflows.predict_cases import predict_case
from autoseg.workflows.predict_choice import choose_models, with_rules
from autoseg.workflows.predict_engine import Engine, load_engine, warm_up
from autoseg.workflows.predict_task import Task, announce_task
from autoseg.workspace import Workspace

IMAGE = "the image"  # what messages to clients call it
MAX_VOXELS = 500_000_000  # of an image, as it is and as the model sees it


@dataclass
class Watch:
    """What looks at the running job between two groups of tiles; it may raise to end it."""

    look: Callable[[], None] = field(default=lambda: None)

    def __call__(self) -> None:
        self.look()


@dataclass(frozen=True)
class Model:
    """Loaded models that segment one image after the other, as `autoseg_predict` would."""

    engine: Engine
    task: Task
    watch: Watch

    @property
    def labels(self) -> Labels:
        """The targets, which are the same for all models."""
        return self.engine.plan.labels

    def segment(
        self,
        image: Path,
        output: Path,
        look: Callable[[], None] = lambda: None,
        begin: Callable[[int], None] = lambda rounds: None,
    ) -> tuple[str, ...]:
        """Write the label map of `image` to `output`, in its file type; return the warnings.

        `look` is called between groups of tiles, and may raise; `begin` hears how often, at most.
        One at a time, please. Raises DataError, ResourceError, Refusal for an image that would be
        too large at the model's voxel size, and what `look` raises.
        """
        self.watch.look = look
        spoken = (spoken_of(image.name, IMAGE), spoken_of(str(image), IMAGE))
        try:
            with spoken[0], spoken[1], overheard(str(image), IMAGE) as said:
                self._check_header(image)
                task = replace(self.task, output=output, one_file=True)
                case = Case(IMAGE, (image,))
                warnings = predict_case(case, self.engine, task, begin).warnings
                return tuple(dict.fromkeys((*said, *warnings)))
        finally:
            self.watch.look = lambda: None

    def release(self) -> None:
        """Give back what an image that needed too much memory left behind."""
        release_memory(self.engine.device)

    def _check_header(self, image: Path) -> None:
        """Raise Refusal before a small file of large voxels becomes a huge array of small ones.

        And when a volume has not the model's channels, in words for who sends and not for files.
        """
        header = read_header(image)
        grid, names = header.geometry, self.engine.plan.channels
        if header.channels != len(names) and ending_of(image) not in PICTURES:
            fact = f"{IMAGE} holds {number_of(header.channels, 'channel')}"
            remedy = " -> send one 4-D NIfTI file, in this order" if len(names) > 1 else ""
            raise Refusal(422, f"{fact}, expected {len(names)}: {', '.join(names)}{remedy}")
        for stage in (stage for bundle in self.engine.bundles for stage in bundle.stages):
            shape = largest_shape(grid, stage.plan, stage.settings)
            if math.prod(shape) > MAX_VOXELS:
                size = " x ".join(map(str, shape))
                fact = f"{IMAGE} has {size} voxels at the model's voxel size"
                raise Refusal(413, f"{fact}, at most {MAX_VOXELS:,}")

    def description(self) -> list[dict[str, Any]]:
        """Return what clients may know about each model: names and numbers, no places."""
        return [_describe(info) for info in self.task.chosen.models]

    def method(self) -> dict[str, Any]:
        """Return how they predict: settings, rules on label maps, device."""
        config = self.task.config
        return {
            "speed": config.speed, "mirror": config.mirror, "step": config.step,
            "precision": config.precision, "device": str(self.engine.device),
            "rules": describe_rules(self.engine.rules) if self.engine.rules else "none",
        }  # fmt: skip


def load_model(
    workspace: Workspace,
    *,
    dataset: str | None = None,
    configuration: str | None = None,
    size: str | None = None,
    folds: Sequence[str] | None = None,
    bundles: Sequence[Path] | None = None,
    speed: str | None = None,
    settings: Sequence[str] = (),
    device: str | None = None,
    trust: bool = False,
) -> Model:
    """Return the models that `autoseg_predict` would choose, loaded and warm; see `predict`."""
    config = settle(override(PredictConfig(speed=speed or "balanced"), settings))
    chosen = choose_models(
        workspace,
        dataset=dataset,
        configuration=configuration,
        size=size,
        folds=folds or config.folds,
        bundles=bundles,
        trust=trust,
    )
    task = Task(with_rules(chosen, config.rules), config, device, Path())
    announce_task(task)
    watch = Watch()
    engine = load_engine(task, watch)
    warm_up(engine)
    return Model(engine, task, watch)


def _describe(info: BundleInfo) -> dict[str, Any]:
    return {
        "model": f"{info.configuration}-{info.size}",
        "dataset": info.plan.dataset,
        "model_id": info.fold_cards[info.folds[0]].model_id,
        "folds": list(info.folds),
        "channels": list(info.plan.channels),
        "targets": {name: list(values) for name, values in info.plan.labels.targets.items()},
    }
