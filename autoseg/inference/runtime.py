"""Networks made ready to predict, and how many tiles they take at once on this machine.

On a processor two things decide the speed. The memory layout: with channels last, convolutions run
1.3 times faster, and the normalisation of `networks.blocks` keeps that layout. And threads: two
threads that each take a pair of tiles beat two threads that share every layer of one tile, because
they never wait for each other. (A single small tile would miss oneDNN's convolutions altogether.)
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from threading import Barrier

import torch
from torch import Tensor, nn

from autoseg.device import autocast
from autoseg.hardware import cores
from autoseg.inference.sliding import LIVE_ACTIVATIONS, TILE_BYTES
from autoseg.plan import Design

log = logging.getLogger(__name__)

CACHE_VOXELS = 180_000  # of all tiles of one forward pass on a CPU; measured: two 40x56x40 tiles
SMALLEST_BATCH = 2  # on a CPU; below, PyTorch leaves small layers to its slow convolution
MOST_WORKERS = 4  # eight flips in pairs
GPU_TILES = 64
GPU_BYTES = 4 << 30
LIVE_SCORES = 3  # of a tile in float32: as scored, flipped back, and their sum


def ready(network: nn.Module, device: torch.device) -> nn.Module:
    """Return a copy of `network` on `device` that computes the same scores faster."""
    network = copy.deepcopy(network).to(device).eval().requires_grad_(False)
    if device.type == "cpu":
        last = {4: torch.channels_last, 5: torch.channels_last_3d}
        for parameter in network.parameters():
            if parameter.ndim in last:
                parameter.data = parameter.data.contiguous(memory_format=last[parameter.ndim])
    return network


@dataclass(frozen=True)
class Load:
    """How tiles are fed: `batch` a forward pass, `workers` passes at once of `threads` each."""

    batch: int
    workers: int
    threads: int


@dataclass
class Room:
    """How many tiles of a pass fit into memory: fewer than planned once those did not."""

    most: int | None = None

    def of(self, planned: int) -> int:
        """Return `planned`, or less where that was too much before."""
        return planned if self.most is None else min(planned, self.most)

    def halve(self, planned: int) -> None:
        """Note that as many did not fit; raise OutOfMemoryError when that was a single one."""
        batch = self.of(planned)
        if batch == 1:
            raise torch.OutOfMemoryError("the memory is too small for a single tile")
        self.most = batch // 2
        log.warning("out of memory with %d tiles at once: from here on %d", batch, self.most)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def choose_load(tile: Sequence[int], design: Design, device: torch.device, channels: int) -> Load:
    """Return the load for tiles of this size on this machine; `channels` are those of scores."""
    if device.type != "cpu":
        most = GPU_BYTES // tile_bytes(tile, design, channels)
        return Load(max(1, min(GPU_TILES, most)), 1, 1)
    voxels, bytes_per_tile = math.prod(tile), tile_bytes(tile, design)
    available = min(cores(), torch.get_num_threads())
    batch = max(SMALLEST_BATCH, CACHE_VOXELS // voxels)
    workers = max(1, min(available, MOST_WORKERS, TILE_BYTES // (batch * bytes_per_tile)))
    return Load(batch, workers, available // workers)


def tile_bytes(tile: Sequence[int], design: Design, channels: int = 0) -> int:
    """Return about what a tile takes in a network; with `channels`, and its scores after it."""
    alive = LIVE_ACTIVATIONS * design.network.features[0] + LIVE_SCORES * channels
    return 4 * math.prod(tile) * alive


def make_executor(load: Load) -> Executor | None:
    """Return threads that each compute with `load.threads`; None where one is enough.

    The number of threads that the rest of the process computes with stays as it is.
    """
    if load.workers == 1:
        return None
    own, all_started = torch.get_num_threads(), Barrier(load.workers)
    pool = ThreadPoolExecutor(load.workers, "predict")

    def start(_: int) -> None:
        torch.get_num_threads()  # else the first operator would set this thread's number again
        torch.set_num_threads(load.threads)
        all_started.wait()  # so that no thread starts two of these, and another none

    list(pool.map(start, range(load.workers)))
    torch.set_num_threads(own)  # it is also the default of threads that start later
    return pool


# One set of threads per process: several predictors would only get in each other's way.
shared_executor = lru_cache(maxsize=4)(make_executor)


def score(network: nn.Module, tiles: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the finest scores (B, channels, *P) float32 of `tiles` (B, C, *P), on their device."""
    layout = torch.channels_last_3d if device.type == "cpu" else torch.contiguous_format
    with torch.inference_mode(), autocast(device, dtype):
        scores = network(tiles.to(device).contiguous(memory_format=layout))[0]
    return scores.to(tiles.device, torch.float32)
