"""Which case a patch comes from, and which target it is centred on.

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
from autoseg.preprocessing.store import PreparedCase
from autoseg.registry import resolve
from autoseg.training.target_weights import sampling_weights

FOREGROUND_NNUNET = 0.33
FOREGROUND_BALANCED = 0.5
CONTROLS_BALANCED = 0.2  # of the patches, where there are controls


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
