"""Batches of patches, made in a background thread or two, each from its own random numbers.

Batch number s depends on (seed, s) alone: not on what came before, on timing, or on the machine. A
training that resumes at step s sees what it would have seen.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from autoseg.config import TrainConfig
from autoseg.hardware import cores
from autoseg.labels import Labels
from autoseg.plan import Design, Triple
from autoseg.preprocessing.store import PreparedCase
from autoseg.training.batch import Batch, Warp, each_tensor
from autoseg.training.distortion import distort
from autoseg.training.distributed import ALONE, Ranks
from autoseg.training.geometry import (
    draw_transform,
    first_slice_of,
    places_along_axes,
    transforms_of,
)
from autoseg.training.patches import Patch, choose_place, read_patch
from autoseg.training.sampling import Choice, Pool, annotated_in, choose_cases, make_pool

SHARED = 1 << 14  # numbers: so few torch copies in the thread that asks for it


def batches(
    cases: Sequence[PreparedCase],
    design: Design,
    config: TrainConfig,
    labels: Labels,
    start_step: int = 0,
    *,
    ahead: int = 2,
    augment: bool = True,
    ranks: Ranks = ALONE,
    from_end: Sequence[int] = (),
    pinned: bool = False,
) -> Iterator[Batch]:
    """Yield batch `start_step`, `start_step` + 1, ... for ever; up to `ahead` wait ready-made.

    `config.batch_size` and `config.patch_size` go before those of `design`. `augment=False`:
    patches as they are, for validation. Of several `ranks`, each gets its share of the same batch.
    `from_end`: `Plan.reversed_axes`, see `sampling.choose_start`. `pinned`: in memory from which a
    GPU copies by itself. What fails in the thread is raised here. Close the iterator to end the
    thread.
    """
    pool = make_pool(cases, labels, config)

    def make(step: int) -> Batch:
        return make_batch(
            cases, pool, design, config, labels, step,
            augment=augment, ranks=ranks, from_end=from_end, pinned=pinned,
        )  # fmt: skip

    # A GPU takes tens of batches a second, and one thread would wait for every read of a disk.
    threads = 2 if pinned and cores() > 4 else 1
    return _ahead(make, start_step, max(1, ahead), threads)


def make_batch(
    cases: Sequence[PreparedCase],
    pool: Pool,
    design: Design,
    config: TrainConfig,
    labels: Labels,
    step: int,
    *,
    augment: bool = True,
    ranks: Ranks = ALONE,
    from_end: Sequence[int] = (),
    pinned: bool = False,
) -> Batch:
    """Return batch number `step`, or of several `ranks` the share of this one.

    The random numbers are drawn for all of it, so that a sample does not depend on who makes it.
    """
    rng = np.random.default_rng([config.seed, step])
    patch_size = config.patch_size or design.patch_size
    transforms = transforms_of(config, design) if augment else None
    distorting = augment and config.augmentation != "none" and config.cascade_augmentation
    chosen = choose_cases(pool, samples_per_step(design, config), config, rng)
    # Whole rounds of micro-batches, so that each is shared as one process would compose it.
    part = ranks.share(len(chosen) // config.accumulate)
    share = slice(part.start * config.accumulate, part.stop * config.accumulate)
    patches = []
    for position, choice in enumerate(chosen):
        case = cases[choice.case]
        matrix = None
        if transforms is not None:
            matrix = draw_transform(transforms, case.frame.prepared_spacing, rng)
        nnunet = (config.sampler or "").startswith("nnunet")
        start = choose_place(case, patch_size, choice.target, rng, nnunet=nnunet, from_end=from_end)
        if share.start <= position < share.stop:
            patch = read_patch(case, patch_size, start, matrix)
            if distorting and patch.previous is not None:
                own = np.random.default_rng([config.seed, step, position])
                changed = distort(patch.previous, math.prod(patch_size), own)
                patch = dataclasses.replace(patch, previous=changed)
            patches.append(patch)
    whole, chosen = len(chosen), chosen[share]
    annotated = np.asarray([annotated_in(cases[choice.case], labels) for choice in chosen])
    spacing = np.asarray([cases[choice.case].frame.prepared_spacing for choice in chosen])
    image, target, previous, warps = _stack(patches, patch_size, pinned)
    batch = Batch(
        image=image,
        target=target,
        annotated=torch.from_numpy(annotated),
        spacing_mm=torch.from_numpy(spacing.astype(np.float32)),
        partial=not annotated.all(),
        warps=warps,
        ranks=ranks,
        first=share.start,
        whole=None if ranks.alone else whole,
        previous=previous,
    )
    return each_tensor(batch, Tensor.pin_memory) if pinned else batch


def samples_per_step(design: Design, config: TrainConfig) -> int:
    """Return how many samples a batch has: all that one step of the optimiser learns from."""
    return (config.batch_size or design.batch_size) * config.accumulate


def cases_of(
    cases: Sequence[PreparedCase], design: Design, config: TrainConfig, labels: Labels, step: int
) -> tuple[str, ...]:
    """Return the ids of the cases in batch number `step`, for messages."""
    rng = np.random.default_rng([config.seed, step])
    size = samples_per_step(design, config)
    chosen: list[Choice] = choose_cases(make_pool(cases, labels, config), size, config, rng)
    return tuple(cases[choice.case].id for choice in chosen)


def _stack(
    patches: Sequence[Patch], size: Triple, pinned: bool
) -> tuple[Tensor, Tensor, Tensor | None, tuple[Warp, ...]]:
    def room(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.empty(shape, dtype=dtype, pin_memory=pinned)

    indices = torch.from_numpy(patches[0].labels).dtype
    image = room((len(patches), patches[0].image.shape[0], *size), torch.float32)
    target = room((len(patches), *size), indices)
    previous = None if patches[0].previous is None else room(target.shape, indices)
    warps = []
    for sample, patch in enumerate(patches):
        parts = [(image, patch.image), (target, patch.labels)]
        if previous is not None and patch.previous is not None:
            parts.append((previous, patch.previous))
        if patch.matrix is None or patch.centre is None:
            for whole, part in parts:
                _copy(part, whole[sample])
            continue
        for whole, _ in parts:
            whole[sample].zero_()
        found = [_copy(part, room(part.shape, whole.dtype)) for whole, part in parts]
        places = places_along_axes(patch.matrix, patch.centre, size, patch.labels.shape)
        first = first_slice_of(patch.matrix, patch.centre, size)
        before = found[2] if len(found) > 2 else None
        rows = torch.from_numpy(places)
        warps.append(Warp(sample, found[0], found[1], rows, before, first))
    return image, target, previous, tuple(warps)


def _copy(part: np.ndarray, place: Tensor) -> Tensor:
    """Copy `part` to `place` and return that; torch converts float16 ten times faster than NumPy.

    It shares a copy among all cores. For a GPU that is split: many cores would spin beside the
    thread that asks the GPU. On a CPU it is welcome: GNU OpenMP lets waiting threads sleep once
    there are more than cores, and so does not take them from other programs.
    """
    source, length = torch.from_numpy(part).reshape(-1), SHARED if place.is_pinned() else part.size
    torch._foreach_copy_(list(place.view(-1).split(length)), list(source.split(length)))
    return place


def _ahead(make: Callable[[int], Batch], start: int, ahead: int, threads: int) -> Iterator[Batch]:
    """Yield `make(start)`, `make(start + 1)`, ... for ever; the next `ahead` are being made."""
    pool = ThreadPoolExecutor(threads, "batches")
    made: deque[Future[Batch]] = deque()
    try:
        for step in itertools.count(start):
            made.append(pool.submit(make, step))
            if len(made) > ahead:
                yield made.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
