"""From a trained model to labels: `build_predictor` for the verbs, `Predictor` for programs."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from autoseg.bundle import Bundle, load_bundle, mirrored_axes
from autoseg.config import PredictConfig, TrainConfig, override
from autoseg.device import PRECISIONS, constant, free_bytes, pick_device
from autoseg.errors import AutosegError, CorruptError, DataError, UsageError
from autoseg.image import Geometry, Image
from autoseg.inference.export import decode_restored
from autoseg.inference.mirror import choose_flips, mirrored
from autoseg.inference.probabilities import whole_probabilities
from autoseg.inference.runtime import (
    Load,
    Room,
    choose_load,
    ready,
    score,
    shared_executor,
    tile_bytes,
)
from autoseg.inference.sliding import Triple, choose_tile, if_it_fits, sliding_window
from autoseg.inference.speed import GROWING, PRECISION, settle
from autoseg.labels import Labels
from autoseg.networks import NETWORKS, build_network
from autoseg.networks.cascade import append_masks
from autoseg.plan import Design, Plan
from autoseg.preprocessing.prepare import Frame, prepare
from autoseg.preprocessing.previous import previous_indices, with_previous

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class ArrayPredictor:
    """Prepared arrays (C, z, y, x) float32 to scores (channels, z, y, x): the mean over networks.

    In a `cascade` the array's last channel holds the value indices that the previous stage
    predicted (`preprocessing.previous.with_previous`); the networks get a mask of each target.
    Several threads may share it.
    """

    networks: tuple[nn.Module, ...]
    plan: Plan
    design: Design
    flips: tuple[tuple[int, ...], ...]  # along axes of prepared arrays, averaged
    step: float
    grow: bool  # may a tile be longer than the patch where that saves a second one?
    device: torch.device
    dtype: torch.dtype
    interrupt: Callable[[], None] = lambda: None  # called before each group of tiles; may raise
    cascade: bool = False
    room: Room = dataclasses.field(default_factory=Room)

    def __call__(self, array: np.ndarray) -> Tensor:
        """Return the logits of one prepared case; raise when they are not finite.

        They lie on the device, unless its memory is too small for image and scores.
        """
        image = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
        tile = self.tile_size(array.shape[1:])
        run = partial(self._scores, tile=tile)
        scores = None
        if self.device.type == "cpu":
            scores = run(image)
        elif self._has_room(image, tile):
            scores = if_it_fits(run, image.to(self.device, non_blocking=True))
        if scores is None:
            log.warning("the GPU's memory is too small for this case: it is kept in main memory")
            scores = run(image)
        if not bool(torch.isfinite(scores).all()):
            raise AutosegError(
                f"the network's scores are not finite in {self.dtype}",
                remedy="use --set precision=float32, or train again",
            )
        return scores

    def _has_room(self, image: Tensor, tile: Triple) -> bool:
        """Tell whether image, scores and a single tile are expected to fit on the device."""
        channels, there = self.plan.labels.channels, free_bytes(self.device)
        needed = 4 * (len(image) + channels) * math.prod(image.shape[1:])
        needed += tile_bytes(tile, self.design, channels)
        return there is None or needed < there

    def load(self, tile: Triple) -> Load:
        """Return how many tiles of this size go through the networks at once, as planned."""
        return choose_load(tile, self.design, self.device, self.plan.labels.channels)

    def tile_size(self, shape: Sequence[int]) -> Triple:
        """Return the tile that a prepared array of `shape` (z, y, x) is predicted with."""
        spec = self.design.network
        # Somebody's own network may know one size only.
        if not self.grow or spec.name not in NETWORKS:
            return self.design.patch_size
        z, y, x = (math.prod(stride[axis] for stride in spec.strides) for axis in range(3))
        return choose_tile(shape, self.design.patch_size, (z, y, x), spec.features[0])

    @torch.inference_mode()
    def _scores(self, image: Tensor, tile: Triple) -> Tensor:
        load = self.load(tile)
        executor = shared_executor(load) if self.device.type == "cpu" else None
        left_right, labels = self.plan.left_right_axis, self.plan.labels
        entering = self._exchanged(len(image))

        def run(group: Tensor) -> Tensor:
            self.interrupt()
            group = group.to(self.device)
            if self.cascade:
                members = constant(labels.membership.T, group.device)
                group = append_masks(group[:, :-1], group[:, -1], members)
            batch = self.room.of(load.batch)
            score_mirrored = mirrored(
                self.score_tiles, self.flips, left_right, labels, batch, executor, entering
            )
            return score_mirrored(group).to(image.device)

        def tiles() -> int:
            return max(1, self.room.of(load.batch) * load.workers // len(self.flips))

        def fewer() -> int:
            self.room.halve(load.batch)
            return tiles()

        reverse = self.plan.reversed_axes
        return sliding_window(run, image, tile, self.step, tiles(), reverse, fewer)

    def _exchanged(self, channels: int) -> list[int] | None:
        """Return the order of the networks' input channels when left and right are exchanged."""
        if not self.cascade:
            return None
        image = channels - 1
        return [*range(image), *(image + target for target in self.plan.labels.mirrored_targets)]

    def score_tiles(self, tiles: Tensor) -> Tensor:
        """Return the networks' mean scores (B, channels, *P) float32 of tiles (B, C, *P)."""
        total = score(self.networks[0], tiles, self.device, self.dtype)
        for network in self.networks[1:]:
            total = total + score(network, tiles, self.device, self.dtype)
        return total / len(self.networks) if len(self.networks) > 1 else total


def build_predictor(
    networks: Sequence[nn.Module],
    plan: Plan,
    design: Design,
    train_config: TrainConfig,
    config: PredictConfig,
    device: torch.device,
    cascade: bool = False,
) -> ArrayPredictor:
    """Return the function from prepared arrays (C, z, y, x) to scores (channels, z, y, x) float32.

    `design` and `train_config` are those of the training (`bundle.trained_design`); the networks
    are copied, so a training may go on. See `ArrayPredictor` for `cascade`.
    """
    config = settle(config)
    axes = mirrored_axes(train_config, design)
    return ArrayPredictor(
        networks=tuple(ready(network, device) for network in networks),
        plan=plan,
        design=design,
        flips=tuple(choose_flips(axes, config.mirror or "all")),
        step=config.step or 0.5,
        grow=config.speed in GROWING,
        device=device,
        dtype=PRECISIONS[config.precision or PRECISION],
        cascade=cascade,
    )


def load_predictor(bundle: Bundle, config: PredictConfig, device: torch.device) -> ArrayPredictor:
    """Return `build_predictor` of the networks of all folds in `bundle`."""
    networks = load_networks(bundle)
    cascade = bundle.settings.previous is not None
    return build_predictor(
        networks, bundle.plan, bundle.design, bundle.config, config, device, cascade
    )


def load_stages(
    bundle: Bundle, config: PredictConfig, device: torch.device
) -> tuple[ArrayPredictor, ...]:
    """Return the predictors of `bundle.stages`: one, or those of a cascade in their order."""
    return tuple(load_predictor(stage, config, device) for stage in bundle.stages)


def run_stages(
    stages: Sequence[Callable[[np.ndarray], Tensor]],
    prepared: Sequence[tuple[np.ndarray, Frame]],
    labels: Labels,
) -> tuple[Tensor, Frame]:
    """Return the scores of the last stage and their frame.

    `prepared` holds one scan as each stage sees it. Each but the last is decoded to labels on the
    scan's own grid, as its validation cases were when the next one was trained.
    """
    label_map: np.ndarray | None = None
    for number, (predict, (array, frame)) in enumerate(zip(stages, prepared, strict=True), start=1):
        if label_map is not None:
            array = with_previous(array, previous_indices(label_map, frame, labels))
        scores = predict(array)
        if number < len(stages):
            label_map = decode_restored(scores, frame, labels)
    return scores, frame


def load_networks(bundle: Bundle) -> list[nn.Module]:
    """Return one network per fold with its weights; raise CorruptError when they do not fit."""
    networks = []
    for fold, weights in bundle.weights.items():
        with torch.random.fork_rng(devices=[]):  # the caller's random numbers are not ours to draw
            network = build_network(
                bundle.design.network,
                bundle.plan.input_channels(bundle.configuration),
                bundle.plan.labels.channels,
            )
        try:
            network.load_state_dict(dict(weights), strict=True)
        except RuntimeError as error:
            raise CorruptError(
                f"the weights of fold {fold} do not fit the network of the plan",
                place=str(bundle.folder),
                expected=str(error).splitlines()[-1].strip(),
            ) from error
        networks.append(network)
    return networks


class Predictor:
    """A loaded model: image array and spacing in, label array out. Threads may share one.

    >>> predictor = Predictor("models/HIPPO/3d_fullres-S/bundle")       # doctest: +SKIP
    >>> label_map = predictor(volume, spacing=(1.0, 1.0, 1.0))          # doctest: +SKIP
    """

    def __init__(
        self,
        bundle: Bundle | Path | str,
        device: str | None = None,
        speed: str = "balanced",
        trust: bool = False,
        folds: Sequence[str] | None = None,
        settings: Sequence[str] = (),
    ) -> None:
        """Load `bundle` (a folder, or one that is loaded) on `device` (None: a GPU if there is).

        `folds` are those that are averaged (None: every trained one, or those that are loaded);
        `settings` are what follows `--set` on the command line: "mirror=off", "step=0.75",
        "precision=bfloat16". Precision is float32 unless that says otherwise.
        """
        if not isinstance(bundle, Bundle):
            bundle = load_bundle(Path(bundle), folds, trust)
        elif folds is not None:
            remedy = "load_bundle(folder, folds)"
            raise UsageError("folds of a bundle that is loaded already", remedy=remedy)
        self.bundle = bundle
        self._trust = trust
        config = override(PredictConfig(speed=speed), settings)
        self._stages = load_stages(bundle, config, pick_device(device))

    def __call__(
        self,
        array: np.ndarray,
        spacing: Sequence[float],
        direction: Sequence[float] | None = None,
    ) -> np.ndarray:
        """Return the label map (Z, Y, X) of `array` (C, Z, Y, X), or (Z, Y, X) with one channel.

        `spacing` is (Z, Y, X) in mm; axes run towards head, back and left unless `direction`, nine
        cosines as in `Geometry`, says otherwise. Values are those of the label files; an array of
        nothing but zeros gets zeros. A picture has Z = 1.
        """
        image = _image_of(array, spacing, direction)
        return predict_image(self._stages, self.bundle, image, self._trust)

    def probabilities(
        self,
        array: np.ndarray,
        spacing: Sequence[float],
        direction: Sequence[float] | None = None,
    ) -> np.ndarray:
        """Return the probabilities (channels, Z, Y, X) float32 behind the label map of `array`.

        The channels are the targets, after background where they exclude each other. All of them at
        once: large scans with many targets need much memory.
        """
        image, labels = _image_of(array, spacing, direction), self.bundle.plan.labels
        prepared = _prepare_stages(self.bundle, image, self._trust)
        return whole_probabilities([run_stages(self._stages, prepared, labels)], labels)


def _image_of(
    array: np.ndarray, spacing: Sequence[float], direction: Sequence[float] | None
) -> Image:
    volume = np.asarray(array)
    volume = volume[None] if volume.ndim == 3 else volume
    if volume.ndim != 4:
        expected = "(C, Z, Y, X) or (Z, Y, X)"
        raise DataError(f"an array of shape {np.shape(array)}", expected=expected)
    if not np.isfinite(volume).all():
        raise DataError("the array holds NaN or infinity")
    z, y, x = (float(size) for size in spacing)
    geometry = Geometry(volume.shape[1:], (z, y, x))
    if direction is not None:
        geometry = dataclasses.replace(geometry, direction=tuple(map(float, direction)))
    return Image(volume.astype(np.float32), geometry)


def predict_image(
    stages: Sequence[Callable[[np.ndarray], Tensor]],
    bundle: Bundle,
    image: Image,
    trust: bool = False,
) -> np.ndarray:
    """Return the label map (Z, Y, X) of `image` (C, Z, Y, X) on its own grid.

    `stages` are the predictors of `bundle.stages`.
    """
    labels = bundle.plan.labels
    prepared = _prepare_stages(bundle, image, trust)
    if not image.array.any():
        return np.zeros(image.geometry.shape, labels.dtype)
    return decode_restored(*run_stages(stages, prepared, labels), labels)


def _prepare_stages(bundle: Bundle, image: Image, trust: bool) -> list[tuple[np.ndarray, Frame]]:
    return [prepare(image, stage.plan, stage.settings, trust) for stage in bundle.stages]
