"""Small batches and random numbers for tests of the augmentation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from autoseg.labels import Labels
from autoseg.training.batch import Batch, Warp
from autoseg.training.geometry import covered_box, places_along_axes
from autoseg.training.intensities import Draw

LABELS = Labels({"organ": (1,), "lesion": (2,)})


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw_for(samples: int, flat: bool = False, here: Sequence[int] | None = None) -> Draw:
    """Random numbers for so many samples, all of them here or those named."""
    chosen = np.arange(samples) if here is None else np.asarray(here, dtype=int)
    return Draw(np.random.default_rng(0), generator(), flat, samples, chosen)


def blobs(shape: tuple[int, int, int] = (24, 26, 28)) -> np.ndarray:
    """Two smooth-edged objects, so that interpolation errs at their surfaces only."""
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    labels = np.zeros(shape, dtype=np.uint8)
    labels[(z - 12) ** 2 + (y - 12) ** 2 + (x - 10) ** 2 < 60] = 1
    labels[(z - 12) ** 2 + (y - 14) ** 2 + (x - 20) ** 2 < 30] = 2
    return labels


def batch_of(image: Tensor, target: Tensor, warps: tuple[Warp, ...] = ()) -> Batch:
    size, k = len(image), len(LABELS.names)
    annotated = torch.ones(size, k, dtype=torch.bool)
    return Batch(image, target, annotated, torch.ones(size, 3), False, warps)


def warp_of(
    labels: np.ndarray, matrix: np.ndarray, centre: tuple, size: tuple = (12, 14, 16)
) -> Batch:
    """A batch of one sample whose image is its label map, read as the loader reads it."""
    middle = np.asarray(centre, dtype=float)
    start, stop = covered_box(matrix, middle, size, labels.shape)
    part = torch.from_numpy(labels[tuple(map(slice, start, stop))].copy())
    places = places_along_axes(matrix, middle - start, size, part.shape)
    warp = Warp(0, part[None].float(), part, torch.from_numpy(places))
    return batch_of(torch.zeros(1, 1, *size), torch.zeros(1, *size, dtype=torch.uint8), (warp,))
