"""Which case and which place a patch comes from.

Samplers choose (case, target) for every position of a batch:

- "nnunet": cases uniformly; the last third of the batch is centred on a voxel of a target that is
  drawn among those present in the case. "nnunet_probabilistic": each position is, with that chance.
- "balanced": a fixed share of the patches goes to the targets, however rare they are: first the
  target, then a case that has it. Another share goes to controls, the rest anywhere.

Targets are drawn in equal parts, or by the weights of `target_sampling`; in no case one that was
not annotated there: its voxels, if there are any, say nothing about the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoseg.config import TrainConfig
from autoseg.labels import Labels
from autoseg.plan import Triple
from autoseg.preprocessing.store import PreparedCase
from autoseg.registry import resolve
from autoseg.training.geometry import covered_box
from autoseg.training.target_weights import sampling_weights

FOREGROUND_NNUNET = 0.33
FOREGROUND_BALANCED = 0.5
CONTROLS_BALANCED = 0.2  # of the patches, where there are controls
JITTER = 0.25  # of the patch: how far "balanced" moves a voxel away from the centre


@dataclass(frozen=True)
class Pool:
    """What the samplers know about N cases and K targets."""

    present: np.ndarray  # (N, K) bool: target k is annotated and has voxels in case n
    control: np.ndarray  # (N,) bool: tagged "control", and without any target
    weights: np.ndarray | None = None  # (K,) how often a target is drawn; None: equally often

    def drawn(self, among: Any) -> np.ndarray:
        """Return the targets of `among` (K,) bool that are ever drawn."""
        return np.flatnonzero(among if self.weights is None else among & (self.weights > 0))

    def chances(self, targets: np.ndarray) -> np.ndarray | None:
        """Return the chance of each of `targets` in a draw of one of them; None: all alike."""
        if self.weights is None:
            return None
        return self.weights[targets] / self.weights[targets].sum()


@dataclass(frozen=True)
class Choice:
    """One position of a batch: a case, and the target to centre on (None: anywhere)."""

    case: int
    target: int | None


@dataclass(frozen=True)
class Patch:
    """What was read for one sample, and how it becomes the sample.

    `matrix` None: `image` (C, *P) float32 and `labels` (*P) are the sample. Otherwise voxel v
    of the sample lies at `centre + matrix @ (v - (P - 1) / 2)` in voxels of `image` and `labels`.
    """

    image: np.ndarray
    labels: np.ndarray
    matrix: np.ndarray | None = None
    centre: np.ndarray | None = None
    previous: np.ndarray | None = None  # like `labels`, what the previous stage of a cascade says


def make_pool(cases: Sequence[PreparedCase], labels: Labels, config: TrainConfig) -> Pool:
    """Return what `choose_cases` needs to know about the cases."""
    found = np.asarray([[len(voxels) > 0 for voxels in case.foreground] for case in cases])
    annotated = np.asarray([annotated_in(case, labels) for case in cases])
    control = np.asarray(["control" in case.tags for case in cases]) & ~found.any(1)
    weights = sampling_weights(config.target_sampling, labels)
    return Pool(found & annotated, control, None if weights is None else np.asarray(weights))


def annotated_in(case: PreparedCase, labels: Labels) -> list[bool]:
    """Return of each target whether it was annotated in the case."""
    return [case.annotated is None or name in case.annotated for name in labels.names]


def choose_cases(
    pool: Pool, size: int, config: TrainConfig, rng: np.random.Generator
) -> list[Choice]:
    """Return the choices for one batch by the sampler that `config` names ("balanced" if None)."""
    sampler = resolve("sampler", config.sampler or "balanced", SAMPLERS)
    chosen: list[Choice] = sampler(pool, size, config, rng)
    return chosen


def choose_nnunet(
    pool: Pool, size: int, config: TrainConfig, rng: np.random.Generator
) -> list[Choice]:
    """Draw cases uniformly; centre the last positions on a target, if there is one."""
    fraction = config.foreground_fraction
    fraction = FOREGROUND_NNUNET if fraction is None else fraction
    unforced = round(size * (1 - fraction))
    cases = rng.integers(len(pool.present), size=size)
    return [
        _choice_in(pool, int(case), position >= unforced, rng)
        for position, case in enumerate(cases)
    ]


def choose_probabilistic(
    pool: Pool, size: int, config: TrainConfig, rng: np.random.Generator
) -> list[Choice]:
    """Draw cases uniformly; centre each position on a target with the same chance."""
    fraction = config.foreground_fraction
    fraction = FOREGROUND_NNUNET if fraction is None else fraction
    cases = rng.integers(len(pool.present), size=size)
    return [_choice_in(pool, int(case), rng.random() < fraction, rng) for case in cases]


def _choice_in(pool: Pool, case: int, forced: bool, rng: np.random.Generator) -> Choice:
    targets = pool.drawn(pool.present[case])
    if not (forced and len(targets)):
        return Choice(case, None)
    return Choice(case, int(rng.choice(targets, p=pool.chances(targets))))


def choose_balanced(
    pool: Pool, size: int, config: TrainConfig, rng: np.random.Generator
) -> list[Choice]:
    """Draw targets first, then cases that have them; then controls; then any other place."""
    foreground, controls = config.foreground_fraction, config.control_fraction
    foreground = FOREGROUND_BALANCED if foreground is None else foreground
    controls = CONTROLS_BALANCED if controls is None else controls
    targets = pool.drawn(pool.present.any(0))
    others = np.flatnonzero(~pool.control)
    # A share of 0.3 in a batch of 4 is one patch and, in every fifth batch, another.
    forced = int(foreground * size + rng.random()) if len(targets) else 0
    calm = int(controls * size + rng.random()) if pool.control.any() else 0
    choices = []
    for target in rng.choice(targets, forced, p=pool.chances(targets)) if forced else ():
        case = rng.choice(np.flatnonzero(pool.present[:, target]))
        choices.append(Choice(int(case), int(target)))
    for _ in range(min(calm, size - forced)):
        choices.append(Choice(int(rng.choice(np.flatnonzero(pool.control))), None))
    while len(choices) < size:
        choices.append(Choice(int(rng.choice(others if len(others) else len(pool.control))), None))
    return choices


Sampler = Callable[[Pool, int, TrainConfig, np.random.Generator], list[Choice]]
SAMPLERS: dict[str, Sampler] = {
    "balanced": choose_balanced,
    "nnunet": choose_nnunet,
    "nnunet_probabilistic": choose_probabilistic,
}


def choose_start(
    shape: Triple, patch_size: Triple, voxel: np.ndarray | None, rng: np.random.Generator, *,
    nnunet: bool = False, from_end: Sequence[int] = (),
) -> np.ndarray:  # fmt: skip
    """Return the first voxel (3,) of a patch in a scan of `shape`; negative where it overhangs.

    Without `voxel`, any place where the patch lies inside the scan (where that is smaller, in the
    middle, as in prediction: an odd margin is larger behind it, along axes `from_end` before it).
    With it, the patch holds that voxel: by "nnunet" in its very middle unless the patch would begin
    before the scan (it may end behind it); else moved by up to a quarter of the patch, and then
    back inside the scan.
    """
    size, patch = np.asarray(shape), np.asarray(patch_size)
    spare = size - patch
    odd = np.isin(np.arange(3), from_end)
    low = np.where(spare < 0, -((odd - spare) // 2), 0)
    high = np.where(spare < 0, low, spare)
    if voxel is None:
        return rng.integers(low, high + 1)
    start = voxel - patch // 2
    if nnunet:
        return np.maximum(start, low)
    reach = (patch * JITTER).astype(int)
    return np.clip(start + rng.integers(-reach, reach + 1), low, high)


def sample_patch(
    case: PreparedCase,
    patch_size: Triple,
    target: int | None,
    rng: np.random.Generator,
    *,
    matrix: np.ndarray | None = None,
    nnunet: bool = False,
    from_end: Sequence[int] = (),
) -> Patch:
    """Read a patch of `case`, centred on a voxel of `target` (None: anywhere); see `read_patch`."""
    start = choose_place(case, patch_size, target, rng, nnunet=nnunet, from_end=from_end)
    return read_patch(case, patch_size, start, matrix)


def choose_place(
    case: PreparedCase,
    patch_size: Triple,
    target: int | None,
    rng: np.random.Generator,
    *,
    nnunet: bool = False,
    from_end: Sequence[int] = (),
) -> np.ndarray:
    """Return the first voxel (3,) of a patch centred on a voxel of `target` (None: anywhere)."""
    voxels = case.foreground[target] if target is not None else ()
    if target is None and len(case.labelled):
        voxels = case.labelled  # where most is ignored, a random place would teach nothing
    voxel = voxels[rng.integers(len(voxels))] if len(voxels) else None
    shape: Triple = case.labels.shape
    return choose_start(shape, patch_size, voxel, rng, nnunet=nnunet, from_end=from_end)


def read_patch(
    case: PreparedCase, patch_size: Triple, start: np.ndarray, matrix: np.ndarray | None = None
) -> Patch:
    """Read the patch of `case` whose first voxel is `start` (3,).

    With `matrix` (from `geometry.draw_transform`) the voxels under the transformed patch are read
    instead, for `augmentation` to resample. Outside the scan the image is 0, its mean intensity
    after normalising, and the labels are background; prediction pads the same way.
    """
    first, stop, place = start, start + patch_size, None
    if matrix is not None:
        centre = start + (np.asarray(patch_size) - 1) / 2
        first, stop = covered_box(matrix, centre, patch_size, case.labels.shape)
        place = centre - first
    image, labels = (_read(a, first, stop) for a in (case.image, case.labels))
    previous = None if case.previous is None else _read(case.previous, first, stop)
    return Patch(image.astype(np.float32, copy=False), labels, matrix, place, previous)


def _read(array: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Return a copy of `array` (..., z, y, x) from start to stop, zero where that is outside."""
    shape = np.asarray(array.shape[-3:])
    inside: Any
    place: Any
    first, last = np.clip(start, 0, shape), np.clip(stop, 0, shape)
    inside = (..., *map(slice, first, last))
    if (stop - start == last - first).all():
        return np.array(array[inside])
    patch = np.zeros((*array.shape[:-3], *(stop - start)), dtype=array.dtype)
    place = (..., *map(slice, first - start, last - start))
    patch[place] = array[inside]
    return patch
