"""Prepared arrays to scores: all networks, all mirror images, tile by tile, on one device."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from autoseg.architectures import is_of_one_size
from autoseg.bundle import mirrored_axes
from autoseg.config import PredictConfig, TrainConfig
from autoseg.device import PRECISIONS, constant, free_bytes
from autoseg.errors import AutosegError
from autoseg.inference.mirror import choose_flips, mirrored
from autoseg.inference.runtime import (
    Load,
    Room,
    choose_load,
    ready,
    score,
    shared_executor,
    tile_bytes,
)
from autoseg.inference.sliding import (
    Triple,
    choose_tile,
    if_it_fits,
    sliding_window,
    tile_starts,
)
from autoseg.inference.speed import GROWING, LOCALISING, PRECISION, settle
from autoseg.networks.cascade import append_masks
from autoseg.plan import Design, Plan

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
    margin_mm: float | None = None  # around targets that are localised first; None: everywhere
    room: Room = dataclasses.field(default_factory=Room)

    def __call__(self, array: np.ndarray) -> Tensor:
        """Return the logits of one prepared case; raise when they are not finite.

        They lie on the device, unless its memory is too small for image and scores.
        """
        image = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
        tile = self.tile_size(array.shape[1:])
        run = partial(self._scores, tile=tile)

        def run_there(image: Tensor) -> Tensor:
            return run(image.to(self.device, non_blocking=True))

        scores = None
        if self.device.type == "cpu":
            scores = run(image)
        elif self._has_room(image, tile):
            scores = if_it_fits(run_there, image)
        if scores is None:
            log.warning("the GPU's memory is too small for this case: it is kept in main memory")
            scores = run(image)
        # NaN and infinity stay in a sum, and it takes no memory.
        if not math.isfinite(float(scores.sum())):
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

    def tiles(self, shape: Sequence[int]) -> int:
        """Return how many tiles an array of `shape` (z, y, x) is cut into."""
        sides = zip(shape, self.tile_size(shape), strict=True)
        return math.prod(len(tile_starts(max(size, t), t, self.step)) for size, t in sides)

    def rounds(self, shape: Sequence[int]) -> int:
        """Return how often `interrupt` is called for an array of `shape` (z, y, x), at most."""
        return math.ceil(self.tiles(shape) / self._group(self.tile_size(shape)))

    def _group(self, tile: Triple) -> int:
        load = self.load(tile)
        return max(1, self.room.of(load.batch) * load.workers // len(self.flips))

    def load(self, tile: Triple) -> Load:
        """Return how many tiles of this size go through the networks at once, as planned."""
        return choose_load(tile, self.design, self.device, self.plan.labels.channels)

    def tile_size(self, shape: Sequence[int]) -> Triple:
        """Return the tile that a prepared array of `shape` (z, y, x) is predicted with."""
        spec = self.design.network
        if not self.grow or is_of_one_size(spec):
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

        def fewer() -> int:
            self.room.halve(load.batch)
            return self._group(tile)

        reverse = self.plan.reversed_axes
        return sliding_window(run, image, tile, self.step, self._group(tile), reverse, fewer)

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
        margin_mm=config.margin_mm if config.speed in LOCALISING else None,
    )
