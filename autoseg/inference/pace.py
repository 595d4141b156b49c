"""How long a prediction takes: the voxels that pass a network, and seconds for each."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from autoseg.inference.array_predictor import ArrayPredictor
from autoseg.inference.effort import Effort
from autoseg.inference.mirror import choose_flips

SHORT_S = 1.0  # a first look that was as short as this is not typical: look again


def with_effort(predictor: ArrayPredictor, effort: Effort) -> ArrayPredictor:
    """Return `predictor`, built for the most that may be done, doing as much as `effort` says."""
    axes = sorted({axis for flip in predictor.flips for axis in flip})
    return replace(
        predictor,
        networks=predictor.networks[: effort.folds],
        flips=tuple(choose_flips(axes, effort.mirror)),
        step=effort.step,
        grow=effort.grow,
    )


def voxels_to_score(predictor: ArrayPredictor, shape: Sequence[int]) -> int:
    """Return how many voxels pass a network for an array (z, y, x): of all tiles, flips, folds."""
    passes = len(predictor.flips) * len(predictor.networks)
    return math.prod(predictor.tile_size(shape)) * predictor.tiles(shape) * passes


def seconds_per_voxel(predictor: ArrayPredictor) -> float:
    """Return the seconds a voxel takes in a network, timed on as many tiles as go together."""
    tile = predictor.design.patch_size
    load = predictor.load(tile)
    # The same tile as often as a round takes tiles: each thread gets one group.
    round_ = replace(
        predictor,
        networks=predictor.networks[:1],
        flips=((),) * (load.batch * load.workers),
        grow=False,
    )
    channels = len(predictor.plan.channels) + predictor.cascade
    noise = np.random.default_rng(0).normal(0, 1, (channels, *tile)).astype(np.float32)
    if predictor.cascade:
        noise[-1] = 0  # value indices
    seconds = _timed(round_, noise)
    if seconds < SHORT_S:
        seconds = _timed(round_, noise)
    return seconds / voxels_to_score(round_, tile)


def _timed(predictor: ArrayPredictor, array: np.ndarray) -> float:
    begin = time.monotonic()
    predictor(array)  # looks at its scores, so a GPU has done its work when it returns
    return time.monotonic() - begin
