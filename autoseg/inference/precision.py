"""Low precision only where it was shown to be faster and to leave the labels as they are.

bfloat16 is two to three times faster than float32 on a processor made for it and much slower on
others; and whether eight bits of mantissa decide every voxel as float32 does depends on the model.
So both are tried: the speed on one batch of tiles, the labels on the first cases of the run.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch

from autoseg.device import synchronize
from autoseg.inference.predictor import ArrayPredictor
from autoseg.labels import Labels

TOLERANCE = 5e-4  # of the Dice between the labels of both precisions, every target of every case
TRIED_CASES = 2
WORTH_TRYING = 5  # cases; with fewer the trial costs more than it can save
FASTER = 1.3  # a lower precision must be this much faster on a batch of tiles
HOPELESS = 3.0  # a first batch this much slower is not followed by a second
SHORTEST_S = 0.02  # of such a batch; below, the saving is not worth the doubt
REPEATS = 2


def low_precision(predict: ArrayPredictor) -> str:
    """Return the lower precision that may be worth trying on the device of `predict`."""
    return "bfloat16" if predict.device.type == "cpu" else "float16"


def is_much_faster(predict: ArrayPredictor, lower: str) -> tuple[bool, float]:
    """Tell whether `predict` is worth trying in `lower`, and how many times faster one batch is."""
    full = _batch_seconds(predict, float("inf"))
    if full < SHORTEST_S and predict.device.type == "cpu":
        return False, 1.0
    try:
        low = _batch_seconds(predict.in_precision(lower), HOPELESS * full)
    except RuntimeError:  # this device cannot
        return False, 0.0
    return full > FASTER * low, full / low


def _batch_seconds(predict: ArrayPredictor, give_up: float) -> float:
    tile = predict.design.patch_size
    tiles = torch.zeros(2, len(predict.plan.channels), *tile, device=predict.device)
    seconds = []
    for _ in range(1 + REPEATS):  # the first one also prepares the weights
        begin = time.perf_counter()
        predict.score_tiles(tiles)
        synchronize(predict.device)
        seconds.append(time.perf_counter() - begin)
        if seconds[-1] > give_up:
            break
    return min(seconds)


def smallest_dice(found: np.ndarray, expected: np.ndarray, labels: Labels) -> float:
    """Return the smallest Dice of any target between two label maps; absent in both counts as 1."""
    values = [
        dice(labels.mask(found, target), labels.mask(expected, target)) for target in labels.names
    ]
    return min(values, default=1.0)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Return the Dice coefficient of two masks, 1 when both are empty."""
    size = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / size if size else 1.0


def verdict(dices: Sequence[float], faster: float, lower: str) -> tuple[bool, str]:
    """Return whether to switch, and the sentence that says why."""
    worst, cases = min(dices), f"{len(dices)} case{'s' * (len(dices) != 1)}"
    compared = f"{faster:.1f} times faster, smallest Dice against float32 {worst:.5f} on {cases}"
    if worst < 1 - TOLERANCE:
        return False, f"float32: {lower} changes labels ({compared})"
    return True, f"{lower}: {compared}"
